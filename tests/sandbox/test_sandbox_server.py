"""The sandbox as a process: the settings it prints, its log, its start and its end."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import LoggedRequest, Sandbox

COLLECTION = "1-0d6f3c1e-93a4-4d57-8a51-7f2b0c9e4a10"
DATA = SandboxData(
    [{"id": "a", "collectionId": COLLECTION}, {"id": "b", "collectionId": "second"}],
    [{"id": 1, "project_id": 5}, {"id": 2, "project_id": 3}],
    {},
)
SERVE = """
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import serve_forever
runs = [{"id": "a", "collectionId": "c"}]
serve_forever(SandboxData(runs, [{"id": 1, "project_id": 5}], {}), port=%d, requests_per_minute=2)
"""


@contextmanager
def serving(port: int = 0) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVE % port]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        watchdog = threading.Timer(20, process.kill)  # a server that stays silent ends here
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def test_the_settings_are_those_that_a_loader_needs() -> None:
    with Sandbox(DATA) as sandbox:
        root = f"http://127.0.0.1:{sandbox.port}"
        assert sandbox.settings == {
            "POSTMAN_API_URL": f"{root}/postman",
            "POSTMAN_API_KEY": "sandbox-postman-key",
            "POSTMAN_COLLECTION_IDS": f"{COLLECTION},second",
            "TESTMO_API_URL": f"{root}/testmo/api/v1",
            "TESTMO_API_TOKEN": "sandbox-testmo-token",
            "TESTMO_PROJECT_IDS": "3,5",
            "TESTMO_REQUESTS_PER_MINUTE": "6000",
        }


def test_an_api_with_nothing_to_serve_has_no_settings() -> None:
    with Sandbox(SandboxData(DATA.postman_runs, [], {})) as sandbox:
        assert not [name for name in sandbox.settings if name.startswith("TESTMO")]
        sandbox.put_testmo_run({"id": 1, "project_id": 5})
        assert sandbox.settings["TESTMO_PROJECT_IDS"] == "5"


def test_keys_of_ones_own_are_the_only_ones_taken() -> None:
    with Sandbox(DATA, postman_api_key="mine") as sandbox:
        url = f"{sandbox.postman_url}/collections/second/runs"
        statuses = [
            httpx.get(url, headers={"x-api-key": key}).status_code
            for key in ("mine", "sandbox-postman-key")
        ]
    assert statuses == [200, 401]


def test_every_request_is_logged_as_it_was_answered() -> None:
    with Sandbox(DATA) as sandbox:
        key = {"x-api-key": sandbox.postman_api_key}
        httpx.get(f"{sandbox.postman_url}/collections/second/runs?limit=5&status=x", headers=key)
        httpx.post(f"{sandbox.testmo_url}/automation/runs/1")
        httpx.get(f"http://127.0.0.1:{sandbox.port}/elsewhere")
        assert list(sandbox.requests) == [
            LoggedRequest(
                "postman",
                "GET",
                "/collections/second/runs",
                {"limit": "5", "status": "x"},
                400,
            ),
            LoggedRequest("testmo", "POST", "/automation/runs/1", {}, 401),
            LoggedRequest("", "GET", "/elsewhere", {}, 404),
        ]


def test_answers_are_json_and_say_so() -> None:
    with Sandbox(DATA) as sandbox:
        for path in ("/postman/collections/second/runs", "/testmo/api/v1/x", "/", "/postmanx"):
            answer = httpx.get(f"http://127.0.0.1:{sandbox.port}{path}")
            assert answer.headers["Content-Type"] == "application/json"
            assert answer.json()


def test_runs_may_be_put_and_removed_by_many_threads_while_they_are_read() -> None:
    with Sandbox(DATA) as sandbox:

        def change(worker: int) -> None:
            for number in range(100):
                run_id = f"{worker}-{number}"
                sandbox.put_postman_run({"id": run_id, "collectionId": "second"})
                sandbox.put_testmo_run({"id": 1000 * worker + number, "project_id": 5})
                if number % 2:
                    sandbox.remove_postman_run(run_id)
                    sandbox.remove_testmo_run(1000 * worker + number)

        workers = [threading.Thread(target=change, args=(n,)) for n in (1, 2, 3, 4)]
        key = {"x-api-key": sandbox.postman_api_key}
        token = {"Authorization": f"Bearer {sandbox.testmo_api_token}"}
        with httpx.Client(headers={**key, **token}) as client:

            def totals() -> tuple[int, int]:
                postman = client.get(f"{sandbox.postman_url}/collections/second/runs").json()
                testmo = client.get(f"{sandbox.testmo_url}/projects/5/automation/runs").json()
                return postman["meta"]["total"], testmo["total"]

            for worker in workers:
                worker.start()
            while any(worker.is_alive() for worker in workers):
                assert min(totals()) >= 1
            assert totals() == (201, 201)


def test_leaving_the_block_frees_port_and_thread() -> None:
    threads = set(threading.enumerate())
    with Sandbox(DATA) as sandbox:
        with httpx.Client() as client:  # its idle connection must not hold up the end
            client.get(sandbox.postman_url)
        port = sandbox.port
        # Threads of earlier tests may end meanwhile, so only this one is looked at.
        [thread] = [
            each for each in set(threading.enumerate()) - threads if each.name == "testruns-sandbox"
        ]
    assert not thread.is_alive()
    with Sandbox(DATA, port=port) as again:
        assert again.port == port


@pytest.mark.parametrize("port", [None, 70_000])
def test_a_port_that_cannot_be_had_is_named(port: int | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = port or taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{wanted}: ") as caught:
            Sandbox(DATA, port=wanted).__enter__()
    assert "\n" not in str(caught.value)


def test_neither_key_is_in_the_representation() -> None:
    assert "sandbox-" not in repr(Sandbox(DATA))


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
def test_served_for_ever_it_prints_its_settings_and_ends_on_a_signal(
    ended_by: signal.Signals,
) -> None:
    with serving() as process:
        assert process.stdout
        settings = dict(process.stdout.readline().strip().split("=", 1) for _ in range(7))
        assert settings["POSTMAN_COLLECTION_IDS"] == "c"
        assert settings["TESTMO_PROJECT_IDS"] == "5"
        url = f"{settings['POSTMAN_API_URL']}/collections/c/runs"
        key = {"x-api-key": settings["POSTMAN_API_KEY"]}
        # Two a minute: a minute may end in between, but not twice.
        assert 429 in [httpx.get(url, headers=key).status_code for _ in range(5)]
        process.send_signal(ended_by)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0


def test_served_on_a_taken_port_it_prints_no_settings() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        serving(taken.getsockname()[1]) as process,
    ):
        printed, complaint = process.communicate(timeout=20)
    assert printed == ""
    assert "OSError: the sandbox cannot listen on 127.0.0.1:" in complaint
    assert process.returncode == 1
