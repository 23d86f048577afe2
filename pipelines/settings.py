"""Environment and `.env` into one frozen `Settings`; each complaint is a line naming its variable.

Plain pydantic over a dictionary: the names below are the contract, and importing a settings
framework would cost every command a fifth of a second.
"""

import os
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dotenv.main import DotEnv
from dotenv.parser import parse_stream
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from pipelines.errors import SettingsError

Source = Literal["postman", "testmo"]
SOURCES: tuple[Source, ...] = ("postman", "testmo")
RunSource = Literal["collection_runner", "monitor", "webhook", "schedule", "api", "newman"]

_MASKED = (
    "access_token,api_key,apikey,auth,client_secret,password,refresh_token,"
    "secret,sig,signature,token"
)


def _items(value: object) -> object:
    """Split a comma-separated list; blanks and repetitions fall away."""
    if not isinstance(value, str):
        return value
    return tuple(dict.fromkeys(item.strip() for item in value.split(",") if item.strip()))


def _api_root(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https URL")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("must be a bare root: no user, query or fragment")
    return value.rstrip("/")


ApiRoot = Annotated[str, BeforeValidator(_api_root)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_items)]
Numbers = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_items)]
PerMinute = Annotated[int, Field(ge=1, le=1_000_000)]


class Settings(BaseModel):
    """All settings, by the names of their variables in lower case."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=True
    )

    testruns_warehouse_url: SecretStr | None = None
    testruns_home: Path = Path(".testruns")

    postman_api_url: ApiRoot = "https://api.getpostman.com"
    postman_api_key: SecretStr | None = None
    postman_collection_ids: Texts = ()
    postman_run_sources: Annotated[tuple[RunSource, ...], BeforeValidator(_items)] = ()
    postman_requests_per_minute: PerMinute = 300
    postman_monthly_reserve: Annotated[int, Field(ge=0)] = 0

    testmo_api_url: ApiRoot | None = None
    testmo_api_token: SecretStr | None = None
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
        return value.expanduser().absolute()

    @field_validator("testruns_warehouse_url")
    @classmethod
    def _a_postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        plain = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", value.get_secret_value())
        if not plain.startswith("postgresql://"):
            raise ValueError("must be a Postgres URL, as postgresql://user:password@host/database")
        from psycopg import ProgrammingError  # noqa: PLC0415 - only where it is needed
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

        try:
            port = str(conninfo_to_dict(plain).get("port", "5432"))
        except ProgrammingError:
            # The message of libpq may quote the URL, password included.
            raise ValueError("is not a URL that Postgres understands") from None
        if not all(re.fullmatch(r"\d{0,5}", one) for one in port.split(",")):
            raise ValueError("has a port that is no number")
        return SecretStr(plain)

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
            if not re.fullmatch(r"[\w.-]+", item):
                raise ValueError(f"{item!r} is no collection ID or UID")
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
            if len(value.split()) != 5:
                raise CronSimError
            next(CronSim(value, datetime.now(UTC)))
        except (CronSimError, StopIteration):
            raise ValueError(f"{value!r} is no cron line of five fields, as 0 3 * * *") from None
        return value

    @field_validator("testruns_alert_webhook")
    @classmethod
    def _a_webhook(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("must be an http or https URL")
        return value

    @model_validator(mode="after")
    def _what_a_key_requires(self) -> Self:
        missing = []
        if self.postman_api_key and not self.postman_collection_ids:
            missing.append("POSTMAN_COLLECTION_IDS: required with POSTMAN_API_KEY")
        if self.testmo_api_token and not self.testmo_api_url:
            missing.append("TESTMO_API_URL: required with TESTMO_API_TOKEN")
        if self.testmo_api_token and not self.testmo_project_ids:
            missing.append("TESTMO_PROJECT_IDS: required with TESTMO_API_TOKEN")
        if missing:
            raise ValueError("\n".join(missing))
        return self

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
    given = {
        **_dotenv((folder or Path.cwd()) / ".env"),
        **(os.environ if environ is None else environ),
    }
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
    if not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f".env: cannot be read: {reason} ({path})") from None
    for binding in parse_stream(StringIO(text)):
        if binding.error or "\0" in binding.original.string:
            line = binding.original.line
            raise SettingsError(f".env: line {line} is not NAME=value ({path})")
    pairs = DotEnv(None, stream=StringIO(text), override=False).dict()
    return {name: value for name, value in pairs.items() if value is not None}


def _complaint(problem: dict[str, Any], values: dict[str, Any]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0])
    secret = "SecretStr" in str(Settings.model_fields[name].annotation)
    message = message.removeprefix("Input ")
    if secret or problem["type"] == "value_error":
        return f"{name.upper()}: {message}"
    return f"{name.upper()}: {message}, not {values[name]!r}"
