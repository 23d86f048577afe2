"""The HTML report as an asset behind the marts.

The nightly job writes it once it has built marts, and leaves it alone where they stand. When marts
have been built otherwise, after a backfill or in a night of which some models failed, the daemon
writes it in a run of its own.
"""

from collections.abc import Sequence

import dagster as dg

from pipelines.errors import TestrunsError
from pipelines.orchestration.raw_assets import FRESHNESS, OWNERS
from pipelines.orchestration.resources import Warehouse

GROUP = "reports"


def report_asset(marts: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """`testruns report` behind these marts."""

    @dg.asset(
        key=["report"],
        deps=list(marts),
        group_name=GROUP,
        kinds={"html", "pandas"},
        owners=OWNERS,
        tags={"layer": "report"},
        freshness_policy=FRESHNESS,
        automation_condition=dg.AutomationCondition.eager(),
        description="One self-contained HTML page from the marts, as `testruns report` writes it; "
        "anew when marts have been built, by the nightly job or by Dagster's daemon.",
    )
    def report(warehouse: Warehouse) -> dg.MaterializeResult[None]:
        from pipelines.report.write import write_report  # noqa: PLC0415 - pandas

        try:
            path = write_report(warehouse.settings).path
        except TestrunsError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        return dg.MaterializeResult(
            metadata={"path": dg.MetadataValue.path(path), "size_bytes": path.stat().st_size}
        )

    return report
