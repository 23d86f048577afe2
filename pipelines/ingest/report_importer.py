"""One import at work: files are read, put into their runs, and written, one run after the other."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg

from pipelines.errors import SettingsError
from pipelines.ingest.report_files import (
    OfferedFile,
    SidecarError,
    Surroundings,
    printable,
    redactor_of,
)
from pipelines.ingest.report_merge import Offer, RunMerger
from pipelines.settings import Settings
from pipelines.sources.reports import identity
from pipelines.sources.reports.code_identity import CodeIdentity, first_known, normalised
from pipelines.sources.reports.file_bytes import FileBytes
from pipelines.sources.reports.parts import Part, settle_time
from pipelines.sources.reports.recognise import read_report
from pipelines.sources.reports.report import Report, ReportError
from pipelines.sources.reports.spool import Spool
from pipelines.warehouse.engine import reason
from pipelines.warehouse.report_ledger import ImportedFile, ReportLedger

# What a run holds is checked before; should a check be wrong, one run pays for it.
_REFUSES_A_VALUE = (
    psycopg.DataError,
    psycopg.ProgrammingError,
    psycopg.errors.ProgramLimitExceeded,
)


@dataclass(frozen=True)
class Options:
    """What the command line says of all files; None: nothing."""

    collection: str | None = None
    source: str | None = None
    commit: str | None = None
    branch: str | None = None
    environment: str | None = None

    def code(self) -> CodeIdentity:
        """Commit and branch. Raises SettingsError for a commit that is none."""
        code = normalised(CodeIdentity(commit_sha=self.commit, branch=self.branch))
        if self.commit is not None and code.commit_sha is None:
            raise SettingsError("--commit: expected a commit's SHA, 6 to 64 hexadecimal digits")
        return code


@dataclass
class ImportReport:
    """What an import did: files in the order in which they were settled, rows by table.

    `foreign` are files of a folder that are no reports at all, also among `files`.
    """

    files: list[ImportedFile] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)

    @property
    def failures(self) -> list[ImportedFile]:
        """Files that were set aside, but for what only lay beside the reports."""
        return [
            file
            for file in self.files
            if file.outcome == "rejected" and file.path not in self.foreign
        ]


class Importer:
    """One import over one session with the warehouse."""

    def __init__(
        self,
        ledger: ReportLedger,
        spool: Spool,
        settings: Settings,
        options: Options,
        surroundings: Surroundings,
        settled: Callable[[ImportedFile], None],
    ) -> None:
        self._ledger, self._spool, self._options = ledger, spool, options
        self._redactor = redactor_of(settings)
        self._surroundings, self._settled = surroundings, settled
        self._merger = RunMerger(ledger, spool)
        self._code = options.code()
        self.report = ImportReport()

    def take(self, files: Iterable[OfferedFile], *, wait_for_rest: bool = False) -> set[Path]:
        """Import files; those of one CI job together.

        With `wait_for_rest` files that end too early are left for later, and given back.
        """
        waiting: set[Path] = set()
        by_job: dict[str, list[Offer]] = {}
        for file in files:
            try:
                offer = self._read(file)
            except _NotTaken as error:
                if wait_for_rest and error.is_cut:
                    waiting.add(file.path)
                else:
                    self._reject(file, error)
                continue
            if offer.job_run_id is not None:
                by_job.setdefault(offer.job_run_id, []).append(offer)
            else:
                self._settle(offer.report.identity.run_id, [offer])
                if not by_job:
                    self._spool.clear()
        for run_id, offers in by_job.items():
            self._settle(run_id, offers)
        self._spool.clear()
        return waiting

    def _read(self, file: OfferedFile) -> Offer:
        try:
            content = FileBytes(file.path)
        except ReportError as error:
            raise _NotTaken(error) from None
        try:
            report = read_report(content, self._spool, self._redactor)
            digest = content.digest()
            if content.has_changed:
                raise ReportError("it changed while it was read", is_cut=True)
        except ReportError as error:
            raise _NotTaken(error, content) from None
        except Exception as error:
            # Whatever it is, it costs one file.
            unexpected = ReportError(f"it cannot be understood ({type(error).__name__})")
            raise _NotTaken(unexpected, content) from error
        finally:
            content.close()
        beside = self._beside(file)
        written_at = content.modified_at
        code = first_known(self._code, beside, report.code, self._surroundings.job(written_at))
        code = self._masked(code)
        path = printable(file.path, self._redactor)
        given = self._given(report.system)
        run = settle_time({**report.run, **given}, written_at)
        job_key = code.job_key() if report.identity.follows_job else None
        is_shared = report.identity.is_shared or job_key is not None
        part = Part.of(
            report, run=run, name=path if is_shared else "",
            digest=_content_digest(report), follows_job=job_key is not None,
            written_at=written_at,
        )  # fmt: skip
        job_run_id = (
            None
            if job_key is None
            else identity.run_id(report.kind, "job", report.run["source"], *job_key)
        )
        return Offer(
            file, path, digest, content.size, written_at, part, report, code, job_run_id, given
        )

    def _beside(self, file: OfferedFile) -> CodeIdentity:
        """What a sidecar says; one that cannot be read is set aside, once, and says nothing."""
        try:
            return self._surroundings.code(file)
        except SidecarError as error:
            sidecar = OfferedFile(error.path, file.root, is_named=True)
            self._reject(sidecar, _NotTaken(ReportError(str(error))))
            return self._beside(file)

    def _given(self, system: str) -> dict[str, str]:
        """Columns of the run that the command line names."""
        options, is_postman = self._options, system == "postman"
        given = {
            "source": options.source,
            "environment_id" if is_postman else "environment": options.environment,
            "collection_id": options.collection if is_postman else None,
        }
        masked = self._redactor.text
        return {column: masked(value) for column, value in given.items() if value is not None}

    def _masked(self, code: CodeIdentity) -> CodeIdentity:
        texts = {name: value for name, value in vars(code).items() if isinstance(value, str)}
        masked = {name: self._redactor.text(value) for name, value in texts.items()}
        if code.build_url:
            masked["build_url"] = self._redactor.url(code.build_url)
        return replace(code, **masked)

    def _reject(self, file: OfferedFile, error: "_NotTaken") -> None:
        rejected = ImportedFile(
            path=printable(file.path, self._redactor), digest=error.digest, size_bytes=error.size,
            modified_at=error.modified_at, kind=None, outcome="rejected",
            reason=self._redactor.text(str(error)), is_foreign=error.is_foreign,
        )  # fmt: skip
        if error.is_foreign and not file.is_named:
            self.report.foreign.add(rejected.path)
        with self._ledger.transaction():
            self._ledger.save_files([rejected])
        self._note([rejected])

    def _settle(self, run_id: str, offers: Sequence[Offer]) -> None:
        """Write one run, or leave it as it is, with what became of each of its files."""
        try:
            with self._ledger.transaction():
                self._ledger.lock([run_id, *(key for offer in offers for key in offer.lock_keys)])
                files = self._merger.merge(run_id, offers)
                self._ledger.save_files(files)
        except _REFUSES_A_VALUE as error:
            refused = self._redactor.text(f"the warehouse refuses the run: {reason(error)}")
            files = [offer.outcome("rejected", None, refused) for offer in offers]
            with self._ledger.transaction():
                self._ledger.save_files(files)
        self._note(files)

    def _note(self, files: Sequence[ImportedFile]) -> None:
        for file in files:
            self.report.files.append(file)
            self._settled(file)
        self.report.rows = dict(self._ledger.rows)


class _NotTaken(Exception):  # noqa: N818 - it is an outcome
    """`content` is the file, where it could be opened."""

    def __init__(self, error: ReportError, content: FileBytes | None = None) -> None:
        super().__init__(str(error))
        self.is_cut, self.is_foreign = error.is_cut, error.is_foreign
        self.digest = _digest(content) if content else ""
        self.size = content.size if content else None
        self.modified_at = content.modified_at if content else None


def _digest(content: FileBytes) -> str:
    try:
        return content.digest()
    except ReportError:
        return ""


def _content_digest(report: Report) -> bytes:
    run = {column: str(value) for column, value in report.run.items()}
    return identity.short_digest(report.digest.hex(), run, report.identity.lookalike)
