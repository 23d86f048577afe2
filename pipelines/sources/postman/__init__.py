"""Postman Collection Runs: `GET collections/{id}/runs`, and one detail for each run.

Shapes follow the API's published OpenAPI description, which is a third party's; nothing outside
this folder knows them. A run holds `executions` (a request sent each), which hold `assertions`:

    {"id": "…", "status": "finished", "startedAt": "…Z", "stats": {"requests": {"total": 2, …}},
     "executions": [{"itemName": "Get cart", "request": {…}, "response": {…}, "assertions": […]}]}
"""

from pipelines.sources.spec import SourceSpec

SPEC = SourceSpec(
    name="postman",
    title="Postman",
    scope_kind="collection",
    key_header=("x-api-key", ""),
    runs_table="raw_postman.collection_runs",
    preview_columns=("run_id", "status", "started_at", "requests_total", "assertions_failed"),
    docs_url="https://learning.postman.com/docs/developer/postman-api/intro-api/",
)
