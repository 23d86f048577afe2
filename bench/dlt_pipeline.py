"""What a user would write with dlt: its rest_api source, merged by key, files loaded by COPY.

Runs in the peers' environment, and gets all from variables: BENCH_ROOT, BENCH_SCOPES, BENCH_URL,
BENCH_FOLDER. The list of each collection is incremental by start, so that only new runs' details
are requested; dlt's own defaults hold for the rest, which is what a user would begin with.
"""

import os

import dlt
from dlt.destinations import postgres
from dlt.sources.rest_api import rest_api_source


def _resources(collection: str) -> list[dict[str, object]]:
    runs = collection.replace("-", "_")
    return [
        {
            "name": f"listed_{runs}",
            "endpoint": {
                "path": f"collections/{collection}/runs",
                "params": {"limit": 100},
                "data_selector": "runs",
                "incremental": {
                    "cursor_path": "startedAt",
                    "initial_value": "2000-01-01T00:00:00.000Z",
                },
            },
            "primary_key": "id",
            "write_disposition": "merge",
            "table_name": "listed_runs",
            "parallelized": True,
        },
        {
            "name": f"runs_{runs}",
            "endpoint": {
                "path": f"collections/{collection}/runs/{{resources.listed_{runs}.id}}",
                "data_selector": "run",
                "paginator": "single_page",
            },
            "primary_key": "id",
            "write_disposition": "merge",
            "table_name": "collection_runs",
            "parallelized": True,
        },
    ]


def main() -> None:
    source = rest_api_source(
        {
            "client": {
                "base_url": os.environ["BENCH_ROOT"],
                "headers": {"x-api-key": "bench"},
                "paginator": {
                    "type": "cursor",
                    "cursor_path": "meta.nextCursor",
                    "cursor_param": "cursor",
                },
            },
            "resources": [
                resource
                for collection in os.environ["BENCH_SCOPES"].split(",")
                for resource in _resources(collection)
            ],
        }
    )
    pipeline = dlt.pipeline(
        "bench",
        destination=postgres(os.environ["BENCH_URL"]),
        dataset_name="raw",
        pipelines_dir=os.environ["BENCH_FOLDER"],
    )
    # Lists are read for the sake of the details alone.
    pipeline.run(
        source.with_resources(*(name for name in source.resources if name.startswith("runs_"))),
        loader_file_format="csv",
    )


if __name__ == "__main__":
    main()
