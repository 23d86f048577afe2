"""Days read again from Dagster's page, and those that the command line has read."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from pipelines.ingest.backfill import Window, backfill_source
from pipelines.ingest.progress import NullProgress, ScopeReport
from pipelines.orchestration.backfill_assets import (
    backfill_asset,
    backfill_sync_sensor,
    days_key,
    days_of,
    models_after_failed_days,
)
from pipelines.orchestration.raw_assets import runs_key
from pipelines.orchestration.step_retry import Retry
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
            [backfill_asset(settings, "postman", Retry())],
            instance=instance,
            resources={"settings": settings, "progress": NullProgress()},
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
            [backfill_asset(two, "postman", Retry())],
            instance=instance,
            resources={"settings": two, "progress": NullProgress()},
            partition_key=f"{midnight(2):%F}",
            raise_on_error=False,
        )
        assert instance.get_materialized_partitions(DAYS) == set()
    (event,) = done.get_step_failure_events()
    assert event.step_failure_data.user_failure_data is not None
    assert "postman nobody: " in str(event.step_failure_data.user_failure_data.description)


def test_models_that_failed_days_kept_from_being_built_are_built_by_a_run_of_their_own(
    settings: Settings,
) -> None:
    wrong = with_unknown_collection(settings)

    @dg.asset
    def unconcerned() -> None:
        raise dg.Failure("not for the sake of days", allow_retries=False)

    @dg.asset(deps=[DAYS, unconcerned])
    def model() -> None: ...

    days = backfill_asset(settings, "postman", Retry())
    nightly = dg.define_asset_job("nightly", dg.AssetSelection.assets(model))
    sensor = models_after_failed_days(nightly)
    with dg.instance_for_test() as instance:

        def asked(*assets: Any, **given: Any) -> Any:
            done = dg.materialize(
                assets,
                instance=instance,
                resources={"settings": wrong, "progress": NullProgress()},
                raise_on_error=False,
                **given,
            )
            context = dg.build_run_status_sensor_context(
                sensor_name=sensor.name,
                dagster_instance=instance,
                dagster_run=done.dagster_run,
                dagster_event=done.get_run_failure_event(),
            )
            return done.run_id, sensor(context.for_run_failure())

        day = {"partition_key": f"{midnight(2):%F}"}
        run_id, request = asked(days, model, **day)
        assert isinstance(request, dg.RunRequest)
        assert request.asset_selection == [model.key]
        assert request.run_key == run_id
        for _, told in (asked(days, **day), asked(unconcerned, model)):
            assert isinstance(told, dg.SkipReason)


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
    sensor = backfill_sync_sensor(settings)
    with dg.instance_for_test() as instance:

        def marked(cursor: str | None) -> tuple[list[Any], str | None]:
            context = dg.build_sensor_context(instance=instance, cursor=cursor)
            told = sensor(context)
            assert isinstance(told, dg.SensorResult)
            return [event.partition for event in told.asset_events], told.cursor

        days, cursor = marked(None)
        assert days == [f"{midnight(4):%F}", f"{midnight(3):%F}"]
        assert marked(cursor)[0] == []
        for day in days:
            instance.report_runless_asset_event(dg.AssetMaterialization(DAYS, partition=day))
        assert marked(None)[0] == []


def test_days_are_those_of_the_business_zone_and_include_today(
    make_settings: MakeSettings,
) -> None:
    days = days_of(make_settings({"TESTRUNS_TIMEZONE": "Pacific/Auckland"}))
    now = datetime.now(UTC)
    last = days.time_window_for_partition_key(days.get_partition_keys()[-1])
    assert last.start <= now < last.end
    assert days.get_first_partition_key() == f"{now.astimezone(last.start.tzinfo).year - 1}-01-01"
