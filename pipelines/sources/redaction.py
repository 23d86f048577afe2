"""Secrets in URLs, masked before they are stored (contract: TESTRUNS_REDACT_PARAMS).

A URL is changed only where a secret stands; everything else stays byte for byte, since URLs in
run histories are often no valid URLs at all: `{{baseUrl}}/x`, no scheme, 6,000 characters. Each
pattern reads on from where it began: a hostile URL costs no more than its length.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote_plus

MASK = "REDACTED"

# `user:password@` stands before the first slash, question mark or hash after `//`; a URL without a
# scheme may begin with it. Inside another URL's parameter it ends with the parameter.
_USER = re.compile(r"([^/?#\\]*//)([^/?#\\]+)@")
_BARE_USER = re.compile(r"(\s*(?!mailto:))([^/?#\\\s]+)@", re.IGNORECASE)
_INNER_USER = re.compile(r"(://)([^/?#\\\s&]+)@")
_IS_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://\S+\Z")
# A URL in a text, from where its scheme ends; the text may go on with punctuation of its own.
_URL_IN_TEXT = re.compile(r"""://[^\s"<>`\\]+""")
_PUNCTUATION = "'),.;:]}"
_PARAMETER = re.compile(r"([?&;#])([^?&;#=]+)=")
_QUERY_VALUE_END = re.compile(r"[&#]")
_PATH_VALUE_END = re.compile(r"[;/?#]")
# Shorter ones would mask words that mean nothing.
_SHORTEST_SECRET = 8
_MAY_HOLD_TEXT = frozenset({str, dict, list})
# Longer ones are not worth their memory.
_LONGEST_REMEMBERED = 2000
# Joiners (U+200C, U+200D) are left out: Persian and many an emoji need them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_CREDENTIALS = re.compile(r"\b([A-Za-z][\w+.-]{0,20})://([^\s/?#]*)@")


class Redactor:
    """Masks URLs; made once from the settings, since it remembers what it has seen.

    `secrets` are masked wherever they stand, but for those of less than eight characters.
    """

    def __init__(self, parameters: Iterable[str], secrets: Iterable[str] = ()) -> None:
        self.parameters = frozenset(name.lower() for name in parameters)
        long = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
        forms = sorted(long | {quote(secret, safe="") for secret in long}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, forms))) if forms else None
        # Runs repeat their URLs; some thousands of them cover most collections.
        self._remembered = lru_cache(maxsize=4096)(self._masked)

    def url(self, url: str) -> str:
        """`url` with user, password and the values of secret parameters replaced by REDACTED.

        Names are compared without case and after percent-decoding; a name stands for itself only
        (`token_count` is not `token`). Parameters are found in the query and in the fragment.
        """
        return self._remembered(url) if len(url) <= _LONGEST_REMEMBERED else self._masked(url)

    def text(self, text: str) -> str:
        """`text` with every URL in it masked."""
        if self._secrets:
            text = self._secrets.sub(MASK, text)
        if "://" not in text:
            return text
        return self.url(text) if _IS_URL.match(text) else _URL_IN_TEXT.sub(self._in_text, text)

    def json(self, value: Any) -> Any:
        """The same JSON with every URL in its texts and keys masked, as deep as they stand."""
        return self._json(value) if self._secrets or _holds_url(value) else value

    def _json(self, value: Any) -> Any:
        if type(value) is str:
            return self.text(value)
        if type(value) is list:
            return [*map(self._json, value)]
        if type(value) is dict:
            return dict(zip(map(self.text, value), map(self._json, value.values()), strict=True))
        return value

    def _in_text(self, match: re.Match[str]) -> str:
        url = match[0].rstrip(_PUNCTUATION)
        return self.url(url) + match[0][len(url) :]

    def _masked(self, url: str) -> str:
        if self._secrets:
            url = self._secrets.sub(MASK, url)
        if "@" in url:
            url = _without_users(url)
        if "=" not in url or not self.parameters:
            return url
        query_at = url.find("?") if "?" in url else len(url)
        parts, copied, at = [], 0, 0
        while parameter := _PARAMETER.search(url, at):
            at = parameter.end()
            if unquote_plus(parameter[2]).strip().lower() in self.parameters:
                in_path = parameter[1] == ";" and at <= query_at
                end = (_PATH_VALUE_END if in_path else _QUERY_VALUE_END).search(url, at)
                stop = end.start() if end else len(url)
                parts += [url[copied:at], MASK]
                copied = at = stop
        return "".join([*parts, url[copied:]])


def _holds_url(value: Any) -> bool:
    """Whether any text or key may hold a URL: a look that costs little, for most hold none."""
    if type(value) is str:
        return "://" in value
    if type(value) is dict:
        for key, inner in value.items():
            if "://" in key or (type(inner) in _MAY_HOLD_TEXT and _holds_url(inner)):
                return True
    elif type(value) is list:
        for inner in value:
            if type(inner) in _MAY_HOLD_TEXT and _holds_url(inner):
                return True
    return False


def _without_users(url: str) -> str:
    first = _USER.match(url) or _BARE_USER.match(url)
    begin, rest = (_without_user(first), url[first.end() :]) if first else ("", url)
    return begin + _INNER_USER.sub(_without_user, rest)


def _without_user(match: re.Match[str]) -> str:
    user = f"{MASK}:{MASK}" if ":" in match[2] else MASK
    return f"{match[1]}{user}@"


def visible(text: str) -> str:
    """The text as one line: what cannot be seen as its code point, passwords in URLs masked."""
    masked = _CREDENTIALS.sub(_mask, text) if "://" in text else text
    return _UNSEEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", masked)


def _mask(match: re.Match[str]) -> str:
    scheme, (user, colon, _) = match[1], match[2].partition(":")
    # A user of a database is no secret; elsewhere it may be a token.
    if not scheme.startswith("postgres"):
        return f"{scheme}://REDACTED@"
    return f"{scheme}://{user}:REDACTED@" if colon else match[0]
