"""Who holds a lock, who waits for whom and for how long."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

from pipelines.errors import WarehouseError
from pipelines.warehouse.engine import connect
from pipelines.warehouse.locks import take_lock

NAME = "testruns postman a"


@pytest.fixture
def session(warehouse_url: str) -> Iterator[Callable[..., psycopg.Connection]]:
    """Opens sessions of one warehouse, or of another."""
    sessions: list[psycopg.Connection] = []

    def opened(url: str = warehouse_url, role: str = "testruns") -> psycopg.Connection:
        sessions.append(connect(url, role=role))
        return sessions[-1]

    yield opened
    for connection in sessions:
        connection.close()


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


Open = Callable[..., psycopg.Connection]


def take(connection: psycopg.Connection, name: str = NAME, seconds: float = 0.04) -> list[str]:
    """For whom was waited."""
    waited_for: list[str] = []
    take_lock(
        connection, name, busy="postman a is being loaded", waits=waited_for.append, seconds=seconds
    )
    return waited_for


def test_a_lock_is_held_by_one_session_and_the_next_hears_by_whom(session: Open) -> None:
    holding, refused = session(role="testruns first"), session()
    assert take(holding) == []
    with pytest.raises(
        WarehouseError, match=r"^postman a is being loaded by testruns first \S+; waited 0.04 s "
    ):
        take(refused)
    assert take(refused, "testruns postman b") == []


def test_whoever_holds_the_same_lock_in_another_warehouse_is_not_named(
    session: Open, empty_database_url: str
) -> None:
    for _ in range(3):
        session(empty_database_url, role="stranger").execute(
            "select pg_advisory_lock_shared(hashtextextended(%s, 0))", (NAME,)
        )
    take(session())
    with pytest.raises(WarehouseError, match=r"^postman a is being loaded by testruns "):
        take(session())


def test_the_lock_of_a_session_that_has_ended_is_free_at_once(session: Open) -> None:
    holding = session()
    take(holding)
    holding.close()
    assert take(session()) == []


@pytest.mark.parametrize("quiet", [0.01, 60])
def test_a_session_waits_for_the_one_before_it_and_says_so_when_it_takes_long(
    session: Open, warehouse_url: str, quiet: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.warehouse.locks._QUIET_SECONDS", quiet)
    holding, waiting = session(role="testruns first"), session()
    take(holding)
    blocked = (
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        " and datname = current_database()"
    )
    waited_for: list[str] = []

    def wait() -> None:
        take_lock(waiting, NAME, busy="", waits=waited_for.append, seconds=60)

    with ThreadPoolExecutor(1) as thread, closing(connect(warehouse_url)) as watching:
        taken = thread.submit(wait)
        while watching.execute(blocked).fetchone() == (0,) or bool(waited_for) is (quiet == 60):
            assert not taken.done()
        holding.close()
        taken.result(timeout=20)

    assert [name.rpartition(" ")[0] for name in waited_for] == (
        [] if quiet == 60 else ["testruns first"]
    )
    # Nothing of the wait is left in the session.
    assert waiting.execute("show lock_timeout").fetchone() == ("0",)
