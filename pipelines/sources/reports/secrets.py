"""What a report itself gives away as secret, masked wherever else in it the same text stands."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from pipelines.sources.redaction import MASK, Redactor

_SECRET_NAME = re.compile(
    r"secret|token|passw|pwd|api.?key|access.?key|private.?key|credential|auth|signature|session",
    re.IGNORECASE,
)
# Of requests with a token each, the last ones are enough: a token appears near its request.
_MOST_SECRETS = 200
# Shorter ones would mask words that mean nothing.
_SHORTEST = 6


class Masker:
    """Masks URLs by their parameters, and secret values by themselves."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._secrets: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None

    def learn(self, values: Iterable[object]) -> None:
        """Mask these texts from now on."""
        new = {value for value in values if isinstance(value, str) and len(value) >= _SHORTEST}
        if not new.difference(self._secrets):
            return
        for value in new:
            self._secrets |= {value: None, quote(value, safe=""): None}
        while len(self._secrets) > _MOST_SECRETS:
            del self._secrets[next(iter(self._secrets))]
        longest_first = sorted(self._secrets, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def learn_variables(self, variables: Iterable[object]) -> None:
        """Mask the values of Postman variables that are secret by their type or their name.

        newman writes the type of all of them as `any`.
        """
        self.learn(
            variable.get("value")
            for variable in variables
            if isinstance(variable, dict)
            and (variable.get("type") == "secret" or _SECRET_NAME.search(str(variable.get("key"))))
        )

    def url(self, url: str | None) -> str | None:
        """A URL as it may be stored."""
        return self._without_secrets(self._redactor.url(url)) if url else url

    def text(self, text: str | None) -> str | None:
        """A text as it may be stored."""
        return self._without_secrets(self._redactor.text(text)) if text else text

    def json(self, value: Any) -> Any:
        """JSON as it may be stored: every text and key in it."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.json(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.json(item) for key, item in value.items()}
        return value

    def _without_secrets(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text
