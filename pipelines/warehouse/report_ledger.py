"""What an import of report files writes: a run and all that is known of it in one transaction."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain
from typing import Any, cast

import msgspec
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb, set_json_dumps

from pipelines.sources.base import Difference, FlatRun, Rows
from pipelines.sources.reports import identity
from pipelines.sources.reports.code_identity import CodeIdentity, first_known
from pipelines.sources.reports.parts import Part, merged_run
from pipelines.sources.reports.report import SYSTEMS, numbered
from pipelines.sources.reports.spool import Spool, SpooledTable
from pipelines.warehouse.outcomes import difference_columns
from pipelines.warehouse.queries import queries
from pipelines.warehouse.writer import column_types, merge_runs

_CODE = (
    "commit_sha", "merge_sha", "branch", "pipeline_id", "pipeline_attempt", "build_url",
    "code_digest",
)  # fmt: skip
# It is part of an index.
_LONGEST_SCOPE = 500


@dataclass(frozen=True)
class ImportedFile:
    """A file that was offered, and what became of it.

    `size_bytes` and `modified_at` None: it could not be read; `is_foreign`: it is no report at all.
    """

    path: str
    digest: str
    size_bytes: int | None
    modified_at: datetime | None
    kind: str | None
    outcome: str
    run_id: str | None = None
    reason: str | None = None
    is_foreign: bool = False


@dataclass(frozen=True)
class _Tables:
    columns: dict[str, tuple[str, ...]]
    name: str = "reports"


class _NumberedRows:
    """The child rows of all parts of a run, as one table; read as often as needed."""

    def __init__(self, run_id: str, parts: Sequence[tuple[SpooledTable | None, int]]) -> None:
        self._run_id, self._parts = run_id, parts

    def __len__(self) -> int:
        return sum(len(rows) for rows, _ in self._parts if rows is not None)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return chain.from_iterable(numbered(rows, self._run_id, at) for rows, at in self._parts)


class ReportLedger:
    """The session of one import."""

    def __init__(self, connection: psycopg.Connection, salt: bytes) -> None:
        set_json_dumps(msgspec.json.encode, connection)
        self._connection, self._salt = connection, salt
        self._sql = queries("import")
        self._types = column_types(connection)
        self.rows: Counter[str] = Counter()
        self.rejected = 0
        self._load_id = 0

    def begin(self) -> None:
        """Write the import's own row."""
        with self._connection.transaction():
            self._connection.execute(self._sql["mark_interrupted_imports"])
        row = self._connection.execute(self._sql["begin_import"]).fetchone()
        self._load_id = row[0] if row else 0

    def end(self, error: str | None) -> None:
        """Write how it ended; `error` None: every file was taken."""
        outcome = "succeeded" if error is None else "failed"
        params = {"load_id": self._load_id, "outcome": outcome, "error": error}
        self._connection.execute(self._sql["end_import"], params)

    def transaction(self) -> AbstractContextManager[Any]:
        """What is written in it is committed together."""
        return self._connection.transaction()

    def lock(self, keys: Sequence[str]) -> None:
        """Wait for other imports of these runs."""
        self._connection.execute(self._sql["lock_runs"], {"keys": sorted(set(keys))})

    def lookalikes(self, lookalike: str) -> list[dict[str, Any]]:
        """Runs (`run_id`, `follows_job`, `refs`) that a file of this content may be."""
        return self._dicts("lookalikes", {"lookalike": lookalike})

    def parts(self, run_id: str) -> list[Part]:
        """What is held of a run, in the order of its parts; no rows yet."""
        return [
            Part.from_record({name: value for name, value in row.items() if name != "part"})
            for row in self._dicts("parts", {"run_id": run_id})
        ]

    def cases(self, run_id: str, part: Part) -> frozenset[bytes]:
        """Digests of the tests in a part that is held."""
        rows = self._connection.execute(
            "select distinct suite_path, class_name, name from raw_reports.tests "
            "where run_id = %s and test_index >= %s and test_index < %s",
            (run_id, part.first_index, part.first_index + part.results),
        )
        return frozenset(identity.short_digest(*row) for row in rows)

    def fetch_rows(self, run_id: str, part: Part, spool: Spool) -> Part:
        """A part that is held with its rows, without run_id and counted from 0."""
        tables = {}
        for table, columns in list(SYSTEMS[part.system].items())[1:]:
            rows = tables[table] = SpooledTable(spool)
            index = columns[1]
            statement = (
                f"select {', '.join(columns[1:])} from {table} "  # noqa: S608 - our own names
                f"where run_id = %s and {index} >= %s and {index} < %s order by {index}"
            )
            with self._connection.cursor(name="rows") as cursor:
                cursor.execute(
                    statement.encode(),
                    (run_id, part.first_index, part.first_index + part.results),
                )
                for first, *rest in cursor:
                    rows.append((first - part.first_index, *rest))
            rows.seal()
        return part.with_tables(tables)

    def write(self, run_id: str, parts: Sequence[Part], code: CodeIdentity) -> None:
        """Write a run anew from all its parts, which have their rows."""
        system = parts[0].system
        columns = SYSTEMS[system]
        parent, *children = columns
        run = merged_run([part.run for part in parts])
        if system == "postman":
            run = self._with_collection(run, parts[0], run_id)
        row = (run_id, *(run[name] for name in columns[parent][1:]))
        first, placed = 0, []
        for part in parts:
            placed.append(part.placed_at(first))
            first += part.results
        rows: dict[str, Any] = {
            table: _NumberedRows(
                run_id, [(part.tables.get(table), part.first_index) for part in placed]
            )
            for table in children
        }
        digest = self._digest(row, placed)
        flat = FlatRun(
            run_id=run_id,
            is_open=False,
            opened_at=run["started_at"],
            digest=digest,
            rows=cast("Rows", {parent: [row], **rows}),  # read as they are written
            differences=_differences(placed),
        )
        written = merge_runs(self._connection, _Tables(columns), [flat], self._types, self._load_id)
        scope = (run["collection_id"] if system == "postman" else run["source"]) or "files"
        scope = scope[:_LONGEST_SCOPE]
        self._execute(
            "save_run_state",
            run_id=run_id, scope=scope, content_digest=digest,
            opened_at=run["started_at"],
        )  # fmt: skip
        self._execute("delete_parts", run_id=run_id)
        for number, part in enumerate(placed):
            self._execute(
                "save_part",
                run_id=run_id, part=number, run=Jsonb(part.run), totals=Jsonb(part.totals),
                **part.as_record(),
            )  # fmt: skip
        self._connection.execute(
            queries("ledger")["save_reconciliations"],
            {
                "source": system, "scope": scope, "load_id": self._load_id, "compared": [run_id],
                **difference_columns([flat]),
            },
        )  # fmt: skip
        self._save_code(run_id, system, first_known(code, self._code(run_id, system)))
        self._settle(placed[0], run.get("collection_id"))
        self.rows += written

    def note_code(self, run_id: str, system: str, code: CodeIdentity) -> None:
        """Add what a file says of the code of a run that is held as it is."""
        if self._save_code(run_id, system, first_known(self._code(run_id, system), code)):
            self._execute(f"touch_{system}_run", run_id=run_id, load_id=self._load_id)

    def forget(self, run_id: str, system: str, new_run_id: str) -> None:
        """Delete a run that is about to be written under another ID."""
        for table in SYSTEMS[system]:
            statement = f"delete from {table} where run_id = %s"  # noqa: S608 - our own names
            self._connection.execute(statement.encode(), (run_id,))
        self._execute("forget_run", run_id=run_id, system=system, new_run_id=new_run_id)

    def save_files(self, files: Sequence[ImportedFile]) -> None:
        """Write what became of files, and what the import has done so far."""
        for file in files:
            self._execute("save_file", **asdict(file))
        self.rejected += sum(file.outcome == "rejected" for file in files)
        self._execute(
            "update_import",
            load_id=self._load_id, rows_written=Jsonb(dict(self.rows)),
            rows_rejected=self.rejected,
        )  # fmt: skip

    def _digest(self, row: tuple[Any, ...], parts: Sequence[Part]) -> bytes:
        digest = hashlib.blake2b(digest_size=16, key=self._salt)
        digest.update(msgspec.json.encode(row))
        for part in parts:
            digest.update(part.content_digest)
        return digest.digest()

    def _with_collection(self, run: dict[str, Any], part: Part, run_id: str) -> dict[str, Any]:
        """The run with its collection's ID.

        As given or told; else the file's own, if a second run shows it as well (newman makes one
        up for a file without); else one made of the collection's name.
        """
        if run["collection_id"] is not None:
            return run
        if part.postman_id is not None:
            params = {"postman_id": part.postman_id, "run_id": run_id}
            row = self._connection.execute(self._sql["other_runs_of_collection"], params).fetchone()
            if row and row[0]:
                return {**run, "collection_id": part.postman_id}
        guessed = identity.collection_id(part.collection_name)
        extra = {**(run["extra"] or {}), "collectionIdGuessed": True}
        return {**run, "collection_id": guessed, "extra": extra}

    def _settle(self, part: Part, collection_id: str | None) -> None:
        """What a new run changes for others."""
        if part.postman_id is not None and part.postman_id == collection_id:
            self._execute("settle_collection", postman_id=part.postman_id, load_id=self._load_id)
        if part.collection_name is not None:
            self._execute(
                "supersede_junit", collection_name=part.collection_name, load_id=self._load_id
            )

    def _code(self, run_id: str, system: str) -> CodeIdentity:
        rows = self._dicts("code_identity", {"run_id": run_id, "system": system})
        return CodeIdentity(**rows[0]) if rows else CodeIdentity()

    def _save_code(self, run_id: str, system: str, code: CodeIdentity) -> bool:
        """Whether that was new."""
        values = {name: getattr(code, name) for name in _CODE}
        if not any(values.values()):
            return False
        params = {"run_id": run_id, "system": system, **values}
        return self._connection.execute(self._sql["save_code_identity"], params).rowcount > 0

    def _dicts(self, query: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        cursor = self._connection.cursor(row_factory=dict_row)
        return cursor.execute(self._sql[query], params).fetchall()

    def _execute(self, query: str, **params: Any) -> None:
        self._connection.execute(self._sql[query], params)


def _differences(parts: Sequence[Part]) -> list[Difference]:
    """Totals that all parts announce together, where the rows come to something else."""
    sums: dict[str, list[int]] = {}
    for part in parts:
        for total, announced, loaded, *_ in part.totals:
            held = sums.setdefault(total, [0, 0, 0])
            if announced is not None:
                held[0] += announced
                held[1] += 1
            held[2] += loaded
    return [
        Difference(total, announced, loaded)
        for total, (announced, announcing, loaded) in sums.items()
        if announcing == len(parts) and announced != loaded
    ]
