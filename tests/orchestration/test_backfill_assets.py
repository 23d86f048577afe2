"""Days read again from Dagster's page, and those that the command line has read."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from pipelines.ingest.backfill import Window, backfill_source
from pipelines.ingest.progress import NullProgress, ScopeReport
from pipelines.orchestration.backfill_assets import backfill_job, days_asset, days_key, days_of
from pipelines.orchestration.raw_assets import runs_key
from pipelines.orchestration.resources import resources
from pipelines.orchestration.sensors import backfill_sync_sensor, models_after_backfill_sensor
from pipelines.orchestration.step_retry import STEP_RETRY
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from tests.support.db import query
from tests.support.factories import BOOKS, COLLECTION, postman_run, testmo_run

MakeSettings = Callable[[dict[str, str]], Settings]
DAYS = days_key("postman")


@pytest.fixture
def settings(make_settings: MakeSettings, load: Callable[..., list[ScopeReport]]) -> Any:
    """Over a warehouse with a loaded history, its sandbox up."""
    data = SandboxData([postman_run(number) for number in range(1, 60)], [testmo_run(1)], BOOKS)
    with Sandbox(data, requests_per_minute=1_000_000) as sandbox:
        variables = {**sandbox.settings, "TESTMO_API_TOKEN": ""}
        load(variables)
        yield make_settings(variables)


def with_unknown_collection(settings: Settings) -> Settings:
    scopes = {"scopes": (COLLECTION, "nobody")}
    postman = settings.sources["postman"].model_copy(update=scopes)
    return settings.model_copy(update={"sources": {**settings.sources, "postman": postman}})


def url(settings: Settings) -> str:
    assert settings.testruns_warehouse_url is not None
    return settings.testruns_warehouse_url.get_secret_value()


def midnight(days_ago: int) -> datetime:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days_ago)


def test_a_range_of_days_is_one_reading_that_moves_no_watermark_and_passes_for_no_load(
    settings: Settings,
) -> None:
    marks = query(url(settings), "select * from ingest.watermarks")
    first, last = (f"{midnight(days):%F}" for days in (4, 2))
    with dg.instance_for_test() as instance:
        done = dg.materialize(
            [days_asset(settings, "postman", STEP_RETRY, NullProgress())],
            instance=instance,
            resources=resources(settings),
            tags={
                "dagster/asset_partition_range_start": first,
                "dagster/asset_partition_range_end": last,
            },
        )
        assert done.success
        read = instance.get_materialized_partitions(DAYS)
        raw = instance.get_latest_materialization_event(runs_key("postman"))
    assert read == {f"{midnight(days):%F}" for days in (4, 3, 2)}
    assert raw is None
    assert query(url(settings), "select * from ingest.watermarks") == marks
    windows = query(
        url(settings), "select window_from, window_to from ingest.loads where kind = 'backfill'"
    )
    assert windows == [(midnight(4), midnight(1))]
    (observed,) = done.get_asset_observation_events()
    assert observed.asset_key == runs_key("postman")


def test_a_day_that_a_scope_could_not_be_read_for_is_not_marked(settings: Settings) -> None:
    two = with_unknown_collection(settings)
    with dg.instance_for_test() as instance:
        done = dg.materialize(
            [days_asset(two, "postman", STEP_RETRY, NullProgress())],
            instance=instance,
            resources=resources(two),
            partition_key=f"{midnight(2):%F}",
            raise_on_error=False,
        )
        assert instance.get_materialized_partitions(DAYS) == set()
    (event,) = done.get_step_failure_events()
    assert event.step_failure_data.user_failure_data is not None
    assert "postman nobody: " in str(event.step_failure_data.user_failure_data.description)


def test_the_models_are_built_once_after_a_backfill_of_any_command(settings: Settings) -> None:
    sensor = models_after_backfill_sensor(settings)
    cursor: str | None = None

    def evaluate() -> list[dg.RunRequest]:
        nonlocal cursor
        result = sensor(dg.build_sensor_context(cursor=cursor))
        if isinstance(result, dg.SkipReason):
            return []
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        return list(result.run_requests or [])

    assert evaluate() == []
    wrong = with_unknown_collection(settings)
    scopes = wrong.scopes("postman")
    reports = backfill_source(wrong, "postman", scopes, Window(midnight(5)), url(settings))
    assert [report.error is None for report in reports] == [True, False]
    assert len(evaluate()) == 1
    assert evaluate() == []
    query(
        url(settings),
        "insert into ingest.loads (source, scope, kind) values ('postman', 'x', 'backfill')"
        " returning 1",
    )
    assert evaluate() == []


def run_backfill(settings: Settings, **config: Any) -> tuple[dg.ExecuteInProcessResult, list[str]]:
    job = backfill_job(settings, STEP_RETRY, NullProgress())
    with dg.instance_for_test() as instance:
        done = job.execute_in_process(
            run_config=config,
            resources=resources(settings),
            instance=instance,
            raise_on_error=False,
        )
        return done, [entry.user_message for entry in instance.all_logs(done.run_id)]


def test_a_window_is_read_again_by_its_config_and_a_dry_run_only_says_what_it_costs(
    settings: Settings,
) -> None:
    backfills = "select count(*) from ingest.loads where kind = 'backfill'"
    dry, messages = run_backfill(settings, since=f"{midnight(5):%F}", dry_run=True)
    assert dry.success
    assert any(
        message.startswith(f"postman {COLLECTION}: ") and message.endswith(" minutes")
        for message in messages
    )
    assert query(url(settings), backfills) == [(0,)]

    done, _ = run_backfill(settings, since=f"{midnight(5):%F}", scopes=[COLLECTION])
    assert done.success
    assert query(url(settings), backfills) == [(1,)]


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"since": "yesterday"}, "since: 'yesterday' is no date or time"),
        ({"since": "2026-01-01", "scopes": ["nobody"]}, "scopes: nobody: not among those of the"),
    ],
)
def test_a_bad_window_is_one_line(
    settings: Settings, config: dict[str, Any], complaint: str
) -> None:
    done, _ = run_backfill(settings, **config)
    (event,) = done.get_step_failure_events()
    assert event.step_failure_data.user_failure_data is not None
    assert str(event.step_failure_data.user_failure_data.description).startswith(complaint)


@pytest.mark.builds
def test_whole_days_of_a_backfill_from_the_command_line_are_marked_once(
    settings: Settings,
) -> None:
    window = Window(midnight(5) + timedelta(hours=6), midnight(2))
    (report,) = backfill_source(settings, "postman", (COLLECTION,), window, url(settings))
    assert report.error is None
    query(
        url(settings),
        "update ingest.loads set finished_at = finished_at - interval '2 minutes' returning 1",
    )
    # A load of everything has marked all past days before.
    loaded = "update ingest.loads set started_at = now() - interval '3 days' where kind ="
    query(url(settings), f"{loaded} 'incremental' returning 1")
    sensor = backfill_sync_sensor(settings)
    with dg.instance_for_test() as instance:

        def marked(cursor: str | None) -> tuple[list[Any], str | None]:
            context = dg.build_sensor_context(instance=instance, cursor=cursor)
            result = sensor(context)
            assert isinstance(result, dg.SensorResult)
            for event in result.asset_events:
                assert isinstance(event, dg.AssetMaterialization)
                instance.report_runless_asset_event(event)
            return [event.partition for event in result.asset_events], result.cursor

        days, cursor = marked(None)
        # What the window holds as a whole, and what the load has read: up to three days ago.
        assert days[:2] == [f"{midnight(4):%F}", f"{midnight(3):%F}"]
        assert f"{midnight(2):%F}" not in days
        assert instance.get_materialized_partitions(DAYS) == set(days)
        assert len(set(days)) == len(days_of(settings).get_partition_keys()) - 3
        assert marked(cursor)[0] == []
        assert marked(None)[0] == []


def test_days_are_those_of_the_business_zone_and_include_today(
    make_settings: MakeSettings,
) -> None:
    days = days_of(make_settings({"TESTRUNS_TIMEZONE": "Pacific/Auckland"}))
    now = datetime.now(UTC)
    last = days.time_window_for_partition_key(days.get_partition_keys()[-1])
    assert last.start <= now < last.end
    assert days.get_first_partition_key() == f"{now.astimezone(last.start.tzinfo).year - 1}-01-01"
