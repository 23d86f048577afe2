"""What the settings of every source have in common, and the types that settings are made of."""

import re
from typing import Annotated, Any, ClassVar, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

# A name, with its dots between its parts, or an IPv6 address.
_HOST = re.compile(r"[\w-]+(\.[\w-]+)*\.?|[0-9a-f]*:[0-9a-f:.]+")

Item = TypeVar("Item")


def items(value: object) -> object:
    """Split a comma-separated list; blanks fall away."""
    if not isinstance(value, str):
        return value
    return tuple(item.strip() for item in value.split(",") if item.strip())


def distinct(value: tuple[Item, ...]) -> tuple[Item, ...]:
    """Each item once, in the order given."""
    return tuple(dict.fromkeys(value))


def http_url(value: str) -> SplitResult:
    """The parts of an http or https URL. Raises ValueError, which never quotes it."""
    try:
        parts = urlsplit(value)
        is_one = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:  # it may quote the URL
        is_one = False
    if not is_one or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError("must be an http or https URL")
    return parts


def _api_root(value: str) -> str:
    parts = http_url(value)
    if re.search(r"[?#@\\\s]|[^ -~]", value):
        raise ValueError("must be a bare root: no user, query, fragment or blank")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _header_value(value: SecretStr) -> SecretStr:
    key = value.get_secret_value().strip()
    if not re.fullmatch(r"[!-~]+", key):
        raise ValueError("holds a character that no HTTP header can carry")
    return SecretStr(key)


ApiRoot = Annotated[str, AfterValidator(_api_root)]
ApiKey = Annotated[SecretStr, AfterValidator(_header_value)]
Texts = Annotated[tuple[str, ...], BeforeValidator(items), AfterValidator(distinct)]
Number = Annotated[int, Field(ge=1)]
Numbers = Annotated[tuple[Number, ...], BeforeValidator(items), AfterValidator(distinct)]
PerMinute = Annotated[int, Field(ge=1, le=1_000_000)]


class Section(BaseModel):
    """A part of the settings: the variables that begin with `prefix`, but for its own `parts`."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=True
    )

    prefix: ClassVar[str]
    parts: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable of a field."""
        return f"{cls.prefix}{cls.model_fields[field].alias or field}".upper()

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Each environment variable, and the name under which its value is validated."""
        return {
            cls.variable(field): info.alias or field
            for field, info in cls.model_fields.items()
            if field not in cls.parts
        }


class SourceSettings(Section):
    """The settings of one source.

    A subclass declares `key` and `scopes` anew, with the names that the API has for them as their
    aliases, and what else it takes. Fields are checked in this order.
    """

    key: ApiKey | None = None
    # None: where the API is must be given with the key.
    api_url: ApiRoot | None = None
    # What is loaded: the `scope` of every table of ingest.
    scopes: tuple[str, ...] = ()
    requests_per_minute: PerMinute = 60

    @property
    def reserve(self) -> int | None:
        """Requests of a month that are left to others; None: the API has no monthly budget."""
        return None

    @property
    def reserve_setting(self) -> str:
        """The variable of the reserve, for whoever meets its end."""
        return ""

    @field_validator("api_url", "scopes")
    @classmethod
    def _given_with_the_key(cls, value: Any, info: ValidationInfo) -> Any:
        if not value and info.data.get("key"):
            raise ValueError(f"required with {cls.variable('key')}")
        return value
