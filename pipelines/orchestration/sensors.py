"""What follows by itself: the report behind the marts, models and days behind backfills."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg
from sqlalchemy import Connection

from pipelines.errors import TestrunsError
from pipelines.orchestration.backfill_assets import days_key, days_of
from pipelines.settings import Settings
from pipelines.sources.spec import SourceName
from pipelines.warehouse.engine import engine, warehouse_url
from pipelines.warehouse.queries import queries

_RUNNING = dg.DefaultSensorStatus.RUNNING


def report_sensor(report: dg.AssetsDefinition) -> dg.AutomationConditionSensorDefinition:
    """Writes the report anew when marts have been built."""
    return dg.AutomationConditionSensorDefinition(
        "report_sensor",
        target=[report],
        default_status=_RUNNING,
        description="Materializes the report when marts have been built.",
    )


def models_after_backfill_sensor(settings: Settings) -> dg.SensorDefinition:
    """Builds the models over what a backfill has written, whoever started it."""

    @dg.sensor(
        name="models_after_backfill_sensor",
        job_name="transform",
        minimum_interval_seconds=30,
        default_status=_RUNNING,
        description="Starts the job transform when a backfill, of the UI or of the command line, "
        "an import or testruns retry-rejected has ended; it builds nothing where nothing has "
        "changed.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            with _reader(settings) as connection:
                (row,) = _read(connection, "last_backfill", after=context.cursor or "-infinity")
        except TestrunsError as error:
            return dg.SkipReason(str(error))
        if row["is_running"]:
            return dg.SkipReason("a backfill is under way")
        if row["finished_at"] is None:
            return dg.SkipReason("no backfill has ended")
        cursor = row["finished_at"].isoformat()
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=cursor)], cursor=cursor)

    return sensor


@dataclass(frozen=True)
class _Window:
    """A window that backfills have read, in these scopes, the last of them at `read_at`; UTC."""

    source: SourceName
    since: datetime
    until: datetime
    scopes: list[str]
    read_at: datetime


def backfill_sync_sensor(settings: Settings) -> dg.SensorDefinition:
    """Shows on the pages of the days what has been read outside of them."""

    @dg.sensor(
        name="backfill_sync_sensor",
        minimum_interval_seconds=60,
        default_status=_RUNNING,
        description="Marks the days whose runs have been loaded, and those that testruns backfill "
        "has read again.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            with _reader(settings) as connection:
                after = {"after": context.cursor or "-infinity"}
                rows = _read(connection, "windows_read_again", **after)
                windows = [_Window(**row) for row in rows]
                events = [
                    event
                    for source in settings.configured_sources
                    for event in _days(context.instance, settings, source, connection, windows)
                ]
        except TestrunsError as error:
            return dg.SkipReason(str(error))
        return dg.SensorResult(
            skip_reason=dg.SkipReason(f"{len(events)} days were marked"),
            asset_events=events,
            cursor=max((window.read_at.isoformat() for window in windows), default=context.cursor),
        )

    return sensor


def _days(
    instance: dg.DagsterInstance,
    settings: Settings,
    source: SourceName,
    connection: Connection,
    windows: Sequence[_Window],
) -> Iterator[dg.AssetMaterialization]:
    """Days to mark: read again by somebody, else loaded and not marked yet."""
    reread = {event.partition: event for event in _reread_days(instance, settings, source, windows)}
    yield from reread.values()
    for event in _loaded_days(instance, settings, source, connection):
        if event.partition not in reread:
            yield event


def _reread_days(
    instance: dg.DagsterInstance, settings: Settings, source: SourceName, windows: Sequence[_Window]
) -> Iterator[dg.AssetMaterialization]:
    """Days wholly inside a window that every scope was read in, unless Dagster knows of it."""
    days = days_of(settings)
    read: dict[str, datetime] = {}
    for window in windows:
        if window.source == source and set(window.scopes) >= set(settings.scopes(source)):
            for day in days.get_partition_keys():
                lies_in = days.time_window_for_partition_key(day)
                if window.since <= lies_in.start and lies_in.end <= window.until:
                    read[day] = max(window.read_at, read.get(day, window.read_at))
    if not read:
        return
    materializations = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=days_key(source),
            asset_partitions=list(read),
            after_timestamp=min(read.values()).timestamp(),
        ),
        limit=10 * len(read),
    )
    marked = {
        record.partition_key
        for record in materializations.records
        if record.timestamp >= read[str(record.partition_key)].timestamp()
    }
    for day in sorted(read.keys() - marked):
        metadata = {"read_again_by": "testruns backfill", "read_at": f"{read[day]:%F %T} UTC"}
        yield dg.AssetMaterialization(days_key(source), partition=day, metadata=metadata)


def _loaded_days(
    instance: dg.DagsterInstance, settings: Settings, source: SourceName, connection: Connection
) -> Iterator[dg.AssetMaterialization]:
    """Past days that loads of every scope have read, unless they are marked."""
    scopes = list(settings.scopes(source))
    (row,) = _read(connection, "loaded_until", source=source, scopes=scopes)
    if row["loaded_until"] is None:
        return
    days = days_of(settings)
    marked = instance.get_materialized_partitions(days_key(source))
    for day in days.get_partition_keys():
        if day not in marked and days.time_window_for_partition_key(day).end <= row["loaded_until"]:
            metadata = {"loaded_until": f"{row['loaded_until']:%F %T} UTC"}
            yield dg.AssetMaterialization(days_key(source), partition=day, metadata=metadata)


def _reader(settings: Settings) -> Connection:
    return engine(warehouse_url(settings), role="testruns dagster").connect()


def _read(connection: Connection, name: str, **params: Any) -> list[dict[str, Any]]:
    """Rows of a query of sql/queries/assets.sql."""
    rows = connection.exec_driver_sql(queries("assets")[name].decode(), params)
    return [dict(row) for row in rows.mappings()]
