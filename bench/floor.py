"""The floor of a load: the same rows, ready-made, by one COPY a table into the same keyed tables.

    python -m bench.floor LOADED_URL EMPTY_URL POSTMASTER_PID

Prints JSON: wall and Postgres CPU seconds of the COPY alone, bytes, rows. A process of its own: it
holds all rows in memory, and the bench must stay small (see measure.run).
"""

import json
import sys
import time
from typing import LiteralString

import psycopg

from bench.warehouse import cpu

_TABLES: tuple[LiteralString, ...] = (
    "raw_postman.collection_runs",
    "raw_postman.executions",
    "raw_postman.assertions",
    "raw_testmo.automation_runs",
    "raw_testmo.automation_run_threads",
    "raw_testmo.automation_run_tags",
    "raw_testmo.automation_run_artifacts",
    "raw_testmo.automation_run_fields",
    "raw_testmo.automation_run_links",
)


def main(loaded: str, empty: str, postmaster: int) -> None:
    ready: dict[LiteralString, list[bytes]] = {}
    with psycopg.connect(loaded) as session:
        for table in _TABLES:
            with session.cursor().copy(f"copy {table} to stdout (format binary)") as copy:
                ready[table] = [bytes(block) for block in copy]
    rows = 0
    with psycopg.connect(empty) as session:
        session.execute("select 1")
        spent, began = cpu(postmaster), time.perf_counter()
        with session.cursor() as cursor:
            for table, blocks in ready.items():
                with cursor.copy(f"copy {table} from stdin (format binary)") as copy:
                    for block in blocks:
                        copy.write(block)
                rows += cursor.rowcount
        session.commit()
        result = {
            "wall": time.perf_counter() - began,
            "postgres": cpu(postmaster) - spent,
            "bytes": sum(len(block) for blocks in ready.values() for block in blocks),
            "rows": rows,
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
