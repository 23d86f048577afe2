"""Which changes make a build worth its time."""

import psycopg
import pytest

from pipelines.transform.build_record import build_inputs

CHANGES = {
    "a run of Postman": "insert into raw_postman.collection_runs (run_id, collection_id, load_id)"
    " values ('r', 'c', 1)",
    "a person of Testmo": "insert into raw_testmo.users (id, name, load_id) values (1, 'Ada', 1)",
    "a report file": "insert into raw_reports.runs (run_id, source, format, load_id)"
    " values ('junit-1', 'pytest', 'junit', 1)",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_build_is_due_once_a_raw_table_has_changed(emptied_url: str, change: str) -> None:
    with psycopg.connect(emptied_url, autocommit=True) as session:
        before = build_inputs(session, "UTC")
        assert build_inputs(session, "UTC") == before
        session.execute(CHANGES[change].encode())
        assert build_inputs(session, "UTC") != before
