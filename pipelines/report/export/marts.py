"""What there is to export: marts, their columns, and the parts of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from psycopg import Connection, sql
from psycopg.rows import class_row, scalar_row

from pipelines.warehouse.queries import queries

DAY = "business_date"


@dataclass(frozen=True)
class Mart:
    """A table or view of `marts`: names and types of its columns, and the key it is sorted by."""

    name: str
    columns: list[str]
    types: list[str]
    key: list[str]

    @property
    def has_months(self) -> bool:
        """Whether its rows are of a day; others are exported as a whole."""
        return DAY in self.columns


@dataclass(frozen=True)
class Part:
    """The rows of a mart that make one file.

    `month` is the month, as 2026-07, `undated` for rows without a day, and None for a whole mart.
    """

    mart: Mart
    month: str | None

    def path(self, suffix: str) -> str:
        """Where it goes, below the export's folder."""
        if self.month is None:
            return f"{self.mart.name}.{suffix}"
        return f"{self.mart.name}/{self.month}.{suffix}"

    @property
    def query(self) -> sql.Composed:
        """Its rows, in an order that does not change."""
        where: sql.Composable = sql.SQL("")
        if self.month == "undated":
            where = sql.SQL(" where business_date is null")
        elif self.month is not None:
            where = sql.SQL(
                " where business_date >= {first}::date"
                " and business_date < {first}::date + interval '1 month'"
            ).format(first=sql.Literal(f"{self.month}-01"))
        return sql.SQL("select {columns} from {mart}{where} order by {key}").format(
            columns=sql.SQL(", ").join(map(sql.Identifier, self.mart.columns)),
            mart=sql.Identifier("marts", self.mart.name),
            where=where,
            key=sql.SQL(", ").join(map(sql.Identifier, self.mart.key)),
        )


def read_marts(connection: Connection) -> list[Mart]:
    """All marts, by name; none where nothing was ever built."""
    cursor = connection.cursor(row_factory=class_row(Mart))
    return cursor.execute(queries("export")["marts"]).fetchall()


def lock_marts(connection: Connection, marts: list[Mart]) -> None:
    """Keep builds from swapping them until the transaction ends; who reads is not kept waiting."""
    names = sql.SQL(", ").join(sql.Identifier("marts", mart.name) for mart in marts)
    connection.execute(sql.SQL("lock table {} in access share mode").format(names))


def parts(
    connection: Connection, mart: Mart, since: datetime, until: datetime, zone: str
) -> Iterator[Part]:
    """Whole months that have rows, from the one that holds `since` to the last before `until`."""
    if not mart.has_months:
        yield Part(mart, None)
        return
    first, last = (time.astimezone(ZoneInfo(zone)).date() for time in (since, until))
    statement = sql.SQL(
        "select distinct coalesce(to_char(business_date, 'YYYY-MM'), 'undated') from {mart}"
        " where business_date is null or"
        " business_date >= date_trunc('month', %s::date) and business_date <= %s order by 1"
    ).format(mart=sql.Identifier("marts", mart.name))
    cursor = connection.cursor(row_factory=scalar_row)
    for month in cursor.execute(statement, (first, last)).fetchall():
        yield Part(mart, month)
