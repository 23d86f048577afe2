"""Every fault of the sandbox: a load ends, says what is wrong, stops nobody else, loses nothing."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.faults import CATALOGUE, FAMILIES
from pipelines.sandbox.server import Sandbox
from tests.support.cli import Done, command
from tests.support.contract import POSTMAN, TESTMO
from tests.support.db import query
from tests.support.factories import BOOKS, postman_run, testmo_run
from tests.support.fast_clock import FastClock, in_haste
from tests.support.oracle import (
    Tables,
    assert_warehouse_is,
    living,
    tables_of_postman,
    tables_of_testmo,
)

Json = dict[str, Any]

TIME_OUTS = {
    "no-answer", "half-a-header", "stalled-body", "slow-drip", "endless-drip", "endless-continue",
}  # fmt: skip


@dataclass(frozen=True)
class Ends:
    """How a load ends under a fault that holds: what is said of each struck scope.

    None: it is loaded. `helps`: whether a later load may succeed; `stops`: the whole source.
    `at_once`: everything is there after the load, or only after those that follow.
    """

    postman: str | None = None
    testmo: str | None = None
    helps: bool = True
    stops: bool = False
    at_once: bool = True


def fails(message: str, *, helps: bool = True, stops: bool = False) -> Ends:
    return Ends(message, message, helps=helps, stops=stops, at_once=False)


LOADED, LATER = Ends(), Ends(at_once=False)
ENDS = {
    **dict.fromkeys(TIME_OUTS, fails("the answer timed out")),
    "hung-up": fails("the connection was closed"),
    "reset": fails("the connection was closed"),
    "reset-in-body": fails("the body is cut short"),
    "truncated": fails("the body is cut short"),
    "html": fails("HTTP 200 with a body that is not JSON"),
    "empty-body": fails("HTTP 200 with a body that is not JSON"),
    "error-with-200": fails("HTTP 200 with JSON that holds no r"),
    "gzip": LOADED,
    "gzip-broken": fails("the body cannot be decompressed"),
    "redirect": fails("HTTP 302, a redirect, which is not followed", helps=False),
    "unauthorized": fails("HTTP 401, the key is not accepted", helps=False, stops=True),
    "forbidden": fails("HTTP 403", helps=False),
    **{f"status-{status}": fails(f"HTTP {status}") for status in (500, 502, 503, 504)},
    "endless-body": fails("MB; see TESTRUNS_MAX_BODY_MB", helps=False),
    "gzip-bomb": fails("MB; see TESTRUNS_MAX_BODY_MB", helps=False),
    "huge-headers": fails("the answer is not HTTP"),
    "not-utf8": LATER,
    "listed-is-unknown": Ends("deferred to the next load", None, at_once=False),
    **{
        f"cursor-{status}": Ends(f"HTTP {status}", None, helps=status == 500, at_once=False)
        for status in (404, 410, 414, 422, 500)
    },
    "cursor-half-a-character": Ends("cursor cannot be sent", None, helps=False, at_once=False),
    "cursor-of-a-megabyte": Ends("cursor cannot be sent", None, helps=False, at_once=False),
    "empty-page": Ends("led to an empty page", None, at_once=False),
    "empty-page-with-total": Ends("led to an empty page", None, at_once=False),
    "total-untold": LOADED,
    "limit-of-a-year": fails("the rate limit is used up; resumes", stops=True),
    "reset-in-2055": Ends("HTTP 429", None, at_once=False),
    "limit-in-seconds": fails("HTTP 429"),
    "limit-as-date": fails("HTTP 429"),
    "limit-in-retryafter": fails("HTTP 429"),
    "limit-untold": fails("HTTP 429"),
    "limit-storm": fails("HTTP 429"),
    "limit-of-an-hour": fails("the rate limit is used up; resumes", stops=True),
    "month-spent": Ends("the month's budget of calls: 0 of", None, stops=True, at_once=False),
    "newest-first": Ends(None, "not in the order asked for", helps=False, at_once=False),
    "oldest-first": LOADED,
    "no-order": Ends(None, "not in the order asked for", helps=False, at_once=False),
    "small-pages": LOADED,
    "cursor-repeats": Ends("leads back to a page", None, helps=False, at_once=False),
    "cursor-expired": Ends("HTTP 400", None, helps=False, at_once=False),
    "pages-never-end": Ends(None, "tells of runs on a page, and that page is empty", at_once=False),
    # A list that says it has ended is believed until the next load.
    "cursor-leads-nowhere": Ends("led to an empty page", None, at_once=False),
    "meta-without-cursor": LATER,
    "meta-null": LATER,
    "meta-empty": LATER,
    **{fault.name: LATER for fault in FAMILIES["happenings"]},
    "runs-vanish": Ends("deferred to the next load", None, at_once=False),
    **{fault.name: LATER for fault in FAMILIES["records"]},
    "byte-order-mark": LOADED,
    "duplicate-ids": LOADED,
}


# These stop their whole source, so each is met by a load of its own.
STOPPING = [name for name, ends in ENDS.items() if ends.stops]
# What the loader meets in the same way as another, or for seconds: only on its own, and slowly.
KINDRED = {
    "listed-is-unknown", "empty-page", "reset-in-2055",
    "endless-drip", "endless-continue", "endless-body", "gzip-bomb", "huge-headers", "not-utf8",
    "cursor-410", "cursor-414", "cursor-422", "cursor-500", "cursor-half-a-character",
    "empty-page-with-total", "limit-of-a-year", "long-names", "counts-at-the-limit",
    "half-a-header", "reset", "reset-in-body", "empty-body", "status-500", "status-502",
    "status-504", "limit-as-date", "limit-in-retryafter", "limit-untold", "newest-first",
    "meta-without-cursor", "meta-null", "cursor-leads-nowhere", "runs-queue",
    "times-as-epochs", "times-without-zone", "lone-surrogates", "null-lists", "many-executions",
    "long-strings", "unknown-fields", "duplicate-ids", "byte-order-mark",
}  # fmt: skip
TOGETHER = [name for name in CATALOGUE if name not in {*STOPPING, *TIME_OUTS, *KINDRED}]
# A refusal slows down everything behind it.
TOGETHER.sort(key=lambda name: CATALOGUE[name] in FAMILIES["limits"])
ENOUGH = 250
QUIET = "no fault at all"
# So that a list has two pages, of ten runs and of fifteen.
RUNS_A_SCOPE = {"postman": 14, "testmo": 18}


class Faulty:
    """A sandbox with a scope of each source for every fault, and one for none."""

    def __init__(self, names: list[str], clock: FastClock) -> None:
        self.places = {name: place for place, name in enumerate([*names, QUIET], start=1)}
        self.sandbox = Sandbox(
            SandboxData(
                [run for place in self.places.values() for run in self._runs("postman", place)],
                [run for place in self.places.values() for run in self._runs("testmo", place)],
                {**BOOKS, "projects": {}},
            ),
            clock=clock,
        )

    @staticmethod
    def _runs(source: str, place: int) -> list[Json]:
        make = postman_run if source == "postman" else testmo_run
        scope: Json = {"collectionId": f"c{place}"}
        if source == "testmo":
            scope = {"project_id": place}
        return [
            make(1000 * place + number, number, **scope) for number in range(RUNS_A_SCOPE[source])
        ]

    def scope(self, source: str, name: str) -> str:
        return ("c" if source == "postman" else "") + str(self.places[name])

    def prefix(self, source: str, name: str) -> str:
        """What all requests begin with that are a scope's own."""
        kind = "collections" if source == "postman" else "projects"
        return f"/{kind}/{self.scope(source, name)}/"

    def is_struck(self, source: str, name: str) -> bool:
        lists = f"{source}{self.prefix(source, name)}runs"
        details = f"{source}{self.prefix(source, name)}runs/1"
        where = CATALOGUE[name].where
        return fnmatchcase(lists, where) or (source == "postman" and fnmatchcase(details, where))

    def ask_for_all(self, options: str = "") -> None:
        """No fault strikes more often than any load may ask, so that every load ends."""
        self.sandbox.faults.replace(
            *(
                f"{name}:times={ENOUGH}{options}:endpoint={source}{self.prefix(source, name)}*"
                for name in self.places
                for source in ("postman", "testmo")
                if name != QUIET and self.is_struck(source, name)
            ),
            "small-pages",
        )

    def held(self, source: str, name: str) -> list[Json]:
        """The runs of a scope as they are at the source now."""
        if source == "postman":
            collection = self.scope(source, name)
            return [run for run in self.sandbox.postman_runs if run["collectionId"] == collection]
        project = self.places[name]
        return [run for run in self.sandbox.testmo_runs if run["project_id"] == project]


@dataclass(frozen=True)
class Met:
    """A load that has met faults: what it said and sent, and what was there after it.

    `made_up` is what was there after the next load, `later`, the faults being over.
    """

    faulty: Faulty
    done: Done
    paths: list[tuple[str, str]]
    loaded: dict[str, Tables]
    later: Done
    made_up: dict[str, Tables]

    def complaint(self, source: str, name: str) -> str | None:
        """What the load said of a scope, if it failed."""
        lines = self.done.out.splitlines()
        begins = f"{source} {self.faulty.scope(source, name)}: "
        # Before the load it may say how many runs there are.
        *_, line = [line for line in lines if line.startswith(begins)]
        failed = re.search(
            r": FAILED: (.*?); (?:[\d,]+ runs, [\d,]+ rows written before; )?[\d,]+ requests", line
        )
        return failed[1] if failed else None

    def is_whole(self, held: dict[str, Tables], source: str, name: str) -> bool:
        """Whether tables hold all of a scope's runs as they are at the source."""
        runs = self.faulty.held(source, name)
        ids = {run["id"] for run in runs}
        expected = (
            tables_of_postman(runs, POSTMAN)
            if source == "postman"
            else tables_of_testmo(runs, TESTMO)
        )
        return expected == {
            table: [row for row in rows if row[0] in ids] for table, rows in held[source].items()
        }


def variables_of(sandbox: Sandbox, url: str, home: Path) -> dict[str, str]:
    return {
        **sandbox.settings,
        "TESTRUNS_WAREHOUSE_URL": url,
        "TESTRUNS_HOME": str(home),
    }


def snapshot(url: str) -> dict[str, Tables]:
    return {"postman": living(url, POSTMAN), "testmo": living(url, TESTMO)}


@contextmanager
def met(names: list[str], url: str, home: Path, timeout_seconds: float) -> Iterator[Met]:
    """A load under the faults, all at once, then a load without."""
    clock = FastClock()
    faulty = Faulty(names, clock)
    with faulty.sandbox as sandbox:
        variables = variables_of(sandbox, url, home)
        if names == ["many-executions"]:
            # Testmo's list then holds more than fits by default.
            variables["TESTRUNS_MAX_BODY_MB"] = "1000"
        faulty.ask_for_all()
        with in_haste(clock, timeout_seconds=timeout_seconds):
            done = command(home, variables, "load")
        paths = [(request.api, request.path) for request in sandbox.requests]
        loaded = snapshot(url)
        sandbox.faults.clear()
        # A wait that was announced is kept in the warehouse; it is over as well.
        query(url, "delete from ingest.rate_limits returning 1")
        with in_haste(clock):
            later = command(home, variables, "load")
        yield Met(faulty, done, paths, loaded, later, snapshot(url))


Home = Callable[[], Path]


@pytest.fixture(scope="module")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return lambda: tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def all_met(new_warehouse: Callable[[], str], new_home: Home) -> Iterator[Met]:
    with met(TOGETHER, new_warehouse(), new_home(), 10) as all_met:
        yield all_met


@pytest.fixture(scope="module")
def time_outs_met(new_warehouse: Callable[[], str], new_home: Home) -> Iterator[Met]:
    with met(sorted(TIME_OUTS - KINDRED), new_warehouse(), new_home(), 0.05) as time_outs_met:
        yield time_outs_met


def assert_ended(met: Met, name: str) -> None:
    """A fault's scopes ended as they should, and those beside them are loaded."""
    for source, message in (("postman", ENDS[name].postman), ("testmo", ENDS[name].testmo)):
        complaint = met.complaint(source, name)
        assert message in (complaint or "") if message else complaint is None, complaint
        # Nothing is tried more often than five times.
        own = [path for api, path in met.paths if path.startswith(met.faulty.prefix(source, name))]
        assert 0 < len(own) <= 5 * (len(met.faulty.held(source, name)) + 20)
        if ENDS[name].at_once:
            assert met.is_whole(met.loaded, source, name)
        beside = met.complaint(source, QUIET)
        if message and ENDS[name].stops:
            assert beside == f"not tried: {complaint}"
        else:
            assert beside is None
            assert met.is_whole(met.loaded, source, QUIET)


def assert_summed_up(met: Met, names: list[str]) -> None:
    """Each scope that failed is in the last line, which says whether trying again can help."""
    failed = [
        f"{source} {met.faulty.scope(source, name)}"
        for source in ("postman", "testmo")
        for name in met.faulty.places
        if met.complaint(source, name) is not None
    ]
    *_, summary = met.done.err.splitlines()
    scopes = 2 * len(met.faulty.places)
    helps = any(ENDS[name].helps for name in names)
    outlook = "may succeed" if helps else "will fail as well until this is mended"
    assert summary == (
        f"testruns: {len(failed)} of {scopes} scopes failed ({', '.join(failed)});"
        f" a later load {outlook}"
    )
    assert met.done.status == 1
    assert "Traceback" not in met.done.out + met.done.err


def assert_made_up_for(met: Met, name: str) -> None:
    """The next load made up for a fault; the key was sent nowhere else."""
    assert met.later.status == 0, met.later.out
    assert {request.api for request in met.faulty.sandbox.requests} == {"postman", "testmo"}
    if CATALOGUE[name] not in [*FAMILIES["records"], *FAMILIES["happenings"]]:
        for source in ("postman", "testmo"):
            assert met.is_whole(met.made_up, source, name)


@pytest.mark.parametrize("name", TOGETHER)
def test_a_fault_is_named_in_its_own_scope_and_harms_no_other(all_met: Met, name: str) -> None:
    assert_ended(all_met, name)
    assert_made_up_for(all_met, name)


@pytest.mark.parametrize("name", sorted(TIME_OUTS - KINDRED))
def test_an_answer_that_does_not_come_is_named_in_its_own_scope(
    time_outs_met: Met, name: str
) -> None:
    assert_ended(time_outs_met, name)
    assert_made_up_for(time_outs_met, name)


def test_a_load_that_met_faults_sums_them_up(all_met: Met, time_outs_met: Met) -> None:
    assert_summed_up(all_met, TOGETHER)
    assert_summed_up(time_outs_met, sorted(TIME_OUTS - KINDRED))


@pytest.mark.parametrize("name", STOPPING)
def test_a_fault_that_would_meet_every_scope_stops_its_source_alone(
    emptied_url: str, tmp_path: Path, name: str
) -> None:
    with met([name], emptied_url, tmp_path, 10) as alone:
        assert_ended(alone, name)
        assert_summed_up(alone, [name])
        assert_made_up_for(alone, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOGUE)
def test_after_a_fault_on_its_own_a_load_and_a_backfill_make_the_tables_the_source(
    emptied_url: str, tmp_path: Path, name: str
) -> None:
    with met([name], emptied_url, tmp_path, 0.1 if name in TIME_OUTS else 10) as alone:
        assert_ended(alone, name)
        assert_made_up_for(alone, name)
        # A detail that was no different in the list is read again by a backfill alone.
        sandbox = alone.faulty.sandbox
        variables = variables_of(sandbox, emptied_url, tmp_path / "later")
        assert command(tmp_path, variables, "backfill", "--since", "2020-01-01").status == 0
        assert_warehouse_is(emptied_url, sandbox)


PASSING = [
    name
    for name, ends in ENDS.items()
    if (ends.postman or ends.testmo) and ends.helps and not ends.stops
    # A run that has vanished stays so.
    if name not in {*TIME_OUTS, *KINDRED, "runs-vanish"}
]


def test_faults_that_pass_are_not_even_noticed(emptied_url: str, tmp_path: Path) -> None:
    clock = FastClock()
    faulty = Faulty(PASSING, clock)
    faulty.ask_for_all(":after=1:every=4")
    with faulty.sandbox as sandbox, in_haste(clock):
        done = command(tmp_path, variables_of(sandbox, emptied_url, tmp_path), "load")
        assert done.status == 0
        assert "FAILED" not in done.out
        struck = sandbox.faults.struck.values()
        assert min(struck) >= 1
        assert_warehouse_is(emptied_url, sandbox)
