"""The objects that Testmo's runs refer to, as they come beside a page of runs or a run."""

from typing import Any

from pipelines.sources.base import BadReference, References, Rows
from pipelines.sources.content import sanitize
from pipelines.sources.fields import BadFieldError
from pipelines.sources.redaction import Redactor
from pipelines.sources.rows import Row, RowMaker
from pipelines.sources.testmo.tables import REFERENCES, STATUSES, id_of

# Members of `expands`: each has a table of its name.
MEMBERS = tuple(table.name.partition(".")[2] for table in REFERENCES)


class ExpandsFlattener:
    """Makes rows of the objects of `expands`; URLs in them are masked by `redactor`."""

    def __init__(self, redactor: Redactor) -> None:
        self._tables = {
            member: (table.name, RowMaker(table, redactor).row)
            for member, table in zip(MEMBERS, REFERENCES, strict=True)
        }
        # Statuses of the instance as they were last seen, by ID.
        self._statuses: dict[Any, Row] = {}

    def flatten(self, expands: object) -> References:
        """What `expands` holds, by table. It is a list where it is empty.

        An object that cannot be parsed is set aside; the run that refers to it keeps the ID.
        """
        rows: dict[str, dict[Any, Row]] = {}
        bad: list[BadReference] = []
        if not isinstance(expands, dict):
            if expands:
                bad.append(BadReference("expands", expands, "expands: expected an object"))
            return References({}, bad)
        for member in MEMBERS:
            listed = expands.get(member) or []
            path = f"expands.{member}"
            if not isinstance(listed, list):
                bad.append(BadReference(path, listed, f"{path}: expected a list"))
                continue
            for position, record in enumerate(listed):
                try:
                    for table, (row,) in self.row(member, record).items():
                        rows.setdefault(table, {})[row[0]] = row
                except BadFieldError as error:
                    message = str(error.inside(f"{path}[{position}]"))
                    bad.append(BadReference(path, record, message))
        self._statuses.update(rows.get(STATUSES.name, {}))
        return References({table: [*by_id.values()] for table, by_id in rows.items()}, bad)

    def means(self, status: int | None, meaning: int, *, default: bool) -> bool:
        """Whether a status has a meaning (column of STATUSES); `default` where none is known."""
        row = self._statuses.get(status)
        return default if row is None else row[meaning] is True

    def row(self, member: str, record: Any) -> Rows:
        """The row of one object of `expands.{member}`, by its table. Raises BadFieldError."""
        if not isinstance(record, dict) or member not in self._tables:
            raise BadFieldError("", "expected an object")
        table, make_row = self._tables[member]
        clean, _ = sanitize(record)
        return {table: [make_row(clean, id_of(clean))]}
