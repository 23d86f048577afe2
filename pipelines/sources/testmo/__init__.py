"""Testmo automation runs: `GET projects/{id}/automation/runs`, filtered and sorted by creation.

A run holds counts by status, and may hold `threads`, `tags`, `fields`, `links` and `artifacts`;
a thread holds `fields` and `artifacts` of its own. What runs refer to by ID comes beside the page,
as `expands`:

    {"result": [{"id": 1, "status": 2, "total_count": 9, "threads": […], …}], "next_page": null,
     "expands": {"users": [{"id": 2, "name": "CI"}], "statuses": [{"id": 1, "is_passed": …}]}}
"""
