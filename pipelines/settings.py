"""Environment and `.env` into one frozen `Settings`; each complaint is a line naming its variable.

Plain pydantic over a dictionary: the names of the variables are the contract, and importing a
settings framework would cost every command a fifth of a second.
"""

import os
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dotenv.parser import parse_stream
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator

from pipelines.errors import SettingsError
from pipelines.sources.registry import REGISTRY, SOURCES
from pipelines.sources.settings import Section, SourceSettings, Texts, http_url
from pipelines.sources.spec import SourceName

__all__ = ["SOURCES", "DagsterSettings", "Settings", "load_settings"]

_MASKED = (
    "access_token,api_key,apikey,auth,client_secret,password,refresh_token,"
    "secret,sig,signature,token"
)
_MOST_QUOTED = 80
# What our cron library knows and Dagster does not, or not in all places.
_NOT_IN_DAGSTER = re.compile(r"#|(?<!JU)L", re.IGNORECASE)

# Where steps of Dagster's work, and where its runs do; the first is the default.
EXECUTORS = ("in_process", "multiprocess", "celery", "k8s")
LAUNCHERS = ("local", "celery")
# SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3, over which Dagster's storage fails at the
# first event of a run.
STORAGE_SCHEME = "postgresql+psycopg2"


class DagsterSettings(Section):
    """Where Dagster's runs work and are kept.

    `storage_url` None: in files of its home; `url` is the address of its page, for links in alerts.
    """

    prefix: ClassVar[str] = "testruns_dagster_"

    launcher: str = LAUNCHERS[0]
    executor: str = EXECUTORS[0]
    storage_url: SecretStr | None = None
    broker_url: SecretStr | None = None
    url: str | None = None

    @field_validator("launcher", "executor")
    @classmethod
    def _is_known(cls, value: str, info: ValidationInfo) -> str:
        choices = LAUNCHERS if info.field_name == "launcher" else EXECUTORS
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {value[:_MOST_QUOTED]!r}")
        return value

    @field_validator("executor")
    @classmethod
    def _takes_a_run_as_a_whole(cls, value: str, info: ValidationInfo) -> str:
        # Celery lets no task wait for others.
        if info.data.get("launcher") == "celery" and value != "in_process":
            raise ValueError(
                f"must be in_process where {cls.variable('launcher')} is celery, for a worker "
                "takes a run as a whole"
            )
        return value

    @field_validator("storage_url")
    @classmethod
    def _is_a_storage(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_server(value.get_secret_value(), STORAGE_SCHEME)
        return value

    @field_validator("broker_url")
    @classmethod
    def _is_a_broker(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "celery" in (info.data.get("launcher"), info.data.get("executor")):
            url = value.get_secret_value() if value else ""
            _check_server(url, "redis", "rediss", why="required by celery, ")
        return value

    @field_validator("url")
    @classmethod
    def _is_a_page(cls, value: str | None) -> str | None:
        if value is not None:
            http_url(value)
        return value


def _check_server(url: str, *schemes: str, why: str = "") -> None:
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:  # it may quote the URL
        is_one = False
    if not is_one:
        raise ValueError(f"{why}must be a URL as {schemes[0]}://host")


class Settings(Section):
    """All settings: our own, Dagster's, and those of each source by its name."""

    prefix: ClassVar[str] = ""
    parts: ClassVar[frozenset[str]] = frozenset({"sources", "dagster"})

    sources: Mapping[SourceName, SourceSettings] = Field(
        default_factory=lambda: {name: spec.settings_class() for name, spec in REGISTRY.items()}
    )
    dagster: DagsterSettings = DagsterSettings()

    testruns_warehouse_url: SecretStr | None = None
    testruns_home: Path = Path(".testruns")
    # A folder, or a mounted bucket, into which CI puts report files; None: none is looked at.
    testruns_reports_dir: Path | None = None
    # The largest answer of an API that is read, decompressed.
    testruns_max_body_mb: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    testruns_lookback_hours: Annotated[int, Field(ge=0, le=24 * 3660)] = 72
    testruns_redact_params: Texts = tuple(_MASKED.split(","))
    testruns_timezone: str = "UTC"
    testruns_nightly_cron: str = "0 3 * * *"
    testruns_alert_webhook: SecretStr | None = None
    # CSV: which team owns which scopes and tests (warehouse/reference.py).
    testruns_ownership_file: Path | None = None
    # CSV: names of scopes and environments of which the APIs tell IDs alone.
    testruns_names_file: Path | None = None

    @field_validator(
        "testruns_home", "testruns_reports_dir", "testruns_ownership_file", "testruns_names_file"
    )
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        try:
            return value and value.expanduser().absolute()
        except (RuntimeError, OSError):  # no such user; a working directory that is gone
            raise ValueError("cannot be made an absolute path") from None

    @field_validator("testruns_warehouse_url")
    @classmethod
    def _a_postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        from pipelines.warehouse.url import WarehouseUrl  # noqa: PLC0415 - only where it is needed

        return SecretStr(WarehouseUrl.parse(value.get_secret_value()).libpq)

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
            http_url(value.get_secret_value())
        return value

    @property
    def configured_sources(self) -> tuple[SourceName, ...]:
        """Sources whose key is set, in the order in which they are loaded."""
        return tuple(name for name in SOURCES if self.sources[name].key)

    def scopes(self, source: SourceName) -> tuple[str, ...]:
        """What is loaded of a source, as configured; the `scope` of every ingest table."""
        return self.sources[source].scopes

    def require_source(self, source: SourceName | None = None) -> tuple[SourceName, ...]:
        """Sources to load: all that are configured, or the one named.

        Raises SettingsError naming the variable that is missing.
        """
        if source is not None:
            if source not in self.configured_sources:
                raise SettingsError(f"{REGISTRY[source].key_setting}: required to load {source}")
            return (source,)
        if not self.configured_sources:
            keys = ", ".join(spec.key_setting for spec in REGISTRY.values())
            raise SettingsError(f"{keys}: none is set, so there is nothing to load")
        return self.configured_sources

    def require_input(self) -> None:
        """Raises SettingsError where neither a source nor a folder of reports is configured."""
        if self.testruns_reports_dir is None:
            self.require_source()


def sections() -> list[type[Section]]:
    """The parts of the settings: our own, Dagster's, those of each source."""
    return [Settings, DagsterSettings, *(spec.settings_class for spec in REGISTRY.values())]


def load_settings(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Settings from `environ` (default: the process's) over `folder/.env` (default: here).

    A variable that is empty counts as unset. Raises SettingsError with a line for each complaint;
    values are repeated in it only where they are no secrets.
    """
    dotenv = Path(".env") if folder is None else folder / ".env"
    pairs = {**_dotenv(dotenv), **(os.environ if environ is None else environ)}
    complaints: dict[str, None] = {}
    own, dagster, *sources = [_validated(part, pairs, complaints) for part in sections()]
    if complaints or not isinstance(own, Settings):
        raise SettingsError("\n".join(complaints))
    parts = {"dagster": dagster, "sources": dict(zip(SOURCES, sources, strict=True))}
    return own.model_copy(update=parts)


def _validated(
    part: type[Section], pairs: Mapping[str, str], complaints: dict[str, None]
) -> Section | None:
    """The part as its variables say; None, and `complaints` the longer, where they are wrong."""
    values = {
        name: pairs[variable].strip()
        for variable, name in part.variables().items()
        if pairs.get(variable, "").strip()
    }
    try:
        return part.model_validate(values)
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0])  # of a default, pydantic gives the field's own name
            variable = part.variable(name) if name in part.model_fields else part.prefix + name
            message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
            # A check of ours quotes what may be quoted; no secret fails another one.
            if problem["type"] != "value_error":
                message += f", not {values[name][:_MOST_QUOTED]!r}"
            complaints[f"{variable.upper()}: {message}"] = None
        return None


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
