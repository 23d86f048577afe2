"""Two builds of the models at once."""

from threading import Event, Thread

from pipelines.transform.build import build_lock
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
