"""Named queries out of `sql/queries/`: a block starts at `-- name: …` and ends at the next."""

import re
from functools import cache

from pipelines.resources import bundled


@cache
def queries(subject: str) -> dict[str, bytes]:
    """The queries of `sql/queries/{subject}.sql` by name, as psycopg takes them."""
    text = (bundled("sql") / "queries" / f"{subject}.sql").read_text(encoding="utf-8")
    _, *blocks = re.split(r"^-- name: ", text, flags=re.MULTILINE)
    return {
        name.strip(): statement.strip().rstrip(";").encode()
        for name, statement in (block.split("\n", 1) for block in blocks)
    }
