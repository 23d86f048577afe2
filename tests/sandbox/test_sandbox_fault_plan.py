"""Which faults strike, how often and where: from Python, over HTTP, on the command line."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from pipelines.errors import SettingsError
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.faults import CATALOGUE
from pipelines.sandbox.faults.plan import Faults, parse
from pipelines.sandbox.server import Sandbox
from tests.support.factories import postman_run
from tests.support.http import APIS, Wire, as_in_the_beginning, wire_of_histories


@pytest.fixture(scope="module")
def serving() -> Iterator[Wire]:
    with wire_of_histories() as wire:
        yield wire


@pytest.fixture
def wire(serving: Wire) -> Iterator[Wire]:
    """What the module shares, as it was in the beginning."""
    yield serving
    as_in_the_beginning(serving.sandbox)


def statuses(wire: Wire, api: str, requests: int) -> list[int]:
    return [wire.ask(api).status_code for _ in range(requests)]


@pytest.mark.parametrize(
    ("options", "struck"),
    [
        ("", [1, 2, 3, 4, 5, 6, 7, 8]),
        (":times=2", [1, 2]),
        (":every=3", [1, 4, 7]),
        (":after=5", [6, 7, 8]),
        (":after=1:every=2:times=2", [2, 4]),
        (":times=0", []),
        (":endpoint=postman/*", [1, 2, 3, 4, 5, 6, 7, 8]),
        (":endpoint=*/runs", [1, 2, 3, 4, 5, 6, 7, 8]),
        (":endpoint=*/runs/*", []),
        (":endpoint=testmo/*", []),
    ],
)
def test_a_fault_strikes_where_and_as_often_as_it_was_requested(
    wire: Wire, options: str, struck: list[int]
) -> None:
    spec = f"status-503{options}"
    wire.sandbox.faults.replace(spec)
    answered = statuses(wire, "postman", 8)
    assert [place for place, status in enumerate(answered, start=1) if status == 503] == struck
    assert wire.sandbox.faults.struck == {spec: len(struck)}


def test_several_faults_hold_at_once_each_with_its_own_count(wire: Wire) -> None:
    wire.sandbox.faults.replace("status-500:times=1", "status-502:after=1:times=1", "gzip")
    assert statuses(wire, "testmo", 3) == [500, 502, 200]
    assert wire.ask("testmo").headers["content-encoding"] == "gzip"


def test_an_added_fault_is_counted_from_then_on(wire: Wire) -> None:
    wire.sandbox.faults.replace("status-500:times=1")
    assert statuses(wire, "postman", 2) == [500, 200]
    wire.sandbox.faults.add("status-500:times=1")
    assert statuses(wire, "postman", 2) == [500, 200]


def test_the_same_seed_damages_the_same_runs_and_another_seed_others(wire: Wire) -> None:
    def damaged(seed: int) -> list[bytes]:
        wire.sandbox.faults.replace(f"wrong-types:seed={seed}")
        return [wire.ask(api).content for api in APIS]

    assert damaged(4) == damaged(4)
    assert all(one != other for one, other in pairwise([damaged(4), damaged(5)]))


def test_faults_from_the_beginning_are_requested_with_the_sandbox() -> None:
    data = SandboxData([postman_run(1)], [], {})
    with Sandbox(data, faults=Faults("forbidden:times=1")) as sandbox:
        wire = Wire(sandbox)
        with wire.http:
            assert statuses(wire, "postman", 2) == [403, 200]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("status-530", "there is no fault 'status-530'; did you mean status-5"),
        ("", "there is no fault ''"),
        ("reset:often", "'often' is none of every=N"),
        ("reset:times=-1", "'times=-1' is none of"),
        ("reset:every=0", "every=N begins with 1"),
        ("reset:endpoint=", "'endpoint=' is none of"),
    ],
)
def test_a_fault_that_cannot_be_read_is_one_line_that_says_why(spec: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)) as caught:
        parse(spec)
    assert "\n" not in str(caught.value)


def test_one_bad_fault_among_good_ones_changes_nothing(wire: Wire) -> None:
    wire.sandbox.faults.replace("gzip")
    with pytest.raises(ValueError, match="no fault"):
        wire.sandbox.faults.replace("html", "nonsense")
    assert list(wire.sandbox.faults.struck) == ["gzip"]


# Over HTTP


def test_faults_are_requested_counted_and_cleared_over_http(wire: Wire) -> None:
    url = f"http://127.0.0.1:{wire.sandbox.port}/faults"
    response = httpx.put(url, json=["status-504:times=1", "gzip"])
    assert (response.status_code, response.json()) == (200, {"status-504:times=1": 0, "gzip": 0})
    assert statuses(wire, "postman", 2) == [504, 200]
    assert httpx.get(url).json() == {"status-504:times=1": 1, "gzip": 2}
    assert httpx.delete(url).json() == {}
    assert "content-encoding" not in wire.ask().headers


@pytest.mark.parametrize(
    ("method", "body", "status", "complaint"),
    [
        ("PUT", b'["nonsense"]', 400, "no fault 'nonsense'"),
        ("PUT", b'{"gzip": 1}', 400, "a JSON list of faults"),
        ("PUT", b"[1]", 400, "a JSON list of faults"),
        ("PUT", b"\xff", 400, "a JSON list of faults"),
        ("POST", b"[]", 405, "GET, PUT and DELETE"),
    ],
)
def test_what_is_wrong_with_faults_over_http_is_reported(
    wire: Wire, method: str, body: bytes, status: int, complaint: str
) -> None:
    answer = httpx.request(method, f"http://127.0.0.1:{wire.sandbox.port}/faults", content=body)
    assert answer.status_code == status
    assert complaint in answer.json()["message"]


# On the command line


def test_the_command_line_lists_every_fault_with_its_description() -> None:
    done = CliRunner().invoke(cli, ["sandbox", "--list-faults"], standalone_mode=False)
    descriptions = dict(re.findall(r"^  (\S+) +(\S.*)$", done.output, re.MULTILINE))
    assert descriptions == {fault.name: fault.description for fault in CATALOGUE.values()}


def test_a_fault_that_is_none_is_bad_usage() -> None:
    done = CliRunner().invoke(cli, ["sandbox", "--fault", "resett"])
    # The command line ends with status 2 for it.
    assert isinstance(done.exception, SettingsError)
    assert "there is no fault 'resett'; did you mean reset" in str(done.exception)


def test_faults_of_the_command_line_hold_from_the_first_request(tmp_path: Path) -> None:
    runs = tmp_path / "runs.ndjson"
    runs.write_text('{"id": "a", "collectionId": "c"}\n')
    command = [sys.executable, "-m", "pipelines.cli", "sandbox", "--port", "0"]
    faults = ["--fault", "status-503:times=1", "--fault", "html:after=1:endpoint=postman/*"]
    with subprocess.Popen(
        [*command, "--postman-runs", str(runs), *faults], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        settings = dict(process.stdout.readline().strip().split("=", 1) for _ in range(3))
        url = f"{settings['POSTMAN_API_URL']}/collections/c/runs"
        key = {"x-api-key": settings["POSTMAN_API_KEY"]}
        answers = [httpx.get(url, headers=key) for _ in range(2)]
        process.send_signal(signal.SIGTERM)
    assert [answer.status_code for answer in answers] == [503, 200]
    assert answers[1].headers["content-type"] == "text/html"
