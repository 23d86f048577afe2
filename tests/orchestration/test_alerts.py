"""What is posted to the webhook, seen from its other end."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import dagster as dg
import pytest
from pydantic import SecretStr

from pipelines.http.retry import NO_RETRY
from pipelines.ingest.progress import ScopeReport
from pipelines.orchestration.alerts import failure_text, post
from pipelines.orchestration.failures import StepFailure
from pipelines.orchestration.sensors import alert_on_failure_sensor, freshness_sensor
from pipelines.orchestration.step_retry import scopes_failure
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from tests.support.db import query
from tests.support.factories import BOOKS, PROJECT, postman_run, testmo_run
from tests.support.lying import lying
from tests.support.webhook import Receiver, receiving

MakeSettings = Callable[[dict[str, str]], Settings]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def test_a_message_says_what_why_what_to_do_and_where(receiver: Receiver) -> None:
    failures = [
        StepFailure("check_testmo", f"testmo {number}: <!channel> HTTP 404") for number in range(20)
    ]
    text = failure_text(
        "the scheduled run of nightly failed", failures, "abc", "http://dagster:3000"
    )
    assert post(SecretStr(receiver.url), text) is None
    (posted,) = receiver.texts
    first, *listed, what_to_do, where = posted.splitlines()
    assert first == "testruns: the scheduled run of nightly failed"
    assert listed[0] == "• check_testmo: testmo 0: &lt;!channel&gt; HTTP 404"
    assert listed[-1] == "• … and 5 more"
    assert "`testruns nightly`" in what_to_do
    assert where == "http://dagster:3000/runs/abc"


def test_a_webhook_that_fails_is_reported_without_its_address(receiver: Receiver) -> None:
    receiver.status = 500
    complaint = post(SecretStr(receiver.url), "text")
    assert complaint == "TESTRUNS_ALERT_WEBHOOK: not delivered: HTTP 500"
    assert post(SecretStr("http://127.0.0.1:1/s3cret"), "text") == (
        "TESTRUNS_ALERT_WEBHOOK: not delivered: URLError"
    )


def test_what_an_api_says_forges_no_line_of_a_message_and_shows_no_password() -> None:
    error = "run 'a\n• postman all: fine\x1b[2J' at https://ada:s3cret@db/x: HTTP 404"
    report = ScopeReport(source="testmo", scope="7\u202e", error=error)
    failure = scopes_failure([report], NO_RETRY, 0)
    assert isinstance(failure, dg.Failure)
    assert len(str(failure.description).splitlines()) == 1

    text = failure_text("failed", [StepFailure("step", error)], "abc", None)

    assert text.splitlines()[1] == (
        "• step: run 'a⟨U+000A⟩• postman all: fine⟨U+001B⟩[2J' at https://REDACTED@db/x: HTTP 404"
    )
    assert "s3cret" not in text + str(failure.description)


def test_a_webhook_that_never_comes_to_an_end_is_given_up() -> None:
    with lying(chain([b"HTTP/1.1 200 OK\r\n"], repeat(b"x")), pause=0.01) as url:
        complaint = post(SecretStr(url), "text", timeout_seconds=0.3)
    assert complaint == "TESTRUNS_ALERT_WEBHOOK: not delivered: TimeoutError"


@dg.op
def check_testmo() -> None:
    raise dg.Failure("testmo 99: HTTP 404\ntestmo 100: HTTP 403")


@dg.job(executor_def=dg.in_process_executor)
def nightly() -> None:
    check_testmo()


@pytest.mark.parametrize(
    ("tags", "is_posted"),
    [
        ({"dagster/schedule_name": "nightly"}, True),
        ({"dagster/schedule_name": "nightly", "dagster/will_retry": "true"}, False),
        ({}, False),
    ],
)
def test_a_scheduled_run_that_failed_for_good_is_posted_and_one_by_hand_is_not(
    make_settings: MakeSettings, receiver: Receiver, tags: dict[str, str], *, is_posted: bool
) -> None:
    settings = make_settings({"TESTRUNS_ALERT_WEBHOOK": receiver.url})
    sensor = alert_on_failure_sensor(settings)
    with dg.instance_for_test() as instance:
        failed = nightly.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        context = dg.build_run_status_sensor_context(
            sensor_name=sensor.name,
            dagster_instance=instance,
            dagster_run=failed.dagster_run,
            dagster_event=failed.get_run_failure_event(),
        ).for_run_failure()
        sensor(context)
    lines = [line for text in receiver.texts for line in text.splitlines() if line[0] == "•"]
    assert (
        lines
        == [
            "• check_testmo: testmo 99: HTTP 404",
            "• check_testmo: testmo 100: HTTP 403",
        ]
        * is_posted
    )


def test_a_scope_that_goes_stale_is_posted_once_and_its_check_fails_until_it_is_loaded(
    make_settings: MakeSettings, load: Callable[..., list[ScopeReport]], receiver: Receiver
) -> None:
    with Sandbox(SandboxData([postman_run(1)], [testmo_run(1)], BOOKS)) as sandbox:
        variables = {**sandbox.settings, "POSTMAN_API_KEY": ""}
        load(variables)
    settings = make_settings({**variables, "TESTRUNS_ALERT_WEBHOOK": receiver.url})
    sensor = freshness_sensor(settings)
    assert settings.testruns_warehouse_url is not None
    url = settings.testruns_warehouse_url.get_secret_value()
    cursor: str | None = None

    def look() -> list[bool]:
        nonlocal cursor
        result = sensor(dg.build_sensor_context(cursor=cursor))
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        evaluations = result.asset_events
        return [one.passed for one in evaluations if isinstance(one, dg.AssetCheckEvaluation)]

    assert look() == []
    query(url, "update ingest.loads set finished_at = now() - interval '37 hours' returning 1")
    assert look() == [False]
    assert look() == []
    (text,) = receiver.texts
    assert f"• testmo {PROJECT}: last loaded " in text
    query(url, "update ingest.loads set finished_at = now() returning 1")
    assert look() == [True]
    assert len(receiver.texts) == 1
