"""Runs made up for a test, small and whole, counted up so that a test can name them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.contract import COUNTS

Json = dict[str, Any]

# Not now, so that nothing depends on the hour at which a test runs.
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
COLLECTION = "1234-7d0e"
PROJECT = 5

BOOKS: Json = {
    "automation_sources": [{"id": 1, "project_id": PROJECT, "name": "unit"}],
    "configs": {"7": "Firefox"},
    "milestones": {"8": "v3"},
    "users": {"2": "Ada"},
    "projects": {str(PROJECT): "Shop"},
    "statuses": [
        {
            "id": 12,
            "name": "Passed",
            "system_name": "status1",
            "color": "#41b883",
            "is_final": True,
            "is_untested": False,
            "is_passed": True,
            "is_failed": False,
            "aliases": ["ok"],
        }
    ],
}


def iso(hours_ago: float) -> str:
    """A time as both APIs write it."""
    at = NOW - timedelta(hours=hours_ago)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def postman_run(number: int, hours_ago: float | None = None, **more: Any) -> Json:
    """A finished run of two executions with three assertions, an hour older for each number."""
    started = iso(number if hours_ago is None else hours_ago)
    return {
        "id": f"run-{number}",
        "collectionId": COLLECTION,
        "status": "finished",
        "source": "monitor",
        "startedAt": started,
        "finishedAt": started,
        "duration": 1000 + number,
        "stats": {
            "requests": {"total": 2, "failed": 0},
            "assertions": {"total": 3, "failed": number % 2},
        },
        "executions": [
            {
                "id": "item-1",
                "itemName": "Get cart",
                "request": {"method": "GET", "url": "https://shop.example.com/cart"},
                "response": {"statusCode": 200, "responseTime": 61, "responseSize": 1402},
                "assertions": [
                    {"name": "Status code is 200", "passed": True},
                    {"name": "Cart is empty", "passed": not number % 2, "error": None},
                ],
            },
            {
                "id": "item-2",
                "itemName": "Add to cart",
                "request": {"method": "POST", "url": "https://shop.example.com/cart"},
                "response": {"statusCode": 201, "responseTime": 84, "responseSize": 310},
                "assertions": [{"name": "Status code is 201", "passed": True}],
            },
        ],
        **more,
    }


def testmo_run(number: int, hours_ago: float | None = None, **more: Any) -> Json:  # noqa: PT028
    """A completed run with a thread and one of each thing that hangs on it."""
    created = iso(number if hours_ago is None else hours_ago)
    counts = dict.fromkeys(COUNTS, 0) | {"status1_count": number, "total_count": number}
    who = {"created_at": created, "created_by": 2, "completed_at": created, "completed_by": 2}
    return {
        "id": number,
        "project_id": PROJECT,
        "source_id": 1,
        "name": f"Run {number}",
        "status": 2,
        "config_id": 7,
        "milestone_id": 8,
        "elapsed": 1_000_000,
        "is_completed": True,
        "artifacts": [
            {
                "name": "a.xml",
                "note": None,
                "url": "https://x.test/a",
                "mime_type": "x/y",
                "size": 9,
            }
        ],
        "fields": [{"type": 1, "name": "Version", "value": "2.3", "meta": None}],
        "links": [{"name": "Build", "note": None, "url": "https://x.test/b"}],
        "tags": ["nightly"],
        "threads": [
            {
                "id": 10 * number,
                "index": 1,
                "name": "Thread 1",
                "status": 2,
                "elapsed": 1_000_000,
                "is_completed": True,
                "artifacts": [],
                "fields": [],
                **counts,
                **who,
            }
        ],
        **counts,
        "thread_count": 1,
        "thread_active_count": 0,
        "thread_completed_count": 1,
        "updated_at": created,
        "updated_by": 2,
        **who,
        **more,
    }


testmo_run.__test__ = False  # type: ignore[attr-defined]  # by its name pytest takes it for a test
