"""What a report file comes to: one run (or a part of one), its rows, and how it is recognised."""

import hashlib
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from pipelines.sources.columns import names_by_table
from pipelines.sources.postman import tables as postman
from pipelines.sources.reports.code_identity import UNKNOWN_CODE, CodeIdentity
from pipelines.sources.reports.spool import Spool, SpooledTable

EXECUTIONS, ASSERTIONS = postman.EXECUTIONS.name, postman.ASSERTIONS.name
RUNS = "raw_reports.runs"
TESTS = "raw_reports.tests"
ATTEMPTS = "raw_reports.attempts"

COLUMNS: dict[str, tuple[str, ...]] = {
    RUNS: (
        "run_id", "source", "format", "name", "started_at", "finished_at", "duration_ms",
        "tests_total", "tests_failed", "tests_skipped", "environment", "extra",
    ),
    TESTS: (
        "run_id", "test_index", "suite_path", "class_name", "name", "status", "duration_ms",
        "message", "type", "file", "extra",
    ),
    ATTEMPTS: (
        "run_id", "test_index", "attempt", "status", "duration_ms", "message", "type",
    ),
}  # fmt: skip

# The tables of a run by system, the run's own first; a system is a prefix of keys in the marts.
SYSTEMS: dict[str, dict[str, tuple[str, ...]]] = {
    "postman": names_by_table(postman.TABLES),
    "reports": COLUMNS,
}

# Longer texts (a message may quote a body) are cut.
LONGEST_TEXT = 65_536

Row = tuple[Any, ...]


class ReportError(Exception):
    """A file that is no report, or not a whole one; the message is the reason, in one line.

    `is_cut`: it ends too early, so that more of it may still be written. `is_foreign`: it is a
    file of another kind, and nothing is wrong with it.
    """

    def __init__(self, reason: str, *, is_cut: bool = False, is_foreign: bool = False) -> None:
        super().__init__(reason)
        self.is_cut, self.is_foreign = is_cut, is_foreign


class RowWriter:
    """Takes the child rows of one report, without the run's ID, and puts them into the spool."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._tables: dict[str, SpooledTable] = {}
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, table: str, row: Row) -> None:
        """Append a row."""
        if table not in self._tables:
            self._tables[table] = SpooledTable(self._spool)
        self._tables[table].append(row)
        self._digest.update(msgspec.json.encode(row))

    def another(self) -> "RowWriter":
        """An empty one over the same spool."""
        return RowWriter(self._spool)

    def tables(self) -> dict[str, SpooledTable]:
        """The rows by table."""
        for table in self._tables.values():
            table.seal()
        return self._tables

    def digest(self) -> bytes:
        """16 bytes that change with any row."""
        return self._digest.digest()


@dataclass(frozen=True)
class Announced:
    """A total of a report: the run's column, what the report says, what its rows come to.

    `announced` None: not stated.
    """

    total: str
    announced: int | None
    loaded: int


@dataclass(frozen=True)
class Identity:
    """What distinguishes a run from all others, by its content alone.

    `run_id` is its key, unless the CI job is known and `follows_job`; `lookalike` is equal for a
    richer or poorer file of the same run; `cases` are digests of what was tested, by which a file
    that is written again differs from another part of the run; `is_shared`: other files may be
    parts of the same run, `part` names one that names itself (a shard). `refs` are digests of IDs
    made anew for each execution: two runs share none.
    """

    run_id: str
    lookalike: str
    follows_job: bool = False
    is_shared: bool = False
    part: str = ""
    cases: AbstractSet[bytes] = frozenset()
    refs: AbstractSet[bytes] = frozenset()
    newest: datetime | None = None


@dataclass(frozen=True)
class Report:
    """One report file as rows.

    `kind`: newman, newman-summary, postman-cli, postman-export, junit, ctrf. `run` holds the
    columns of the run's own table but `run_id`; `tables` its children without `run_id`.
    `postman_id` is the collection's ID as the file has it, which newman may have made up.
    """

    kind: str
    system: str
    run: dict[str, Any]
    tables: dict[str, SpooledTable]
    identity: Identity
    digest: bytes
    totals: Sequence[Announced] = ()
    code: CodeIdentity = UNKNOWN_CODE
    postman_id: str | None = None
    collection_name: str | None = None

    def count(self, table: str) -> int:
        """Rows of a child table."""
        rows = self.tables.get(table)
        return len(rows) if rows is not None else 0

    @property
    def size(self) -> tuple[int, int]:
        """Executions and assertions, or results and attempts: which of two files is richer."""
        _, first, second = SYSTEMS[self.system]
        return self.count(first), self.count(second)


def numbered(rows: SpooledTable | None, run_id: str, first_index: int) -> Iterator[Row]:
    """Child rows with the run's ID in front, their index moved by `first_index`."""
    for index, *rest in rows or ():
        yield (run_id, index + first_index, *rest)


def shortened(text: str | None) -> str | None:
    """The text, or its first 64 Ki characters with a note of how long it was."""
    if text is None or len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]} … (cut: {len(text):,} characters)"
