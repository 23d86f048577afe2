"""Testmo automation runs: `GET projects/{id}/automation/runs`, filtered and sorted by creation.

A run holds counts by status, and may hold `threads`, `tags`, `fields`, `links` and `artifacts`;
a thread holds `fields` and `artifacts` of its own. What runs refer to by ID comes beside the page,
as `expands`:

    {"result": [{"id": 1, "status": 2, "total_count": 9, "threads": […], …}], "next_page": null,
     "expands": {"users": [{"id": 2, "name": "CI"}], "statuses": [{"id": 1, "is_passed": …}]}}
"""

from pipelines.sources.spec import SourceSpec

SPEC = SourceSpec(
    name="testmo",
    title="Testmo",
    scope_kind="project",
    key_header=("authorization", "Bearer "),
    runs_table="raw_testmo.automation_runs",
    preview_columns=("run_id", "name", "status", "created_at", "total_count", "failure_count"),
)
