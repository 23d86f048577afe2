"""What is posted to the webhook, seen from its other end."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import psycopg
import pytest
from pydantic import SecretStr

from pipelines.ingest.progress import ScopeReport
from pipelines.orchestration import webhook
from pipelines.orchestration.alert_sensors import (
    alert_on_failure_sensor,
    alert_on_recovery_sensor,
    freshness_sensor,
)
from pipelines.orchestration.alerts import Alerts, failure_alert, last_alert
from pipelines.orchestration.failures import ScopeProblem, StepFailure, failure_of_scopes
from pipelines.orchestration.webhook import Alert, post
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from tests.support.db import query
from tests.support.factories import BOOKS, PROJECT, postman_run, testmo_run
from tests.support.webhook import Receiver, receiving

MakeSettings = Callable[[dict[str, str]], Settings]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def alert() -> Alert:
    return Alert("testruns: failed", {"testmo 1": ["HTTP 404"]}, ["Mend it."], "http://d:3000/r/1")


# The host, and where its kind of message holds the title and the lines of a place.
KINDS = [
    ("hooks.slack.com", lambda sent: sent["text"].splitlines()[:3]),
    ("chat.example.com", lambda sent: sent["text"].splitlines()[:3]),
    (
        "prod-7.westeurope.logic.azure.com",
        lambda sent: [
            block["inlines"][0]["text"] for block in sent["attachments"][0]["content"]["body"][:3]
        ],
    ),
    (
        "de0.7f.environment.api.powerplatform.com",
        lambda sent: [
            block["inlines"][0]["text"] for block in sent["attachments"][0]["content"]["body"][:3]
        ],
    ),
    (
        "contoso.webhook.office.com",
        lambda sent: [
            sent["sections"][0]["activityTitle"],
            sent["sections"][0]["facts"][0]["name"],
            "• " + sent["sections"][0]["facts"][0]["value"],
        ],
    ),
]


@pytest.mark.parametrize(("host", "lines"), KINDS, ids=[host for host, _ in KINDS])
def test_each_kind_of_webhook_gets_the_message_in_its_own_form(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    lines: Callable[[dict[str, Any]], list[str]],
) -> None:
    # As a proxy, the receiver gets what is posted to any host.
    monkeypatch.setenv("http_proxy", receiver.url)
    assert post(SecretStr(f"http://{host}/workflows/s3cret"), alert()) is None
    (sent,) = receiver.messages
    assert receiver.hosts == [host]
    assert lines(sent) == ["testruns: failed", "testmo 1", "• HTTP 404"]
    assert "http://d:3000/r/1" in json.dumps(sent)


def test_a_text_of_slack_calls_nobody(receiver: Receiver) -> None:
    assert post(SecretStr(receiver.url), Alert("x", {"testmo 1": ["<!channel> & more"]})) is None
    assert receiver.texts == ["x\ntestmo 1\n• &lt;!channel&gt; &amp; more"]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, b"", "HTTP 500"),
        (302, b"", "HTTP 302"),
        (200, b"Webhook message delivery failed with error: 429", "Teams did not take it"),
    ],
)
def test_a_webhook_that_takes_nothing_is_reported_without_its_address(
    receiver: Receiver, status: int, body: bytes, reason: str
) -> None:
    receiver.status, receiver.body = status, body
    complaint = post(SecretStr(receiver.url), alert())
    assert complaint == f"TESTRUNS_ALERT_WEBHOOK: not delivered: {reason}"


def test_a_webhook_that_is_not_there_is_reported_without_its_address() -> None:
    complaint = post(SecretStr("http://127.0.0.1:1/s3cret"), alert())
    assert complaint == "TESTRUNS_ALERT_WEBHOOK: not delivered: URLError"


def test_a_webhook_that_never_ends_its_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "_LONGEST_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        complaint = post(SecretStr(f"http://127.0.0.1:{silent.getsockname()[1]}"), alert())
    assert complaint is not None
    assert complaint.startswith("TESTRUNS_ALERT_WEBHOOK: not delivered: ")


class Night:
    """Scheduled runs of one job, each with what goes wrong in it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._instance = dg.DagsterInstance.ephemeral()
        self._problems: list[ScopeProblem] = []

        @dg.op
        def check_testmo() -> None:
            if self._problems:
                raise failure_of_scopes([*map(str, self._problems), "dbt"], self._problems)

        @dg.job(executor_def=dg.in_process_executor)
        def nightly() -> None:
            check_testmo()

        self._job = nightly

    def run(self, *problems: str, **tags: str) -> None:
        """A night in which these are wrong, as `scope: problem`."""
        self._problems = [ScopeProblem("testmo", *one.split(": ", 1)) for one in problems]
        tags = {"dagster/schedule_name": "nightly"} | {
            f"dagster/{name}": value for name, value in tags.items()
        }
        done = self._job.execute_in_process(
            instance=self._instance,
            raise_on_error=False,
            tags={name: value for name, value in tags.items() if value},
        )
        failed = alert_on_failure_sensor(self._settings)
        works = alert_on_recovery_sensor(self._settings)
        event = done.get_run_success_event() if done.success else done.get_run_failure_event()
        context = dg.build_run_status_sensor_context(
            sensor_name="sensor",
            dagster_instance=self._instance,
            # As the daemon gives it: with the tags that it has now.
            dagster_run=self._instance.get_run_by_id(done.run_id) or done.dagster_run,
            dagster_event=event,
        )
        if done.success:
            works(context)
        else:
            failed(context.for_run_failure())


@pytest.fixture
def night(make_settings: MakeSettings, receiver: Receiver) -> Night:
    return Night(
        make_settings(
            {"TESTRUNS_ALERT_WEBHOOK": receiver.url, "TESTRUNS_DAGSTER_URL": "http://dagster:3000"}
        )
    )


def test_a_failed_night_is_one_message_grouped_by_scope(night: Night, receiver: Receiver) -> None:
    night.run("99: HTTP 404", "99: at https://k3y@h/x?token=s3cret", "100: HTTP\x1b 403\n")
    (text,) = receiver.texts
    *lines, what_to_do, where = text.splitlines()
    assert lines == [
        "testruns: the scheduled run of nightly failed",
        "testmo 99",
        "• HTTP 404",
        "• at https://REDACTED@h/x?token=REDACTED",
        "check_testmo",
        "• testmo 100: HTTP⟨U+001B⟩ 403",
        "• dbt",
    ]
    assert "`testruns nightly`" in what_to_do
    assert where.startswith("http://dagster:3000/runs/")


def test_the_same_failures_are_no_news_and_a_recovery_is_a_line(
    night: Night, receiver: Receiver
) -> None:
    night.run()
    night.run("99: HTTP 503 after 5 attempts")
    night.run("99: HTTP 503 after 4 attempts")
    assert len(receiver.texts) == 1
    night.run("99: HTTP 404")
    night.run("100: HTTP 404")
    assert len(receiver.texts) == 3
    assert "New since the last message: testmo 100." in receiver.texts[-1]
    assert "No longer failing: testmo 99." in receiver.texts[-1]
    night.run()
    night.run()
    assert [text.splitlines()[0] for text in receiver.texts[3:]] == [
        "testruns: nightly works again: testmo 100, check_testmo"
    ]
    night.run("100: HTTP 404")
    assert len(receiver.texts) == 5


def test_a_scope_stands_with_its_name_its_team_and_its_channel(
    night: Night, receiver: Receiver, warehouse_url: str
) -> None:
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        connection.execute(
            """
            create table bi.scopes as
            select 'testmo' as system, '99' as scope_id, 'Checkout' as scope, 'pay' as owner,
                '#pay' as channel
            union all
            select 'testmo', '98', 'project 98', 'no owner', null
            """
        )
    night.run("99: HTTP 404")
    night.run("99: HTTP 404", "98: HTTP 404")
    assert receiver.texts[0].splitlines()[1] == "testmo 99 · Checkout · pay · #pay"
    assert "testmo 98" in receiver.texts[1].splitlines()


def test_what_was_not_delivered_is_posted_the_next_night(night: Night, receiver: Receiver) -> None:
    receiver.status = 500
    night.run("99: HTTP 404")
    receiver.status = 200
    night.run("99: HTTP 404")
    night.run("99: HTTP 404")
    assert len(receiver.messages) == 2


def test_what_had_no_webhook_was_not_said(make_settings: MakeSettings) -> None:
    @dg.job(executor_def=dg.in_process_executor)
    def nightly() -> None:
        pass

    with dg.instance_for_test() as instance:
        run = nightly.execute_in_process(instance=instance).dagster_run
        failures = [StepFailure("check_testmo", "HTTP 404")]
        assert Alerts(make_settings({})).run_failed(instance, run, "failed", failures) is None
        assert last_alert(instance, "nightly") == {}


def test_runs_by_hand_and_runs_that_are_tried_again_are_not_posted(
    night: Night, receiver: Receiver
) -> None:
    night.run("99: HTTP 404", will_retry="true")
    night.run("99: HTTP 404", schedule_name="")
    assert receiver.messages == []


def test_a_message_is_as_long_as_people_read() -> None:
    places = {f"testmo {number}": ["x"] * 9 for number in range(20)}
    alert = failure_alert("failed", places)
    assert len(alert.places) == 15
    assert next(iter(alert.places.values())) == [*["x"] * 5, "… and 4 more"]
    assert alert.closing[0] == "… and 5 more places"


def test_a_scope_that_goes_stale_is_posted_once_and_so_is_its_return(
    make_settings: MakeSettings, load: Callable[..., list[ScopeReport]], receiver: Receiver
) -> None:
    with Sandbox(SandboxData([postman_run(1)], [testmo_run(1)], BOOKS)) as sandbox:
        variables = {**sandbox.settings, "POSTMAN_API_KEY": ""}
        load(variables)
    settings = make_settings({**variables, "TESTRUNS_ALERT_WEBHOOK": receiver.url})
    sensor = freshness_sensor(settings)
    assert settings.testruns_warehouse_url is not None
    url = settings.testruns_warehouse_url.get_secret_value()
    instance = dg.DagsterInstance.ephemeral()
    cursor: str | None = None

    def look() -> list[bool]:
        nonlocal cursor
        result = sensor(dg.build_sensor_context(instance, cursor=cursor))
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        evaluations = result.asset_events
        return [one.passed for one in evaluations if isinstance(one, dg.AssetCheckEvaluation)]

    assert look() == []
    query(url, "update ingest.loads set finished_at = now() - interval '37 hours' returning 1")
    receiver.status = 500
    assert look() == [False]
    receiver.status = 200
    assert look() == []
    assert look() == []
    _, text = receiver.texts
    assert f"testmo {PROJECT}\n• last loaded " in text
    # A scope that is taken out of the settings is not loaded again.
    without = freshness_sensor(
        make_settings(
            {
                **variables,
                "TESTRUNS_ALERT_WEBHOOK": receiver.url,
                "TESTMO_PROJECT_IDS": "77",
            }
        )
    )
    without(dg.build_sensor_context(instance, cursor=cursor))
    query(url, "update ingest.loads set finished_at = now() returning 1")
    assert look() == [True]
    assert receiver.texts[2:] == [f"testruns: loaded again: testmo {PROJECT}"]
