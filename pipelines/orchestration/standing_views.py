"""Views that a build leaves out, since they stand, as results of that build.

A view is as fresh as what it reads, so that its asset is materialized with it. Dagster takes the
outputs of one step in topological order only.
"""

from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter

from pipelines.transform.build import NodeResult
from pipelines.transform.manifest import Manifest


def with_standing_views(results: Iterable[NodeResult], manifest: Manifest) -> Iterator[NodeResult]:
    """`results`, and each view as soon as all models that it reads are there.

    A view on a model that failed, or was skipped, does not come.
    """
    models = {
        unique_id: node
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model"
    }
    views = {key for key, node in models.items() if node["config"]["materialized"] == "view"}
    order = TopologicalSorter(
        {key: set(node["depends_on"]["nodes"]) & models.keys() for key, node in models.items()}
    )
    order.prepare()
    yield from _ready(order, views)
    for result in results:
        yield result
        if result.unique_id in models and result.status == "success":
            order.done(result.unique_id)
            yield from _ready(order, views)


def _ready(order: TopologicalSorter[str], views: set[str]) -> Iterator[NodeResult]:
    while ready := views.intersection(order.get_ready()):
        for view in sorted(ready):
            yield NodeResult(view, "success", "stands as it was made", failed_rows=0, seconds=0)
        order.done(*ready)
