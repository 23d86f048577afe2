"""Two builds of the models at once."""

from threading import Event, Thread

import pytest

from pipelines.errors import TransformError
from pipelines.transform import build_lock as module
from pipelines.transform.build_lock import build_lock
from tests.support.db import query

WAITING = """
select count(*) from pg_locks
where locktype = 'advisory' and not granted
and database = (select oid from pg_database where datname = current_database())
"""


def test_a_build_waits_until_the_one_before_it_has_ended(warehouse_url: str) -> None:
    entered = Event()

    def build() -> None:
        with build_lock(warehouse_url):
            entered.set()

    second = Thread(target=build)
    with build_lock(warehouse_url):
        second.start()
        while query(warehouse_url, WAITING) == [(0,)]:
            assert not entered.is_set()
        assert not entered.is_set()
    second.join()
    assert entered.is_set()


def test_whoever_waits_learns_for_whom_and_gives_up_in_the_end(
    warehouse_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENT_SECONDS", 0.05)
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.1)
    lines: list[str] = []
    with build_lock(warehouse_url) as session:
        name = session.info.parameter_status("application_name")
        with pytest.raises(TransformError) as caught, build_lock(warehouse_url, lines.append):
            pass
    assert lines == [f"waiting for the models, which are being built by {name}"]
    assert str(caught.value).startswith(f"the models are being built by {name}; waited ")
