"""The HTML report as an asset behind the marts: materialize it to have the page of now."""

from collections.abc import Sequence

import dagster as dg

from pipelines.errors import TestrunsError
from pipelines.orchestration.raw_assets import OWNERS
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
        description="One self-contained HTML page from the marts, as `testruns report` writes it.",
    )
    def report(warehouse: Warehouse) -> dg.MaterializeResult[None]:
        from pipelines.report.write import write_report  # noqa: PLC0415 - pandas and matplotlib

        try:
            path = write_report(warehouse.settings)
        except TestrunsError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        return dg.MaterializeResult(
            metadata={"path": dg.MetadataValue.path(path), "size_bytes": path.stat().st_size}
        )

    return report
