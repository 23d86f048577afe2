"""The sandbox's Testmo API, over HTTP: what its reference page promises, and its quirks."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox

RUNS = "/projects/5/automation/runs"
EVERYTHING = "automation_sources,configs,milestones,statuses,users"
BOOKS = {
    "automation_sources": [
        {"id": 1, "project_id": 5, "name": "unit"},
        {"id": 2, "project_id": 5, "name": "Unit"},
        {"id": 3, "project_id": 5, "name": "unused"},
    ],
    "configs": {"7": "Firefox"},
    "milestones": {"8": "v3"},
    "users": {"1": "Ada", "2": "Bo", "3": "Cy", "4": "nobody"},
    "projects": {"5": "Shop", "6": "Empty"},
    "statuses": [
        {"id": 11, "name": "Untested", "system_name": "untested", "is_untested": True},
        {"id": 12, "name": "Passed", "system_name": "status1", "is_passed": True},
        {"id": 13, "name": "Failed", "system_name": "status2", "is_failed": True},
    ],
}


def a_run(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "project_id": 5,
        "name": f"Run {number}",
        "source_id": 1 + number % 2,
        "config_id": 7 if number % 5 == 0 else None,
        "milestone_id": 8 if number % 3 == 0 else None,
        "status": (2, 3, 4)[number % 3],
        "tags": ["nightly"] if number % 2 else ["Nightly", "main"],
        "fields": [],
        "links": [],
        "artifacts": [],
        "threads": [{"id": 900 + number, "created_by": 3, "completed_by": None}],
        "untested_count": 0,
        "status1_count": 4,
        "status2_count": 0,
        "created_at": f"2026-05-04T10:{number:02}:00.000Z",
        "created_by": 1 + number % 2,
        "updated_by": None,
        "completed_by": None,
        **more,
    }


HISTORY = [a_run(number) for number in range(1, 41)]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(headers={"Authorization": "Bearer sandbox-testmo-token"}) as client:
        yield client


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxData([], HISTORY, BOOKS), forbidden_projects=frozenset({6})) as sandbox:
        yield sandbox


class Testmo:
    """Asks one sandbox."""

    __test__ = False

    def __init__(self, sandbox: Sandbox, client: httpx.Client) -> None:
        self._root = sandbox.testmo_url
        self._client = client

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self._client.get(self._root + path, params=params)

    def pages(self, **params: Any) -> Iterator[dict[str, Any]]:
        number: int | None = 1
        while number:
            answer = self.get(RUNS, **params, page=number).raise_for_status()
            page: dict[str, Any] = answer.json()
            yield page
            number = page["next_page"]

    def ids(self, **params: Any) -> list[int]:
        return [run["id"] for page in self.pages(**params) for run in page["result"]]


@pytest.fixture
def testmo(sandbox: Sandbox, client: httpx.Client) -> Testmo:
    return Testmo(sandbox, client)


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer x"}, {"Authorization": "x"}])
def test_a_request_without_the_token_is_refused(sandbox: Sandbox, given: dict[str, str]) -> None:
    answer = httpx.get(sandbox.testmo_url + RUNS, headers=given)
    assert answer.status_code == 401
    assert answer.json() == {"message": "Unauthenticated."}


@pytest.mark.parametrize("per_page", [15, 25, 50, 100])
def test_paging_to_the_end_shows_every_run_once_as_it_is(testmo: Testmo, per_page: int) -> None:
    pages = list(testmo.pages(per_page=per_page, order="asc"))
    assert [run for page in pages for run in page["result"]] == HISTORY
    last = -(-40 // per_page)
    numbers = [(p["prev_page"], p["page"], p["next_page"], p["last_page"]) for p in pages]
    assert numbers == [
        (n - 1 or None, n, n + 1 if n < last else None, last) for n in range(1, last + 1)
    ]
    assert {(page["total"], page["per_page"]) for page in pages} == {(40, per_page)}


def test_a_list_is_newest_first_and_by_the_hundred_by_default(testmo: Testmo) -> None:
    page = testmo.get(RUNS).json()
    assert [run["id"] for run in page["result"]] == list(range(40, 0, -1))
    assert page["per_page"] == 100
    assert testmo.ids(sort="automation_runs:created_at", order="desc") == testmo.ids()


def test_runs_of_the_same_moment_keep_one_order_over_pages(
    sandbox: Sandbox, testmo: Testmo
) -> None:
    for number in range(50, 70):
        sandbox.put_testmo_run(a_run(number, created_at="2026-05-04T11:00:00Z"))
    assert testmo.ids(per_page=15, order="asc") == [*range(1, 41), *range(50, 70)]
    assert testmo.ids(per_page=15) == [*range(69, 49, -1), *range(40, 0, -1)]


def test_an_empty_result_has_no_page_numbers(testmo: Testmo) -> None:
    nothing: dict[str, Any] = {
        "page": None,
        "prev_page": None,
        "next_page": None,
        "last_page": None,
        "per_page": 25,
        "total": 0,
        "result": [],
        "expands": [],
    }
    assert testmo.get(RUNS, tags="unheard-of", per_page=25).json() == nothing
    assert testmo.get(RUNS, page=9, per_page=25).json() == nothing | {"total": 40}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"created_after": "2026-05-04T10:38:00Z"}, {39, 40}),
        ({"created_after": "2026-05-04T10:37:59.999999Z"}, {38, 39, 40}),
        ({"created_before": "2026-05-04T10:03:00+00:00"}, {1, 2}),
        ({"created_before": "2026-05-04T10:03:00.001"}, {1, 2, 3}),
        (
            {"created_after": "2026-05-04T10:05:00Z", "created_before": "2026-05-04T10:07:00Z"},
            {6},
        ),
        ({"created_after": "2027-01-01"}, set()),
        ({"source_id": "1", "created_before": "2026-05-04T10:06:00Z"}, {2, 4}),
        ({"source_id": "1,2", "created_before": "2026-05-04T10:03:00Z"}, {1, 2}),
        ({"config_id": "7"}, {5, 10, 15, 20, 25, 30, 35, 40}),
        ({"milestone_id": "8", "config_id": "7"}, {15, 30}),
        ({"created_by": "2,9", "config_id": "7"}, {5, 15, 25, 35}),
        ({"status": "4", "config_id": "7"}, {5, 20, 35}),
        ({"status": "2,3,4", "config_id": "7"}, {5, 10, 15, 20, 25, 30, 35, 40}),
        ({"tags": "nightly", "config_id": "7"}, {5, 15, 25, 35}),
        ({"tags": "main,nightly", "config_id": "7"}, {5, 10, 15, 20, 25, 30, 35, 40}),
        ({"tags": "Nightly", "config_id": "7"}, {10, 20, 30, 40}),
    ],
)
def test_a_filter_shows_and_counts_only_what_matches(
    testmo: Testmo, params: dict[str, str], expected: set[int]
) -> None:
    page = testmo.get(RUNS, **params).json()
    assert {run["id"] for run in page["result"]} == expected
    assert page["total"] == len(expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("page", "0"),
        ("page", "two"),
        ("per_page", "20"),
        ("per_page", "1000"),
        ("sort", "automation_runs:name"),
        ("order", "up"),
        ("created_after", "yesterday"),
        ("created_after", "2026-05-04T10:00:00+02:00"),
        ("created_before", ""),
        ("config_id", "7,"),
        ("created_by", "me"),
        ("milestone_id", "-1"),
        ("source_id", "1;2"),
        ("status", "1"),
        ("status", "success"),
        ("tags", ""),
        ("expands", "users,projects"),
    ],
)
def test_an_invalid_parameter_is_refused_by_name(testmo: Testmo, name: str, value: str) -> None:
    answer = testmo.get(RUNS, **{name: value})
    assert answer.status_code == 422
    body = answer.json()
    assert body["message"] == "The given data was invalid."
    assert list(body["errors"]) == [name]
    assert all(name in complaint for complaint in body["errors"][name])


def test_all_invalid_parameters_are_named_at_once(testmo: Testmo) -> None:
    answer = testmo.get(RUNS, page="x", per_page=7, order="up")
    assert set(answer.json()["errors"]) == {"page", "per_page", "order"}


def test_expands_hold_what_the_page_refers_to_and_nothing_else(testmo: Testmo) -> None:
    answer = testmo.get(RUNS, expands=EVERYTHING, created_after="2026-05-04T10:39:00Z")
    assert answer.json()["expands"] == {
        "automation_sources": [{"id": 1, "name": "unit"}],
        "configs": [{"id": 7, "name": "Firefox"}],
        "statuses": [BOOKS["statuses"][1]],  # type: ignore[index]
        "users": [{"id": 1, "name": "Ada"}, {"id": 3, "name": "Cy"}],
    }


def test_statuses_come_with_the_counts_that_are_not_zero(sandbox: Sandbox, testmo: Testmo) -> None:
    sandbox.put_testmo_run(a_run(41, untested_count=1, status1_count=0, status2_count=3))
    answer = testmo.get(RUNS, expands="statuses", created_after="2026-05-04T10:40:00Z")
    assert answer.json()["expands"] == {"statuses": [BOOKS["statuses"][0], BOOKS["statuses"][2]]}  # type: ignore[index]


def test_an_object_that_the_books_do_not_know_is_left_out(sandbox: Sandbox, testmo: Testmo) -> None:
    sandbox.put_testmo_run(a_run(41, source_id=99, config_id="7"))
    answer = testmo.get(RUNS, expands="automation_sources,configs", source_id="99")
    assert answer.json()["result"][0]["id"] == 41
    assert answer.json()["expands"] == []


def test_only_the_expands_that_were_requested_are_given(testmo: Testmo) -> None:
    assert testmo.get(RUNS).json()["expands"] == []
    assert list(testmo.get(RUNS, expands="users").json()["expands"]) == ["users"]


def test_a_run_is_given_by_its_id_with_its_expands(testmo: Testmo) -> None:
    path = "/automation/runs/15"
    assert testmo.get(path).json() == {"result": HISTORY[14], "expands": []}
    expands = testmo.get(path, expands="milestones,users").json()["expands"]
    assert expands == {
        "milestones": [{"id": 8, "name": "v3"}],
        "users": [{"id": 2, "name": "Bo"}, {"id": 3, "name": "Cy"}],
    }
    assert testmo.get(path, expands="threads").status_code == 422


def test_a_bare_list_leaves_the_details_to_the_run(client: httpx.Client) -> None:
    with Sandbox(SandboxData([], HISTORY, BOOKS), testmo_list_is_bare=True) as sandbox:
        testmo = Testmo(sandbox, client)
        details = {"threads", "tags", "fields", "links", "artifacts"}
        page = testmo.get(RUNS, order="asc", expands="users").json()
        assert page["result"] == [
            {name: value for name, value in run.items() if name not in details} for run in HISTORY
        ]
        assert [user["name"] for user in page["expands"]["users"]] == ["Ada", "Bo"]
        assert testmo.get("/automation/runs/15").json()["result"] == HISTORY[14]
        assert testmo.ids(tags="main", config_id="7") == [40, 30, 20, 10]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/projects/6/automation/runs", 403),
        ("/automation/runs/77", 403),
        ("/projects/99/automation/runs", 404),
        ("/projects/x/automation/runs", 404),
        ("/automation/runs/9999", 404),
        ("/automation/runs/x", 404),
        ("/automation/runs/" + "9" * 30, 404),
        ("/projects", 404),
    ],
)
def test_what_is_forbidden_or_unknown_is_answered_with_a_message(
    sandbox: Sandbox, testmo: Testmo, path: str, status: int
) -> None:
    sandbox.put_testmo_run(a_run(77, project_id=6))
    answer = testmo.get(path)
    assert answer.status_code == status
    assert list(answer.json()) == ["message"]


def test_a_project_without_runs_is_known_from_the_books(client: httpx.Client) -> None:
    with Sandbox(SandboxData([], [], BOOKS)) as sandbox:
        assert Testmo(sandbox, client).get(RUNS).json()["total"] == 0


def test_other_methods_are_not_allowed(sandbox: Sandbox, client: httpx.Client) -> None:
    answer = client.post(sandbox.testmo_url + RUNS, json={"name": "x"})
    assert answer.status_code == 405
    assert "POST" in answer.json()["message"]


def test_runs_change_and_go_while_serving(sandbox: Sandbox, testmo: Testmo) -> None:
    changed = a_run(15, status=2, created_at="2026-05-04T12:00:00Z")
    sandbox.put_testmo_run(changed)
    sandbox.remove_testmo_run(14)
    sandbox.remove_testmo_run(4444)
    assert testmo.ids(order="asc") == [*range(1, 14), *range(16, 41), 15]
    assert testmo.get("/automation/runs/15").json()["result"] == changed
    assert testmo.get("/automation/runs/14").status_code == 404


def test_a_damaged_run_is_served_for_the_loader_to_meet(sandbox: Sandbox, testmo: Testmo) -> None:
    damaged = a_run(41, created_at="soon", threads="none", status1_count="many", created_by=[])
    sandbox.put_testmo_run(damaged)
    assert testmo.ids(order="asc", expands=EVERYTHING)[0] == 41
    assert testmo.get("/automation/runs/41").json()["result"] == damaged


@pytest.mark.parametrize("broken", [{"id": "7"}, {"id": True}, {"project_id": None}])
def test_a_run_without_its_ids_cannot_be_put(sandbox: Sandbox, broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="id and project_id"):
        sandbox.put_testmo_run(a_run(7, **broken))
