"""`dbt build` over the warehouse, from raw tables to marts: node by node, or as a report."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from pipelines.errors import TransformError
from pipelines.transform.build_lock import build_lock
from pipelines.transform.build_record import build_inputs, save_build, views_stand
from pipelines.transform.environment import database_name, dbt_environment
from pipelines.transform.manifest import load_manifest
from pipelines.transform.runner import first_line, invoke
from pipelines.warehouse.reference import Reference, save_reference

_NO_REFERENCE = Reference()


@dataclass(frozen=True)
class NodeResult:
    """What came of a model or test.

    `status` is dbt's: success, error, partial success, skipped, or pass, warn, fail of a test.
    `failed_rows` are a test's.
    """

    unique_id: str
    status: str
    message: str
    failed_rows: int
    seconds: float

    @property
    def name(self) -> str:
        """As in dbt's commands."""
        return self.unique_id.split(".")[2]

    @property
    def has_failed(self) -> bool:
        """A warning is no failure, and what was skipped failed by something else."""
        return self.status in {"error", "fail", "partial success"}

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


@dataclass(frozen=True)
class TransformReport:
    """What a build did."""

    seconds: float
    results: list[NodeResult] = field(default_factory=list)

    @property
    def models(self) -> int:
        """Models built."""
        return sum(result.status == "success" for result in self.results)

    @property
    def tests(self) -> int:
        """Tests that ran and gave a verdict."""
        return sum(result.status in {"pass", "warn", "fail"} for result in self.results)

    @property
    def failed_tests(self) -> list[str]:
        """`name: what dbt says of it`, one line each."""
        return [str(result) for result in self.results if result.status == "fail"]

    @property
    def warned_tests(self) -> list[str]:
        """The same for tests that only warn: oddities at the source, which are kept as they are."""
        return [str(result) for result in self.results if result.status == "warn"]

    @property
    def errors(self) -> list[str]:
        """`name: message`, one line each: models and tests that could not be run."""
        return [
            str(result) for result in self.results if result.status in {"error", "partial success"}
        ]

    @property
    def skipped(self) -> list[str]:
        """Names of what was not run because something before it failed."""
        return [result.name for result in self.results if result.status == "skipped"]

    @property
    def succeeded(self) -> bool:
        """Everything was built, and no test failed; warnings do not count."""
        return not any(result.has_failed for result in self.results)


def build_models(
    url: str,
    timezone: str,
    folder: Path,
    on_result: Callable[[NodeResult], None],
    *,
    arguments: Sequence[str] = (),
) -> None:
    """Runs `dbt build`, with further `arguments`, in the warehouse at `url`.

    `timezone` is the IANA zone of the business day, `folder` is where dbt writes. `on_result` gets
    what comes of each model and test as soon as dbt knows it, from dbt's threads.

    Raises TransformError when dbt gives up before the first model.
    """

    def on_event(event: Any) -> None:
        if event.info.name == "NodeFinished":
            result = event.data.run_result
            on_result(
                NodeResult(
                    unique_id=event.data.node_info.unique_id,
                    status=result.status,
                    message=first_line(result.message) or result.status,
                    failed_rows=result.num_failures,
                    seconds=round(result.execution_time, 3),
                )
            )

    result: Any = invoke(
        "build",
        "--no-write-json",
        # unit tests look at fixtures, not at the warehouse: the test suite runs them
        *("--exclude-resource-type", "unit_test"),
        *arguments,
        folder=folder,
        variables=dbt_environment(url, timezone),
        manifest=load_manifest(folder, database_name(url)),
        callbacks=[on_event],
    )
    if isinstance(result.exception, KeyboardInterrupt):
        raise result.exception  # dbt keeps it back; it has cancelled its queries
    if result.exception is not None:
        message = f"dbt: {first_line(str(result.exception))}"
        raise TransformError(message) from result.exception


def due_models(session: psycopg.Connection, timezone: str) -> list[str]:
    """Arguments of dbt for a build of all: without the views where they stand, tests included.

    `timezone` is the IANA zone of the business day.
    """
    if not views_stand(session, timezone):
        return []
    kinds = ("config.materialized:table", "config.materialized:incremental", "resource_type:test")
    return ["--select", *kinds]


def transform(
    url: str,
    *,
    timezone: str,
    target_path: Path,
    reference: Reference = _NO_REFERENCE,
    full_refresh: bool = False,
    on_wait: Callable[[str], None] = lambda _: None,
) -> TransformReport:
    """Builds and tests every model in the warehouse at `url`.

    `timezone` is the IANA zone of the business day; dbt writes under `target_path`. `reference`
    is what runs do not tell; `full_refresh` builds all anew, incremental models and views that
    stand as well. `on_wait` gets a line that names another build, after 5 s.

    A model or test that fails is in the report; TransformError says that dbt could not start.
    """
    started = time.monotonic()
    results: list[NodeResult] = []
    with build_lock(url, on_wait) as session:
        save_reference(session, reference)
        inputs = build_inputs(session, timezone)
        arguments = ["--full-refresh"] if full_refresh else due_models(session, timezone)
        build_models(url, timezone, target_path, results.append, arguments=arguments)
        report = TransformReport(seconds=time.monotonic() - started, results=results)
        if report.succeeded:
            save_build(session, inputs, timezone)
    return report
