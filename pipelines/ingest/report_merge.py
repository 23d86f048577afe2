"""A file's report beside what is held of its run: new, known, richer, poorer, or another part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pipelines.ingest.report_files import OfferedFile
from pipelines.sources.reports import identity
from pipelines.sources.reports.code_identity import CodeIdentity, first_known
from pipelines.sources.reports.parts import Part
from pipelines.sources.reports.report import TESTS, Report
from pipelines.sources.reports.spool import Spool
from pipelines.warehouse.report_ledger import ImportedFile, ReportLedger

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Offer:
    """A report that was read, on its way into its run; `given` are columns named by options.

    `path` is its file's as it is stored.
    """

    file: OfferedFile
    path: str
    digest: str
    size_bytes: int
    modified_at: datetime
    part: Part
    report: Report
    code: CodeIdentity
    job_run_id: str | None
    given: Mapping[str, str]

    @property
    def lock_keys(self) -> list[str]:
        """What other imports of the same run, or of runs that it changes, have in common."""
        part = self.part
        keys = (part.lookalike, part.postman_id, part.collection_name)
        return [key for key in keys if key is not None]

    def outcome(self, outcome: str, run_id: str | None, reason: str | None = None) -> ImportedFile:
        """What became of its file."""
        return ImportedFile(
            path=self.path, digest=self.digest, size_bytes=self.size_bytes,
            modified_at=self.modified_at, kind=self.report.kind, outcome=outcome, run_id=run_id,
            reason=reason,
        )  # fmt: skip


class RunMerger:
    """Puts reports into their runs, inside the caller's transaction."""

    def __init__(self, ledger: ReportLedger, spool: Spool) -> None:
        self._ledger, self._spool = ledger, spool

    def merge(self, run_id: str, offers: Sequence[Offer]) -> list[ImportedFile]:
        """Write a run with these parts, or leave it as it is; what became of each file."""
        held = self._ledger.parts(run_id)
        parts: list[Part] = list(held)
        files: list[ImportedFile] = []
        code = CodeIdentity()
        for offer in sorted(offers, key=lambda one: (one.part.newest or _EPOCH, one.file.path)):
            other = None if held else self._other_run(run_id, offer)
            if other is not None:
                files.append(self._met_elsewhere(other, run_id, offer))
                if files[-1].outcome == "replaced":
                    parts.append(offer.part)
            else:
                files.append(self._placed(run_id, parts, offer))
            code = first_known(code, offer.code)
        if any(part.tables for part in parts):
            whole = [
                part if part.tables else self._ledger.fetch_rows(run_id, part, self._spool)
                for part in parts
            ]
            whole.sort(key=lambda part: (part.name, part.newest or _EPOCH, part.content_digest))
            self._ledger.write(run_id, whole, code)
        elif held:
            self._ledger.note_code(run_id, held[0].system, code)
        return files

    def _other_run(self, run_id: str, offer: Offer) -> str | None:
        """Another run that this file is a richer or poorer, or the same, telling of."""
        for held in self._ledger.lookalikes(offer.part.lookalike):
            if held["run_id"] == run_id:
                continue
            if offer.part.system == "postman":
                refs, held_refs = offer.report.identity.refs, set(held["refs"])
                if not refs or not held_refs or not held_refs.isdisjoint(refs):
                    return str(held["run_id"])
            elif not (held["follows_job"] and offer.part.follows_job):
                return str(held["run_id"])
        return None

    def _met_elsewhere(self, other: str, run_id: str, offer: Offer) -> ImportedFile:
        [held, *more] = self._ledger.parts(other)
        if offer.part.system == "reports" or more:
            self._ledger.note_code(other, offer.part.system, offer.code)
            return offer.outcome("known", other)
        if offer.part.size > held.size:
            self._ledger.forget(other, offer.part.system, run_id)
            return offer.outcome("replaced", run_id)
        self._ledger.note_code(other, offer.part.system, replace(offer.code, code_digest=None))
        return offer.outcome("poorer", other, _poorer(offer.part, held))

    def _placed(self, run_id: str, parts: list[Part], offer: Offer) -> ImportedFile:
        """Put a part where it belongs in `parts`; the outcome of its file."""
        for place, held in enumerate(parts):
            if held.content_digest == offer.part.content_digest:
                if any(held.run[column] != value for column, value in offer.given.items()):
                    parts[place] = offer.part
                    return offer.outcome("replaced", run_id)
                if _is_nearer_guess(offer.part, held):
                    parts[place] = offer.part
                return offer.outcome("known", run_id)
            relation = self._relation(run_id, held, offer)
            if relation == "poorer":
                return offer.outcome("poorer", run_id, _poorer(offer.part, held))
            if relation == "richer":
                parts[place] = offer.part
                return offer.outcome("replaced", run_id)
        parts.append(offer.part)
        return offer.outcome("loaded", run_id)

    def _relation(self, run_id: str, held: Part, offer: Offer) -> str:
        """Whether a file is a richer or poorer one of a part, or another part of the run."""
        new = offer.part
        if new.system == "reports" and new.lookalike == held.lookalike:
            return "richer"  # read anew, as with other options
        if new.system == "postman":
            is_richer = all(now >= then for now, then in zip(new.size, held.size, strict=True))
            return "richer" if is_richer else "poorer"
        if new.name != held.name:
            return "other"
        cases = offer.report.identity.cases
        held_cases = self._cases(run_id, held)
        if cases == held_cases:
            return "richer" if (new.newest or _EPOCH) >= (held.newest or _EPOCH) else "poorer"
        if cases > held_cases:
            return "richer"
        return "poorer" if cases < held_cases else "other"

    def _cases(self, run_id: str, part: Part) -> frozenset[bytes]:
        if part.tables:
            return identity.cases_of(part.tables[TESTS])
        return self._ledger.cases(run_id, part)


def _is_nearer_guess(new: Part, held: Part) -> bool:
    """Whether the time of a file, for want of another, is nearer to the run than a copy's."""
    is_guess = "timeGuessed" in (new.run["extra"] or {})
    return is_guess and (new.newest or _EPOCH) < (held.newest or _EPOCH)


def _poorer(new: Part, held: Part) -> str:
    return (
        f"the run is held with {held.results} results and {held.details} details; "
        f"this file has {new.results} and {new.details}"
    )
