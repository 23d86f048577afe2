"""Which files are offered to an import, and what lies beside them."""

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.settings import Settings
from pipelines.sources.redaction import Redactor
from pipelines.sources.reports.ci_systems import from_environment, from_sidecar
from pipelines.sources.reports.code_identity import SIDECAR, UNKNOWN_CODE, CodeIdentity
from pipelines.sources.reports.values import moment
from pipelines.warehouse.url import WarehouseUrl

# Where a CI system does not say when its job began: no job of theirs lasts longer by default.
_LONGEST_JOB = timedelta(hours=6)
_LARGEST_SIDECAR = 1_000_000
# A file is whole when its size has stood still for so long, in seconds.
STANDS_STILL = 2.0
# One that ends too early may still be written, for so many seconds.
GIVEN_UP_AFTER = 60.0


@dataclass(frozen=True)
class OfferedFile:
    """A file below `root`, which was offered; `is_named`: the file was offered itself."""

    path: Path
    root: Path
    is_named: bool


class SidecarError(Exception):
    """A `testruns-ci.json` that is no JSON object; the message says which and why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path


def offered_files(paths: Sequence[Path]) -> Iterator[OfferedFile]:
    """Every file of the folders, sorted, and the files themselves; sidecars are not offered.

    Links to folders are not followed.
    """
    for path in paths:
        if not path.is_dir():
            yield OfferedFile(path, path.parent, is_named=True)
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            for name in sorted(names):
                if name != SIDECAR:
                    yield OfferedFile(Path(folder) / name, path, is_named=False)


def printable(path: Path, redactor: Redactor) -> str:
    """The absolute path as text that Postgres can hold, whatever bytes and secrets are in it."""
    return redactor.text(os.fsencode(path.absolute()).decode("utf-8", "replace"))


def redactor_of(settings: Settings) -> Redactor:
    """Masks URLs, and our own keys and passwords: tests print what they send."""
    keys = (own.key.get_secret_value() for own in settings.sources.values() if own.key)
    warehouse = settings.testruns_warehouse_url
    url = WarehouseUrl.parse(warehouse.get_secret_value()) if warehouse else None
    password = url.parameters.get("password") if url else None
    return Redactor(settings.testruns_redact_params, [*keys, password or ""])


class Surroundings:
    """What is known of files beside their content: sidecars, and the CI job that runs now."""

    def __init__(self, variables: Mapping[str, str], now: datetime) -> None:
        self._job, self._job_began = UNKNOWN_CODE, now
        event_path = variables.get("GITHUB_EVENT_PATH")
        event = _json_object(Path(event_path)) if event_path else None
        self._job = from_environment(variables, event)
        self._job_began = _job_start(variables) or now - _LONGEST_JOB
        self._sidecars: dict[Path, CodeIdentity | None] = {}

    def code(self, file: OfferedFile) -> CodeIdentity:
        """What the nearest sidecar says: in the file's folder, or above it up to the offered one.

        Raises SidecarError.
        """
        folder = file.path.parent
        while True:
            if (sidecar := self._sidecar(folder)) is not None:
                return sidecar
            if folder in (file.root, folder.parent):
                return UNKNOWN_CODE
            folder = folder.parent

    def job(self, written_at: datetime) -> CodeIdentity:
        """What the environment of this CI job says; nothing of a file from before it."""
        return self._job if written_at >= self._job_began - timedelta(seconds=1) else UNKNOWN_CODE

    def _sidecar(self, folder: Path) -> CodeIdentity | None:
        if folder not in self._sidecars:
            path = folder / SIDECAR
            self._sidecars[folder] = None
            if path.is_file():
                content = _json_object(path)
                if content is None:
                    raise SidecarError(path, "not a JSON object of less than 1 MB")
                self._sidecars[folder] = from_sidecar(content)
        return self._sidecars[folder]


def _json_object(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_LARGEST_SIDECAR))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _job_start(variables: Mapping[str, str]) -> datetime | None:
    """When this CI job began, UTC; None: it does not say."""
    for name in ("CI_JOB_STARTED_AT", "SYSTEM_PIPELINESTARTTIME"):
        if (began := moment(variables.get(name))) is not None:
            return began
    # Files that the runner writes as it starts the job.
    for name in ("GITHUB_EVENT_PATH", "BUILDKITE_ENV_FILE"):
        if path := variables.get(name):
            try:
                return datetime.fromtimestamp(Path(path).stat().st_mtime, UTC)
            except OSError:
                continue
    return None


@dataclass
class Watch:
    """Tells which files have come to rest since they were last taken."""

    _seen: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)
    _taken: dict[Path, tuple[int, int]] = field(default_factory=dict)
    _waiting: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def at_rest(self, files: Iterator[OfferedFile], now: float) -> list[OfferedFile]:
        """Files whose size and time have stood still for two seconds; `now` in seconds.

        For a minute where the file is waited for.
        """
        rested = []
        for file in files:
            try:
                status = file.path.stat()
            except OSError:
                continue
            state = (status.st_size, status.st_mtime_ns)
            if not stat.S_ISREG(status.st_mode) or self._taken.get(file.path) == state:
                continue
            seen, since = self._seen.get(file.path, (None, now))
            if seen != state:
                self._seen[file.path] = (state, now)
            elif now - since >= (
                GIVEN_UP_AFTER if self._waiting.get(file.path) == state else STANDS_STILL
            ):
                rested.append(file)
        return rested

    def wait(self, file: OfferedFile) -> None:
        """Do not name the file again for a minute, unless it changes: it ends too early."""
        self._waiting[file.path] = self._seen[file.path][0]

    def take(self, file: OfferedFile) -> None:
        """Do not name the file again until it changes."""
        if file.path in self._seen:
            self._taken[file.path] = self._seen.pop(file.path)[0]
        self._waiting.pop(file.path, None)

    def rested_for(self, file: OfferedFile, now: float) -> float:
        """Seconds for which a file has stood still."""
        return now - self._seen[file.path][1] if file.path in self._seen else 0.0
