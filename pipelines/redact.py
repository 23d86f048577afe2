"""Secrets in URLs, masked before they are stored (contract: TESTRUNS_REDACT_PARAMS).

A URL is changed only where a secret stands; everything else stays byte for byte, since URLs in
run histories are often no valid URLs at all: `{{baseUrl}}/x`, no scheme, 6,000 characters.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote_plus

MASK = "REDACTED"

# `user:password@` stands before the first slash, question mark or hash after `//`; a URL without a
# scheme may begin with it; one inside another URL's parameter has its scheme.
_USER = re.compile(r"(^\s*(?!mailto:)(?://)?|[A-Za-z][A-Za-z0-9+.-]*://)([^/?#\\\s&]*)@")
_PARAMETER = re.compile(r"([?&;#])([^?&;#=]{1,300})=")
_QUERY_VALUE_END = re.compile(r"[&#]")
_PATH_VALUE_END = re.compile(r"[;/?#]")


class Redactor:
    """Masks URLs; made once from the settings, since it remembers what it has seen."""

    def __init__(self, parameters: Iterable[str]) -> None:
        self._secret = frozenset(name.lower() for name in parameters)
        # Runs repeat their URLs; a thousand of them cover most collections.
        self.url = lru_cache(maxsize=4096)(self._masked)

    def _masked(self, url: str) -> str:
        """`url` with user, password and the values of secret parameters replaced by REDACTED.

        Names are compared without case and after percent-decoding; a name stands for itself only
        (`token_count` is not `token`). Parameters are found in the query and in the fragment.
        """
        if "@" in url:
            url = _USER.sub(_without_user, url)
        if "=" not in url or not self._secret:
            return url
        parts, done, at = [], 0, 0
        while parameter := _PARAMETER.search(url, at):
            at = parameter.end()
            if unquote_plus(parameter[2]).strip().lower() in self._secret:
                in_path = parameter[1] == ";" and "?" not in url[:at]
                end = (_PATH_VALUE_END if in_path else _QUERY_VALUE_END).search(url, at)
                stop = end.start() if end else len(url)
                parts += [url[done:at], MASK]
                done = at = stop
            else:
                # A value may begin with what looks like the next parameter: `a=?token=x`.
                at = max(parameter.end() - 1, parameter.start() + 1)
        return "".join([*parts, url[done:]])


def _without_user(found: re.Match[str]) -> str:
    user = f"{MASK}:{MASK}" if ":" in found[2] else MASK
    return f"{found[1]}{user}@"
