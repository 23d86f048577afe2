"""How far a scope is read, and the walk that is under way (`ingest.watermarks`, `ingest.walks`)."""

from collections.abc import Mapping

import psycopg
from psycopg.rows import dict_row

from pipelines.sources.base import WalkState, Watermark
from pipelines.warehouse.queries import queries


def read_watermark(
    connection: psycopg.Connection, key: Mapping[str, str], filters: str
) -> Watermark:
    """The watermark of a source and scope; one made under other filters counts for nothing.

    What those filters hid lies before it.
    """
    cursor = connection.cursor(row_factory=dict_row)
    row = cursor.execute(queries("ledger")["read_watermark"], key).fetchone()
    if row is None or row.pop("filters") != filters:
        return Watermark()
    high_water, resume_at, known_order = (
        row.pop(name) for name in ("high_water", "cursor", "known_order")
    )
    walk = None if row["started_at"] is None else WalkState(**row)
    return Watermark(high_water, resume_at, walk, known_order)


def save_watermark(
    connection: psycopg.Connection, key: Mapping[str, str], filters: str, watermark: Watermark
) -> None:
    """Write it in the caller's transaction, which is that of the rows that it stands for."""
    no_walk = {**dict.fromkeys(WalkState.__dataclass_fields__), "list_order": "unknown"}
    connection.execute(
        queries("ledger")["save_watermark"],
        {
            **key,
            **(vars(watermark.walk) if watermark.walk else no_walk),
            "high_water": watermark.high_water,
            "cursor": watermark.cursor,
            "known_order": watermark.known_order,
            "filters": filters,
        },
    )
