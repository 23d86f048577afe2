"""The sandbox's Postman API, over HTTP: what its reference page promises."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox

ID = "0d6f3c1e-93a4-4d57-8a51-7f2b0c9e4a10"
UID = f"777-{ID}"
RUNS = f"/collections/{UID}/runs"
STATUSES = ("finished", "finished", "failed")
SOURCES = ("monitor", "newman")


def a_run(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"run-{number:02}",
        "status": STATUSES[number % 3],
        "source": SOURCES[number % 2],
        "startedAt": f"2026-05-04T10:{number:02}:00.000Z",
        "finishedAt": None,
        "duration": 1200,
        "stats": {"requests": {"total": 1, "failed": 0}},
        "executions": [{"id": "e", "request": {"method": "GET", "url": "/"}, "iteration": 0}],
        "collectionId": UID,
        "exitCode": 0,
        **more,
    }


def a_summary(run: dict[str, Any]) -> dict[str, Any]:
    hidden = {"duration", "executions", "exitCode"}
    return {name: value for name, value in run.items() if name not in hidden}


HISTORY = [a_run(number) for number in range(25)]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxData(HISTORY, [], {})) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(headers={"x-api-key": "sandbox-postman-key"}) as client:
        yield client


@pytest.fixture
def postman(sandbox: Sandbox, client: httpx.Client) -> httpx.Client:
    client.base_url = sandbox.postman_url
    return client


def pages(postman: httpx.Client, **params: Any) -> Iterator[dict[str, Any]]:
    while True:
        page = postman.get(RUNS, params=params).raise_for_status().json()
        yield page
        if "nextCursor" not in page["meta"]:
            return
        params["cursor"] = page["meta"]["nextCursor"]


def ids(page: dict[str, Any]) -> list[str]:
    return [run["id"] for run in page["runs"]]


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "another"}, {"Authorization": "Bearer x"}])
def test_a_request_without_the_key_is_refused(sandbox: Sandbox, headers: dict[str, str]) -> None:
    answer = httpx.get(sandbox.postman_url + RUNS, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["name"] == "AuthenticationError"
    assert "API Key" in answer.json()["error"]["message"]


@pytest.mark.parametrize("limit", [1, 7, 24, 25, 100])
def test_paging_to_the_end_shows_every_run_once_newest_first(
    postman: httpx.Client, limit: int
) -> None:
    walked = list(pages(postman, limit=limit))
    shown = [run for page in walked for run in page["runs"]]
    assert shown == [a_summary(run) for run in reversed(HISTORY)]
    assert len(walked) == -(-25 // limit)
    assert {page["meta"]["total"] for page in walked} == {25}


def test_a_page_holds_ten_runs_by_default(postman: httpx.Client) -> None:
    assert len(postman.get(RUNS).json()["runs"]) == 10


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "", "1e1", "9" * 5000])
def test_a_limit_outside_1_to_100_is_refused(postman: httpx.Client, limit: str) -> None:
    answer = postman.get(RUNS, params={"limit": limit})
    assert answer.status_code == 400
    assert "limit" in answer.json()["error"]["message"]


def test_a_run_that_arrives_on_top_shifts_no_page_of_a_walk_under_way(
    sandbox: Sandbox, postman: httpx.Client
) -> None:
    walk = pages(postman, limit=10)
    seen = ids(next(walk))
    sandbox.put_postman_run(a_run(59))
    seen += [run_id for page in walk for run_id in ids(page)]
    assert seen == [f"run-{number:02}" for number in range(24, -1, -1)]
    assert ids(next(pages(postman)))[0] == "run-59"


def test_a_walk_goes_on_when_the_run_that_its_cursor_names_is_gone(
    sandbox: Sandbox, postman: httpx.Client
) -> None:
    walk = pages(postman, limit=10)
    last_seen = ids(next(walk))[-1]
    sandbox.remove_postman_run(last_seen)
    assert ids(next(walk))[0] == "run-14"


def test_runs_without_a_start_stand_on_top_and_are_walked_past(
    sandbox: Sandbox, postman: httpx.Client
) -> None:
    for number in (70, 71):
        queued = a_run(number, status="queued")
        del queued["startedAt"]
        sandbox.put_postman_run(queued)
    sandbox.put_postman_run(a_run(72, startedAt="not a time"))
    walked = [run_id for page in pages(postman, limit=1) for run_id in ids(page)]
    assert walked[:4] == ["run-72", "run-71", "run-70", "run-24"]
    assert len(walked) == 28


def test_runs_that_start_in_the_same_moment_are_each_shown_once(
    sandbox: Sandbox, postman: httpx.Client
) -> None:
    for number in range(80, 86):
        sandbox.put_postman_run(a_run(number, startedAt="2026-05-04T11:00:00Z"))
    walked = [run_id for page in pages(postman, limit=4) for run_id in ids(page)]
    assert len(walked) == len(set(walked)) == 31


@pytest.mark.parametrize(
    "cursor", ["", "nonsense", "bm90IGpzb24=", "WzEsMl0=", "W10=", "é", "WzFd"]
)
def test_a_cursor_that_was_never_given_out_is_refused(postman: httpx.Client, cursor: str) -> None:
    answer = postman.get(RUNS, params={"cursor": cursor})
    assert answer.status_code == 400
    assert "cursor" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "failed"), ("status", "finished"), ("source", "newman"), ("source", "monitor")],
)
def test_a_filter_shows_and_counts_only_what_matches(
    postman: httpx.Client, field: str, value: str
) -> None:
    walked = list(pages(postman, **{field: value, "limit": 5}))
    expected = [run["id"] for run in reversed(HISTORY) if run[field] == value]
    assert [run_id for page in walked for run_id in ids(page)] == expected
    assert {page["meta"]["total"] for page in walked} == {len(expected)}


def test_two_filters_must_both_match(postman: httpx.Client) -> None:
    page = next(pages(postman, status="failed", source="newman", limit=100))
    assert ids(page) == ["run-23", "run-17", "run-11", "run-05"]


def test_a_filter_that_matches_nothing_gives_an_empty_last_page(postman: httpx.Client) -> None:
    assert next(pages(postman, status="queued")) == {"runs": [], "meta": {"total": 0}}


@pytest.mark.parametrize("params", [{"status": "passed"}, {"source": "cron"}, {"status": ""}])
def test_a_filter_beyond_the_documented_values_is_refused(
    postman: httpx.Client, params: dict[str, str]
) -> None:
    answer = postman.get(RUNS, params=params)
    assert answer.status_code == 400
    assert next(iter(params)) in answer.json()["error"]["message"]


def test_the_detail_is_the_run_with_every_field_that_it_has(postman: httpx.Client) -> None:
    assert postman.get(f"{RUNS}/run-07").json() == {"run": HISTORY[7]}


@pytest.mark.parametrize("name", [ID, UID])
def test_a_collection_is_found_by_id_and_by_uid(postman: httpx.Client, name: str) -> None:
    assert postman.get(f"/collections/{name}/runs").json()["meta"]["total"] == 25
    assert postman.get(f"/collections/{name}/runs/run-07").json() == {"run": HISTORY[7]}


def test_an_id_whose_first_group_is_all_digits_is_not_taken_for_a_uid(
    sandbox: Sandbox, postman: httpx.Client
) -> None:
    name = "12345678-93a4-4d57-8a51-7f2b0c9e4a10"
    sandbox.put_postman_run(a_run(1, id="other", collectionId=name))
    assert ids(postman.get(f"/collections/{name}/runs").json()) == ["other"]
    assert ids(postman.get(f"/collections/5-{name}/runs").json()) == ["other"]
    assert postman.get("/collections/93a4-4d57-8a51-7f2b0c9e4a10/runs").status_code == 404


@pytest.mark.parametrize(
    ("path", "item"),
    [
        ("/collections/unknown/runs", "collection"),
        ("/collections/unknown/runs/run-07", "collection"),
        (f"{RUNS}/unknown", "run"),
        ("/collections/2/runs/run-07", "run"),
    ],
)
def test_what_does_not_exist_is_named_in_the_404(
    sandbox: Sandbox, postman: httpx.Client, path: str, item: str
) -> None:
    sandbox.put_postman_run(a_run(1, id="other", collectionId="2"))
    answer = postman.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["name"] == "instanceNotFoundError"
    assert answer.json()["error"]["details"]["item"] == item


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/me", 404), ("GET", f"{RUNS}/run-07/results", 404), ("POST", RUNS, 405)],
)
def test_other_paths_and_methods_are_answered_with_json(
    postman: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = postman.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_a_run_that_is_put_again_replaces_the_old_one(
    sandbox: Sandbox, postman: httpx.Client
) -> None:
    changed = a_run(7, status="running", startedAt="2026-05-04T12:00:00Z")
    sandbox.put_postman_run(changed)
    assert postman.get(f"{RUNS}/run-07").json() == {"run": changed}
    page = next(pages(postman, limit=100))
    assert page["meta"]["total"] == 25
    assert page["runs"][0] == a_summary(changed)


def test_a_removed_run_is_gone_and_its_collection_stays(
    sandbox: Sandbox, postman: httpx.Client
) -> None:
    for run in HISTORY:
        sandbox.remove_postman_run(run["id"])
    sandbox.remove_postman_run("never there")
    assert postman.get(f"{RUNS}/run-07").status_code == 404
    assert next(pages(postman)) == {"runs": [], "meta": {"total": 0}}


@pytest.mark.parametrize("value", ["half of a pair: \ud83d", 2**70, "nul \0", "å\n\u2028"])
def test_text_and_numbers_that_trouble_a_loader_are_served_as_they_are(
    sandbox: Sandbox, postman: httpx.Client, value: object
) -> None:
    sandbox.put_postman_run(a_run(7, note=value))
    assert postman.get(f"{RUNS}/run-07").json()["run"]["note"] == value


@pytest.mark.parametrize("broken", [{"id": 7}, {"id": ""}, {"collectionId": None}])
def test_a_run_without_its_ids_cannot_be_put(sandbox: Sandbox, broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="id and collectionId"):
        sandbox.put_postman_run(a_run(7, **broken))
