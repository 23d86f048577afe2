"""The seeded history: the same for the same arguments, and every story is there to find."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import mean, median
from typing import Any

import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.history import seeded_history

END = datetime(2026, 11, 19, 15, 20, tzinfo=UTC)
SUNDAY = datetime(2026, 3, 1, 6, 5, tzinfo=UTC)
Json = dict[str, Any]


@pytest.fixture(scope="module", params=[END, SUNDAY], ids=["workday", "sunday"])
def end(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def history(end: datetime) -> SandboxData:
    return seeded_history(end)


@pytest.fixture(scope="module")
def finished(history: SandboxData) -> list[Json]:
    return [run for run in history.postman_runs if run.get("executions")]


def of(collection: str, runs: list[Json]) -> list[Json]:
    """Runs of a collection, known by a request that no other has."""
    only = {
        "Payments": "Capture",
        "Search": "Suggest",
        "Accounts": "Log in",
        "Shop": "Open session",
    }
    return [run for run in runs if only[collection] in {e["itemName"] for e in run["executions"]}]


def executions(runs: list[Json], item: str = "") -> Iterator[tuple[datetime, Json]]:
    for run in runs:
        for execution in run["executions"]:
            if item in ("", execution["itemName"]):
                yield datetime.fromisoformat(run["startedAt"]), execution


def fails(run: Json, assertion: str) -> bool:
    return any(
        check["name"] == assertion and not check["passed"]
        for execution in run["executions"]
        for check in execution["assertions"]
    )


def times(value: Any) -> Iterator[datetime]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.endswith(("_at", "At")) and inner:
                yield datetime.fromisoformat(inner)
            yield from times(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from times(inner)


def test_the_same_arguments_give_the_same_history(history: SandboxData, end: datetime) -> None:
    assert seeded_history(end) == history


def test_a_later_history_goes_on_where_an_earlier_one_ended() -> None:
    earlier, later = seeded_history(END), seeded_history(END + timedelta(days=1, hours=2))
    begin = (END - timedelta(days=58)).isoformat()

    def begun(runs: list[Json], name: str) -> set[tuple[Any, str]]:
        return {(run["id"], run[name]) for run in runs if run[name] > begin}

    for gone in (
        begun(earlier.postman_runs, "startedAt") - begun(later.postman_runs, "startedAt"),
        begun(earlier.testmo_runs, "created_at") - begun(later.testmo_runs, "created_at"),
    ):
        assert len(gone) < 20  # what was open, and who looked at the outage
    threads = [t["id"] for r in later.testmo_runs for t in r["threads"]]
    assert len(threads) == len(set(threads))


def test_another_seed_gives_another_history(history: SandboxData, end: datetime) -> None:
    other = seeded_history(end, seed=8)
    assert {r["id"] for r in other.postman_runs}.isdisjoint(r["id"] for r in history.postman_runs)
    assert other.testmo_runs != history.testmo_runs


@pytest.mark.parametrize(
    ("today", "end"),
    [
        (END, END),
        (datetime.fromisoformat("2026-11-19T17:20:00+02:00"), END),
        (date(2026, 11, 19), datetime(2026, 11, 19, tzinfo=UTC)),
        (date(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_nothing_lies_in_the_future_nor_before_its_days(today: date, end: datetime) -> None:
    history = seeded_history(today)
    all_times = [*times(history.postman_runs), *times(history.testmo_runs)]
    assert max(all_times) < end
    assert min(all_times) >= end - timedelta(days=60)
    assert min(all_times) < end - timedelta(days=59)
    done = [r["finishedAt"] for r in history.postman_runs if r.get("finishedAt")]
    assert (
        end - timedelta(hours=12) < datetime.fromisoformat(max(done)) < end - timedelta(minutes=55)
    )


def test_its_size_is_that_of_a_small_team(history: SandboxData, finished: list[Json]) -> None:
    assert 700 <= len(history.postman_runs) <= 900
    assert 450 <= len(history.testmo_runs) <= 550
    assert len({run["collectionId"] for run in history.postman_runs}) == 4
    assert {run["project_id"] for run in history.testmo_runs} == {1, 2, 3}
    whole = [run for run in finished if len(run["executions"]) != 6]
    assert all(8 <= len(run["executions"]) <= 20 for run in whole)
    assert all(1 <= len(e["assertions"]) <= 4 for _, e in executions(finished))
    assert {len(run["threads"]) for run in history.testmo_runs} == {1, 2, 3, 4}
    sources = {run["source"] for run in history.postman_runs}
    assert sources == {"monitor", "schedule", "newman", "collection_runner"}


def test_fewer_runs_start_on_weekends(history: SandboxData) -> None:
    for name, runs in (("startedAt", history.postman_runs), ("created_at", history.testmo_runs)):
        days = Counter(datetime.fromisoformat(run[name]).isoweekday() > 5 for run in runs)
        assert days[True] / 2 < 0.8 * days[False] / 5


def test_announced_totals_are_those_of_the_executions(finished: list[Json]) -> None:
    for run in finished:
        checks = [check for e in run["executions"] for check in e["assertions"]]
        assert run["stats"] == {
            "requests": {
                "total": len(run["executions"]),
                "failed": sum(not e.get("response") for e in run["executions"]),
            },
            "assertions": {
                "total": len(checks),
                "failed": sum(not check["passed"] for check in checks),
            },
        }
        taken = datetime.fromisoformat(run["finishedAt"]) - datetime.fromisoformat(run["startedAt"])
        assert taken == timedelta(milliseconds=run["duration"])


def test_one_assertion_is_flaky_and_passes_the_next_time(finished: list[Json]) -> None:
    failed = [fails(run, "Results are sorted by price") for run in of("Search", finished)]
    assert 0.10 < mean(failed) < 0.23
    assert sum(a and b for a, b in pairwise(failed)) <= 2  # a 502 now and then


def test_one_endpoint_slows_down_over_three_weeks(finished: list[Json], end: datetime) -> None:
    by_age = defaultdict(list)
    for at, execution in executions(finished, "List transactions"):
        if (execution.get("response") or {}).get("statusCode") == 200:
            by_age[(end - at).days].append(execution["response"]["responseTime"])
    before = median(ms for age, all_ms in by_age.items() if age >= 21 for ms in all_ms)
    halfway = median(ms for age in range(8, 13) for ms in by_age[age])
    lately = median(ms for age in range(3) for ms in by_age[age])
    assert 1.25 < halfway / before < 2.2
    assert 1.9 < lately / before < 3.1


def test_other_endpoints_stay_as_fast_as_they_were(finished: list[Json], end: datetime) -> None:
    for item in ("Place order", "Authorise card", "Search by word", "Log in"):
        old: list[int] = []
        new: list[int] = []
        for at, execution in executions(finished, item):
            if (execution.get("response") or {}).get("statusCode") in (200, 201):
                (new if at > end - timedelta(days=7) else old).append(
                    execution["response"]["responseTime"]
                )
        assert 0.75 < median(new) / median(old) < 1.33


def test_payments_was_down_for_five_hours(finished: list[Json], end: datetime) -> None:
    down = [
        run
        for run in of("Payments", finished)
        if sum(not c["passed"] for e in run["executions"] for c in e["assertions"]) > 20
    ]
    starts = sorted(datetime.fromisoformat(run["startedAt"]) for run in down)
    assert len(down) >= 6
    assert timedelta(hours=3.5) < starts[-1] - starts[0] <= timedelta(hours=5)
    assert starts[0].date() == starts[-1].date()
    assert starts[0].isoweekday() <= 5
    assert end - timedelta(days=16) < starts[0] < end - timedelta(days=11)
    answers = Counter((e.get("response") or {}).get("statusCode") for _, e in executions(down))
    assert set(answers) == {503, None}
    assert min(answers.values()) > 20
    others = [e for run in finished if run not in down for e in run["executions"]]
    assert 503 not in {(e.get("response") or {}).get("statusCode") for e in others}


def test_one_run_is_green_but_was_cut_short(finished: list[Json]) -> None:
    counts = Counter(len(run["executions"]) for run in of("Shop", finished))
    assert counts[6] == 1
    assert set(counts) == {6, 15}
    (short,) = (run for run in of("Shop", finished) if len(run["executions"]) == 6)
    assert short["status"] == "finished"
    assert short["stats"]["assertions"]["failed"] == short["stats"]["requests"]["failed"] == 0


def test_one_run_failed_without_results(history: SandboxData) -> None:
    (failed,) = (run for run in history.postman_runs if run["status"] == "failed")
    assert failed["stats"] is failed["executions"] is None
    assert failed["finishedAt"]
    assert failed["runError"]


def test_one_run_is_open_in_each_system(history: SandboxData) -> None:
    (running,) = (run for run in history.postman_runs if not run.get("finishedAt"))
    assert running["status"] == "running"
    assert "stats" not in running
    (active,) = (run for run in history.testmo_runs if not run["is_completed"])
    assert active["status"] == 4
    assert active["elapsed"] is active["completed_at"] is None
    assert active["untested_count"] > 0
    assert [thread["status"] for thread in active["threads"]][-1] == 4
    assert active["thread_active_count"] == 1


def test_one_assertion_is_broken_since_four_days(finished: list[Json], end: datetime) -> None:
    def broken(run: Json) -> bool:
        return fails(run, "Verification link is sent")

    runs = of("Accounts", finished)
    since = end - timedelta(days=4)
    lately = [r for r in runs if datetime.fromisoformat(r["startedAt"]) >= since]
    assert len(lately) >= 5
    assert all(broken(run) for run in lately)
    assert mean(broken(run) for run in runs if run not in lately) < 0.02


def test_most_runs_are_green(finished: list[Json]) -> None:
    assert mean(run["stats"]["assertions"]["failed"] > 0 for run in finished) < 0.15


def test_runs_by_newman_carry_fields_beyond_the_reference(finished: list[Json]) -> None:
    newman = [run for run in finished if run["source"] == "newman"]
    assert all("exitCode" in run and "createdBy" not in run for run in newman)
    fields = {field for _, execution in executions(newman) for field in execution}
    assert {"iteration", "position", "requestError", "scriptErrors"} <= fields
    checks = [check for _, e in executions(newman) for check in e["assertions"]]
    assert any(check["skipped"] for check in checks)
    assert any("\n" in check.get("error", "") for check in checks)
    repeated = Counter(e["id"] for e in of("Search", newman)[0]["executions"])
    assert set(repeated.values()) == {2}
    others = [run for run in finished if run["source"] != "newman"]
    assert all("createdBy" in run and "exitCode" not in run for run in others)


def test_some_urls_hold_secrets_to_be_masked(history: SandboxData, finished: list[Json]) -> None:
    urls = {execution["request"]["url"] for _, execution in executions(finished)}
    assert any("://feed-reader:" in url for url in urls)
    assert any("api_key=" in url for url in urls)
    assert not any("{{" in url for url in urls)
    assert all(".example.com/" in url for url in urls)
    artifacts = [a for run in history.testmo_runs for a in run["artifacts"]]
    assert any("signature=" in artifact["url"] for artifact in artifacts)


def failures(history: SandboxData, suite: str) -> list[tuple[datetime, list[str]]]:
    """Start of each run of a suite, in order, and the tests that failed in it."""
    assert history.testmo_tests is not None
    return [
        (
            datetime.fromisoformat(run["created_at"]),
            [test["name"] for test in history.testmo_tests(run) if test["status"] == 3],
        )
        for run in history.testmo_runs
        if run["name"].startswith(suite)
    ]


def test_tests_of_a_project_break_one_after_another(history: SandboxData, end: datetime) -> None:
    for name, days in (("(12)", 19), ("(75)", 8), ("(131)", 8)):
        for at, failed in failures(history, "Nightly devices"):
            if at >= end - timedelta(days=days):
                assert any(test.endswith(name) for test in failed)
            elif len(failed) < 50:
                assert not any(test.endswith(name) for test in failed)


def test_devices_were_out_for_two_nights(history: SandboxData, end: datetime) -> None:
    out = [at for at, failed in failures(history, "Nightly devices") if len(failed) > 50]
    assert [(end - at).days for at in out] == [23, 22]


def test_a_test_has_begun_to_fail_in_the_last_two_nights(history: SandboxData) -> None:
    failed = [
        any(test.endswith("(57)") for test in names)
        for _, names in failures(history, "Nightly integration")
    ]
    assert failed[-2:] == [True, True]
    assert sum(failed[:-2]) <= 1


def test_a_fault_was_mended_five_days_before_the_end(history: SandboxData, end: datetime) -> None:
    for at, failed in failures(history, "Services unit"):
        is_broken = timedelta(days=5) <= end - at < timedelta(days=12)
        assert any(test.endswith("(150)") for test in failed) is is_broken


def test_few_tests_of_a_suite_are_flaky(history: SandboxData) -> None:
    counts: Counter[str] = Counter()
    for _, failed in failures(history, "Nightly web"):
        counts.update(failed)
    assert sorted(name.split("(")[1] for name, number in counts.items() if number > 2) == [
        *("17)", "203)", "88)")
    ]


def test_regressions_by_hand_are_completed_days_after_they_began(history: SandboxData) -> None:
    by_hand = [run for run in history.testmo_runs if "manual" in run["tags"]]
    assert len(by_hand) >= 6
    for run in by_hand:
        begun, over = (
            datetime.fromisoformat(run[f"{name}_at"]) for name in ("created", "completed")
        )
        assert timedelta(days=2) < over - begun < timedelta(days=5)
        assert run["elapsed"] > 2**31
        assert run["completed_count"] < run["total_count"]


def test_two_configurations_begin_in_the_same_moment(history: SandboxData) -> None:
    begun = defaultdict(set)
    for run in history.testmo_runs:
        if run["name"].startswith("Nightly web"):
            begun[run["created_at"]].add(run["config_id"])
    assert len(begun) >= 59
    assert all(configs == {1, 2} for configs in begun.values())


def test_testmo_runs_are_numbered_in_the_order_of_their_creation(history: SandboxData) -> None:
    keys = [(run["created_at"], run["id"]) for run in history.testmo_runs]
    assert keys == sorted(keys)
    threads = [thread["id"] for run in history.testmo_runs for thread in run["threads"]]
    assert len(set(threads)) == len(threads)


def test_testmo_counts_add_up_from_threads_to_runs(history: SandboxData) -> None:
    for run in history.testmo_runs:
        statuses = [run[f"status{number}_count"] for number in range(1, 25)]
        assert run["total_count"] == run["untested_count"] + sum(statuses)
        assert run["completed_count"] == sum(statuses)
        assert min(statuses) >= 0
        assert run["success_count"] == run["status1_count"]
        assert run["failure_count"] == run["status2_count"]
        assert run["thread_count"] == len(run["threads"])
        for name in run:
            if name.endswith("_count") and not name.startswith("thread_"):
                assert run[name] == sum(thread[name] for thread in run["threads"])
        if run["is_completed"]:
            assert run["status"] == (3 if run["failure_count"] else 2)


def test_testmo_runs_have_everything_that_can_hang_on_them(history: SandboxData) -> None:
    runs = history.testmo_runs
    for name in ("tags", "fields", "links", "artifacts", "milestone_id", "config_id"):
        assert any(run[name] for run in runs)
    assert any(run["milestone_id"] is None for run in runs)
    parts = [*runs, *(thread for run in runs for thread in run["threads"])]
    assert {field["type"] for part in parts for field in part["fields"]} == {1, 2, 4, 5}


def test_a_short_history_is_whole_too() -> None:
    history = seeded_history(END, days=3)
    assert 20 < len(history.postman_runs) < 60
    assert min(times(history.postman_runs)) >= END - timedelta(days=3)
