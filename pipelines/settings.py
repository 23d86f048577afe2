"""Environment and `.env` into one frozen `Settings`; each complaint is a line naming its variable.

Plain pydantic over a dictionary: the names below are the contract, and importing a settings
framework would cost every command a fifth of a second.
"""

import os
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from dotenv.parser import parse_stream
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from pipelines.errors import SettingsError

Source = Literal["postman", "testmo"]
SOURCES: tuple[Source, ...] = ("postman", "testmo")
RunSource = Literal["collection_runner", "monitor", "webhook", "schedule", "api", "newman"]

_MASKED = (
    "access_token,api_key,apikey,auth,client_secret,password,refresh_token,"
    "secret,sig,signature,token"
)
_MOST_QUOTED = 80
# A name, with its dots between its parts, or an IPv6 address.
_HOST = re.compile(r"[\w-]+(\.[\w-]+)*\.?|[0-9a-f]*:[0-9a-f:.]+")
# What our cron library knows and Dagster does not, or not in all places.
_NOT_IN_DAGSTER = re.compile(r"#|(?<!JU)L", re.IGNORECASE)

Item = TypeVar("Item")


def _items(value: object) -> object:
    """Split a comma-separated list; blanks fall away."""
    if not isinstance(value, str):
        return value
    return tuple(item.strip() for item in value.split(",") if item.strip())


def _distinct(value: tuple[Item, ...]) -> tuple[Item, ...]:
    return tuple(dict.fromkeys(value))


def _http_url(value: str) -> SplitResult:
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
    parts = _http_url(value)
    if re.search(r"[?#@\\\s]|[^ -~]", value):
        raise ValueError("must be a bare root: no user, query, fragment or blank")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


ApiRoot = Annotated[str, AfterValidator(_api_root)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_items), AfterValidator(_distinct)]
Number = Annotated[int, Field(ge=1)]
Numbers = Annotated[tuple[Number, ...], BeforeValidator(_items), AfterValidator(_distinct)]
PerMinute = Annotated[int, Field(ge=1, le=1_000_000)]


class Settings(BaseModel):
    """All settings, by the names of their variables in lower case.

    A key stands before what it requires, since fields are checked in this order.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=True
    )

    testruns_warehouse_url: SecretStr | None = None
    testruns_home: Path = Path(".testruns")

    postman_api_url: ApiRoot = "https://api.getpostman.com"
    postman_api_key: SecretStr | None = None
    postman_collection_ids: Texts = ()
    postman_run_sources: Annotated[
        tuple[RunSource, ...], BeforeValidator(_items), AfterValidator(_distinct)
    ] = ()
    postman_requests_per_minute: PerMinute = 300
    postman_monthly_reserve: Annotated[int, Field(ge=0)] = 0

    testmo_api_token: SecretStr | None = None
    testmo_api_url: ApiRoot | None = None
    testmo_project_ids: Numbers = ()
    testmo_source_ids: Numbers = ()
    testmo_config_ids: Numbers = ()
    testmo_milestone_ids: Numbers = ()
    testmo_created_by: Numbers = ()
    testmo_tags: Texts = ()
    testmo_requests_per_minute: PerMinute = 60

    testruns_lookback_hours: Annotated[int, Field(ge=0, le=24 * 3660)] = 72
    testruns_redact_params: Texts = tuple(_MASKED.split(","))
    testruns_timezone: str = "UTC"
    testruns_nightly_cron: str = "0 3 * * *"
    testruns_alert_webhook: SecretStr | None = None

    @field_validator("testruns_home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        try:
            return value.expanduser().absolute()
        except (RuntimeError, OSError):  # no such user; a working directory that is gone
            raise ValueError("cannot be made an absolute path") from None

    @field_validator("testruns_warehouse_url")
    @classmethod
    def _a_postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        from pipelines.warehouse.url import WarehouseUrl  # noqa: PLC0415 - only where it is needed

        return SecretStr(WarehouseUrl.parse(value.get_secret_value()).libpq)

    @field_validator("postman_api_key", "testmo_api_token")
    @classmethod
    def _fits_in_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[!-~]+", value.get_secret_value().strip()):
            raise ValueError("holds a character that no HTTP header can carry")
        return value and SecretStr(value.get_secret_value().strip())

    @field_validator("postman_collection_ids")
    @classmethod
    def _collection_ids(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            if not re.fullmatch(r"[\w-][\w.-]*", item, re.ASCII):
                raise ValueError(f"{item!r} is no collection ID or UID")
        return value

    @field_validator("postman_collection_ids", "testmo_api_url", "testmo_project_ids")
    @classmethod
    def _given_with_its_key(cls, value: object, info: ValidationInfo) -> object:
        source = str(info.field_name).partition("_")[0]
        key = "postman_api_key" if source == "postman" else "testmo_api_token"
        if not value and info.data.get(key):
            raise ValueError(f"required with {key.upper()}")
        return value

    @field_validator("testruns_redact_params")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({item.lower() for item in value}))

    @field_validator("testruns_timezone")
    @classmethod
    def _a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{value!r} is no IANA time zone, as Europe/Berlin") from None
        return value

    @field_validator("testruns_nightly_cron")
    @classmethod
    def _a_cron_line(cls, value: str) -> str:
        from datetime import UTC, datetime  # noqa: PLC0415

        from cronsim import CronSim, CronSimError  # noqa: PLC0415

        try:
            if len(value.split()) != 5 or _NOT_IN_DAGSTER.search(value):
                raise CronSimError
            next(CronSim(value, datetime.now(UTC)))
        except (CronSimError, StopIteration):
            raise ValueError(f"{value!r} is no cron line of five fields, as 0 3 * * *") from None
        return value

    @field_validator("testruns_alert_webhook")
    @classmethod
    def _a_webhook(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _http_url(value.get_secret_value())
        return value

    @property
    def configured_sources(self) -> tuple[Source, ...]:
        """Sources whose key is set, in the order in which they are loaded."""
        keys = {"postman": self.postman_api_key, "testmo": self.testmo_api_token}
        return tuple(source for source in SOURCES if keys[source])

    def scopes(self, source: Source) -> tuple[str, ...]:
        """Collection IDs or project IDs, as configured; the `scope` of every ingest table."""
        if source == "postman":
            return self.postman_collection_ids
        return tuple(str(project_id) for project_id in self.testmo_project_ids)

    def require_source(self, source: Source | None = None) -> tuple[Source, ...]:
        """Sources to load: all that are configured, or the one named.

        Raises SettingsError naming the variable that is missing.
        """
        if source is not None:
            if source not in self.configured_sources:
                key = "POSTMAN_API_KEY" if source == "postman" else "TESTMO_API_TOKEN"
                raise SettingsError(f"{key}: required to load {source}")
            return (source,)
        if not self.configured_sources:
            raise SettingsError(
                "POSTMAN_API_KEY, TESTMO_API_TOKEN: neither is set, so there is nothing to load"
            )
        return self.configured_sources


def load_settings(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Settings from `environ` (default: the process's) over `folder/.env` (default: here).

    A variable that is empty counts as unset. Raises SettingsError with a line for each complaint;
    values are repeated in it only where they are no secrets.
    """
    dotenv = Path(".env") if folder is None else folder / ".env"
    given = {**_dotenv(dotenv), **(os.environ if environ is None else environ)}
    values: dict[str, Any] = {
        name: given[name.upper()].strip()
        for name in Settings.model_fields
        if given.get(name.upper(), "").strip()
    }
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        complaints = [_complaint(dict(problem), values) for problem in error.errors()]
        raise SettingsError("\n".join(dict.fromkeys(complaints))) from None


def _dotenv(path: Path) -> dict[str, str]:
    """The pairs of a file, values to the letter: a secret may well hold `${`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f".env: cannot be read: {reason} ({path.absolute()})") from None
    pairs = {}
    for binding in parse_stream(StringIO(text)):
        name, value, original = binding.key, binding.value, binding.original
        if binding.error or "\0" in original.string or (name and value is None):
            blank_lines = original.string[: -len(original.string.lstrip())].count("\n")
            line = original.line + blank_lines
            raise SettingsError(f".env: line {line} is not NAME=value ({path.absolute()})")
        if name and value:
            pairs[name] = value
    return pairs


def _complaint(problem: dict[str, Any], values: dict[str, Any]) -> str:
    field = str(problem["loc"][0])
    message = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    is_secret = "SecretStr" in str(Settings.model_fields[field].annotation)
    if is_secret or problem["type"] == "value_error":
        return f"{field.upper()}: {message}"
    return f"{field.upper()}: {message}, not {values[field][:_MOST_QUOTED]!r}"
