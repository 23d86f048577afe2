"""Each fault of the sandbox, seen on the wire by a plain client."""

import socket
import zlib
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from pipelines.sandbox.faults import CATALOGUE
from pipelines.sandbox.faults.plan import described
from tests.support.factories import PROJECT, postman_run
from tests.support.http import (
    APIS,
    POSTMAN_IDS,
    TESTMO_IDS,
    Json,
    Wire,
    as_in_the_beginning,
    wire_of_histories,
)


@pytest.fixture(scope="module")
def serving() -> Iterator[Wire]:
    with wire_of_histories() as wire:
        yield wire


@pytest.fixture
def wire(serving: Wire) -> Iterator[Wire]:
    """What the module shares, as it was in the beginning."""
    yield serving
    as_in_the_beginning(serving.sandbox)


Check = Callable[[Wire], None]


def fails_with(kind: type[Exception]) -> Check:
    seconds = 0.1 if kind is httpx.ReadTimeout else 5

    def check(wire: Wire) -> None:
        for url in (wire.lists["postman"], wire.details["testmo"] + "1"):
            with pytest.raises(kind):
                wire.http.get(url, timeout=seconds)

    return check


def answers(status: int, content_type: str = "application/json", **headers: str) -> Check:
    def check(wire: Wire) -> None:
        answer = wire.ask()
        assert answer.status_code == status
        assert answer.headers["content-type"] == content_type
        assert {name: answer.headers[name.replace("_", "-")] for name in headers} == headers

    return check


def drips(wire: Wire) -> None:
    with wire.http.stream("GET", wire.lists["postman"]) as answer:
        pieces = answer.iter_raw(1)
        assert [next(pieces), next(pieces), next(pieces)] == [b"{", b'"', b"r"]


def is_compressed(wire: Wire) -> None:
    answer = wire.ask()
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["runs"]) == 25


def leads_to_another_host(wire: Wire) -> None:
    answer = wire.ask()
    target = httpx.URL(answer.headers["location"])
    assert answer.status_code == 302
    assert (target.host, target.port) == ("localhost", wire.sandbox.port)
    followed = wire.http.get(wire.lists["testmo"], follow_redirects=True)
    assert followed.status_code == 404
    last = wire.sandbox.requests[-1]
    assert (last.api, last.path) == ("", f"/elsewhere/projects/{PROJECT}/automation/runs")


def says_nothing(wire: Wire) -> None:
    answer = wire.ask()
    assert (answer.status_code, answer.content) == (200, b"")


def tells_of_an_error(wire: Wire) -> None:
    assert wire.ask().json() == {"error": "try again later"}


def refuses(**headers: str) -> Check:
    """429, and of all spellings of the wait only these."""

    def check(wire: Wire) -> None:
        answer = wire.ask()
        assert answer.status_code == 429
        announced = {
            name: answer.headers[name]
            for name in ("retry-after", "retryafter", "x-ratelimit-remaining")
            if name in answer.headers and not (name.startswith("x-") and name not in headers)
        }
        assert announced == headers
        if "x-ratelimit-remaining" not in headers:
            assert wire.ask("testmo").status_code == 429

    return check


def refuses_until_a_date(wire: Wire) -> None:
    answer = wire.ask("testmo")
    assert answer.status_code == 429
    date = parsedate_to_datetime(answer.headers["retry-after"])
    wait = date.timestamp() - parsedate_to_datetime(answer.headers["date"]).timestamp()
    assert 1 <= wait <= 3


def refuses_for_longer_each_time(wire: Wire) -> None:
    waits = [wire.ask("testmo").headers["retry-after"] for _ in range(9)]
    assert waits == ["1", "2", "4", "8", "16", "32", "60", "60", "60"]


def lists(postman: list[str] | None, testmo: list[int] | None) -> Check:
    """All runs in this order, page after page; None: in none, but all of them."""

    def check(wire: Wire) -> None:
        wire.sandbox.faults.add("small-pages")
        for api, ids, all_ids in (
            ("postman", postman, POSTMAN_IDS),
            ("testmo", testmo, TESTMO_IDS),
        ):
            listed_ids: list[Any] = [run["id"] for run in wire.whole(api)]
            assert sorted(listed_ids) == sorted(all_ids)
            if ids is None:
                assert listed_ids not in (all_ids, all_ids[::-1])
            else:
                assert listed_ids == ids

    return check


def pages_are_small(wire: Wire) -> None:
    assert [len(wire.page(api)[0]) for api in APIS] == [10, 15]
    assert [len(wire.whole(api)) for api in APIS] == [25, 30]


def first_cursor(wire: Wire) -> str:
    cursor: str = wire.page("postman", limit=10)[1]["meta"]["nextCursor"]
    return cursor


def repeats_its_cursor(wire: Wire) -> None:
    cursor = first_cursor(wire)
    assert wire.page("postman", limit=10, cursor=cursor)[1]["meta"]["nextCursor"] == cursor


def leads_nowhere(wire: Wire) -> None:
    page = wire.page("postman", limit=10, cursor=first_cursor(wire))[1]
    assert page == {"runs": [], "meta": {"total": 25}}


def takes_no_cursor(wire: Wire) -> None:
    assert wire.ask(limit=10, cursor=first_cursor(wire)).status_code == 400


def tells_meta(meta: Any) -> Check:
    def check(wire: Wire) -> None:
        runs, page = wire.page("postman", limit=10)
        assert (len(runs), page["meta"]) == (10, meta)

    return check


def follow_for_ever(wire: Wire) -> None:
    pages = [wire.page("testmo", page=number) for number in (1, 2, 9)]
    assert [(len(runs), page["next_page"]) for runs, page in pages] == [(30, 2), (0, 3), (0, 10)]


def more_runs_each_time(wire: Wire) -> None:
    for api, listed in (("postman", 26), ("testmo", 31)):
        first, _ = wire.page(api)
        second, _ = wire.page(api)
        assert (len(first), len(second)) == (listed, listed + 1)
        assert second[1:] == first
    assert len(wire.sandbox.postman_runs) == 27


def fewer_runs_each_time(wire: Wire) -> None:
    for api, listed in (("postman", 24), ("testmo", 29)):
        assert [len(wire.page(api)[0]) for _ in range(2)] == [listed, listed - 1]
    assert len(wire.sandbox.testmo_runs) == 28


def begin_in_one_second(wire: Wire) -> None:
    for api, name in (("postman", "startedAt"), ("testmo", "created_at")):
        runs = [*wire.whole(api), *wire.whole(api)]
        times = [run[name] for run in runs]
        newest = max(times)
        assert times.count(newest) == 2 * 150


def queue(wire: Wire) -> None:
    runs, _ = wire.page("postman")
    assert [(run["status"], run["startedAt"]) for run in runs[:2]] == [
        ("queued", None),
        ("finished", postman_run(0)["startedAt"]),
    ]
    assert wire.detail("postman", runs[0]["id"])["executions"] == []


def strikes(is_struck: Callable[[Json], bool]) -> Check:
    """Some runs of each list and not all, the same in detail, and none once it has ended."""

    def check(wire: Wire) -> None:
        for api in APIS:
            runs, _ = wire.page(api)
            struck = [run for run in runs if is_struck(run)]
            assert 0 < len(struck) < len(runs)
            for run in runs:
                if "id" in run:
                    assert is_struck(wire.detail(api, run["id"])) == is_struck(run)
        wire.sandbox.faults.clear()
        assert not any(is_struck(run) for api in APIS for run in wire.page(api)[0])

    return check


def strikes_details(is_struck: Callable[[Json], bool]) -> Check:
    def check(wire: Wire) -> None:
        for api, ids in (("postman", POSTMAN_IDS[:8]), ("testmo", TESTMO_IDS[:8])):
            struck = [is_struck(wire.detail(api, run_id)) for run_id in ids]
            assert 0 < sum(struck) < len(ids)

    return check


def time_of(run: Json) -> Any:
    return run.get("startedAt", run.get("created_at"))


def said_in(run: Json) -> str:
    return str(run.get("name", run.get("createdBy")))


def stats_total(run: Json) -> Any:
    return run.get("stats", {}).get("requests", {}).get("total")


def mismatches(run: Json) -> bool:
    known = [run[name] for name in ("status", "source", "name") if name in run]
    return any(type(value) not in (int, str) for value in known)


def begins_with_a_mark(wire: Wire) -> None:
    assert wire.ask().content.startswith(b"\xef\xbb\xbf{")


def is_nested(wire: Wire) -> None:
    body = wire.http.get(wire.details["testmo"] + "1").content
    assert b"[" * 2000 + b"]" * 2000 in body
    assert len(wire.page("testmo")[0]) == 30


def doubles(wire: Wire) -> None:
    for api, ids in (("postman", POSTMAN_IDS), ("testmo", TESTMO_IDS)):
        listed_ids = [run["id"] for run in wire.page(api)[0]]
        assert listed_ids[::2] == listed_ids[1::2] == ids


def is_a_bomb(wire: Wire) -> None:
    with wire.http.stream("GET", wire.lists["postman"]) as answer:
        packed = b"".join(answer.iter_raw())
    assert len(packed) < 600_000
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert len(unpacker.decompress(packed, 50_000_000)) == 50_000_000


def first_bytes(wire: Wire, path: str | None = None) -> Iterator[bytes]:
    """What comes over a connection of its own, as it comes."""
    url = httpx.URL(path or wire.lists["postman"])
    with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
        key = f"x-api-key: {wire.sandbox.postman_api_key}"
        request = f"GET {url.raw_path.decode()} HTTP/1.1\r\nhost: {url.host}\r\n{key}\r\n\r\n"
        connection.sendall(request.encode())
        while piece := connection.recv(65_536):
            yield piece


def drips_for_ever(wire: Wire) -> None:
    pieces = first_bytes(wire)
    assert b"Content-Length" in next(pieces) + next(pieces)
    assert next(pieces) == b" "


def never_ends(wire: Wire) -> None:
    pieces = first_bytes(wire)
    assert sum(len(next(pieces)) for _ in range(300)) > 1_000_000


def continues(wire: Wire) -> None:
    pieces = first_bytes(wire)
    assert [next(pieces) for _ in range(3)] == [b"HTTP/1.1 100 Continue\r\n\r\n"] * 3


def has_long_headers(wire: Wire) -> None:
    head, separator, _ = b"".join(first_bytes(wire)).partition(b"\r\n\r\n")
    assert separator
    assert len(head) > 20_000_000


def is_no_utf8(wire: Wire) -> None:
    for api in APIS:
        with pytest.raises(UnicodeDecodeError):
            wire.ask(api).content.decode()


def does_not_know_a_listed_run(wire: Wire) -> None:
    runs, _ = wire.page("postman")
    assert wire.http.get(wire.details["postman"] + runs[0]["id"]).status_code == 404


def answers_cursors(status: int) -> Check:
    def check(wire: Wire) -> None:
        assert wire.ask(limit=10, cursor=first_cursor(wire)).status_code == status

    return check


def leads_to_an_empty_page(meta: Json) -> Check:
    def check(wire: Wire) -> None:
        page = wire.page("postman", limit=10, cursor=first_cursor(wire))[1]
        assert page == {"runs": [], "meta": meta}

    return check


def next_cursor_is(cursor: str) -> Check:
    def check(wire: Wire) -> None:
        assert first_cursor(wire) == cursor

    return check


def tells_no_total(wire: Wire) -> None:
    assert list(wire.page("postman", limit=10)[1]["meta"]) == ["nextCursor"]


def announces(**headers: str) -> Check:
    def check(wire: Wire) -> None:
        answer = wire.ask()
        assert answer.status_code == 429
        assert {name: answer.headers[name.replace("_", "-")] for name in headers} == headers

    return check


def holds_nested_objects(wire: Wire) -> None:
    body = wire.http.get(wire.details["testmo"] + "1").content
    assert b'{"a":' * 600 + b"1" + b"}" * 600 in body


CHECKS: dict[str, Check] = {
    "no-answer": fails_with(httpx.ReadTimeout),
    "half-a-header": fails_with(httpx.ReadTimeout),
    "stalled-body": fails_with(httpx.ReadTimeout),
    "slow-drip": drips,
    "hung-up": fails_with(httpx.RemoteProtocolError),
    "reset": fails_with(httpx.ReadError),
    "reset-in-body": fails_with(httpx.ReadError),
    "truncated": fails_with(httpx.RemoteProtocolError),
    "endless-drip": drips_for_ever,
    "endless-body": never_ends,
    "endless-continue": continues,
    "huge-headers": has_long_headers,
    "gzip-bomb": is_a_bomb,
    "not-utf8": is_no_utf8,
    "listed-is-unknown": does_not_know_a_listed_run,
    "html": answers(200, "text/html"),
    "empty-body": says_nothing,
    "error-with-200": tells_of_an_error,
    "gzip": is_compressed,
    "gzip-broken": fails_with(httpx.DecodingError),
    "redirect": leads_to_another_host,
    "unauthorized": answers(401),
    "forbidden": answers(403),
    **{f"status-{status}": answers(status, "text/html") for status in (500, 502, 503, 504)},
    "limit-in-seconds": refuses(**{"retry-after": "2"}),
    "limit-as-date": refuses_until_a_date,
    "limit-in-retryafter": refuses(retryafter="2"),
    "limit-untold": refuses(),
    "limit-storm": refuses_for_longer_each_time,
    "limit-of-an-hour": refuses(**{"retry-after": "3600"}),
    "limit-of-a-year": refuses(**{"retry-after": "31536000"}),
    "reset-in-2055": announces(ratelimit_remaining="0", ratelimit_reset="2700000000"),
    "month-spent": refuses(
        **{"retry-after": "864000", "retryafter": "864000", "x-ratelimit-remaining": "0"}
    ),
    "newest-first": lists(POSTMAN_IDS, TESTMO_IDS),
    "oldest-first": lists(POSTMAN_IDS[::-1], TESTMO_IDS[::-1]),
    "no-order": lists(None, None),
    "small-pages": pages_are_small,
    "cursor-repeats": repeats_its_cursor,
    "cursor-leads-nowhere": leads_nowhere,
    "cursor-expired": takes_no_cursor,
    **{f"cursor-{status}": answers_cursors(status) for status in (404, 410, 414, 422, 500)},
    "cursor-half-a-character": next_cursor_is("\ud83d"),
    "cursor-of-a-megabyte": next_cursor_is("c" * 1_000_000),
    "empty-page": leads_to_an_empty_page({}),
    "empty-page-with-total": leads_to_an_empty_page({"total": 25}),
    "total-untold": tells_no_total,
    "meta-without-cursor": tells_meta({"total": 25}),
    "meta-null": tells_meta(None),
    "meta-empty": tells_meta({}),
    "pages-never-end": follow_for_ever,
    "runs-appear": more_runs_each_time,
    "runs-vanish": fewer_runs_each_time,
    "burst": begin_in_one_second,
    "runs-queue": queue,
    "wrong-types": strikes(mismatches),
    "missing-ids": strikes(lambda run: "id" not in run),
    "times-in-year-10000": strikes(lambda run: str(time_of(run)).startswith("10000-")),
    "times-as-epochs": strikes(lambda run: isinstance(time_of(run), int)),
    "times-without-zone": strikes(lambda run: time_of(run) == "2026-05-01T12:00:00"),
    "huge-integers": strikes(
        lambda run: (
            max(run.get("elapsed", 0), run["stats"]["requests"]["total"]) >= 2**63
            if "stats" in run
            else max(run["elapsed"], run["status"]) >= 2**31
        )
    ),
    "nul": strikes(lambda run: "\0" in said_in(run)),
    "lone-surrogates": strikes(lambda run: "\ud83d" in said_in(run)),
    "long-strings": strikes(lambda run: len(said_in(run)) == 1_000_000),
    "long-names": strikes(lambda run: len(said_in(run)) == 10_000),
    "escape-codes": strikes(lambda run: "\x1b[31m" in said_in(run)),
    "counts-at-the-limit": strikes(
        lambda run: 2**63 - 1 in (run.get("total_count"), stats_total(run))
    ),
    "lists-as-objects": strikes_details(lambda run: {} in (run.get("executions"), run.get("tags"))),
    "null-lists": strikes_details(
        lambda run: None in (run.get("executions", 0), run.get("tags", 0))
    ),
    "many-executions": strikes_details(
        lambda run: len(run.get("executions") or run["artifacts"]) == 20_000
    ),
    "unknown-fields": strikes(lambda run: "somethingNew" in run),
    "byte-order-mark": begins_with_a_mark,
    "deep-nesting": is_nested,
    "nested-objects": holds_nested_objects,
    "duplicate-ids": doubles,
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_fault_is_on_the_wire_as_it_is_described_and_gone_once_it_is_cleared(
    wire: Wire, name: str
) -> None:
    wire.sandbox.faults.replace(name)
    CHECKS[name](wire)

    wire.sandbox.faults.clear()
    for api in APIS:
        runs, _ = wire.page(api)
        assert wire.detail(api, runs[-1]["id"])["id"] == runs[-1]["id"]


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_fault_has_a_description_of_one_line(name: str) -> None:
    [line] = described([CATALOGUE[name]])
    assert line.startswith(name)
    assert line.endswith(".")
    assert len(line) < 110
