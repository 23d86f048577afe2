"""Testmo's answers as bytes: a project's runs by creation, whole or bare, and one run by its ID."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.work import TESTMO_EVERY, Work

_EVERY = int(TESTMO_EVERY.total_seconds())
# Run IDs are number * _IDS + project, so that an ID alone leads to its run.
_IDS = 1000
_LISTS = ("threads", "tags", "fields", "links", "artifacts")

_EXPANDS = {
    "automation_sources": [{"id": 1, "project_id": 1, "name": "unit", "is_retired": False}],
    "configs": [{"id": 7, "name": "Firefox"}],
    "milestones": [{"id": 8, "name": "v3"}],
    "statuses": [
        {"id": number, "name": f"Status {number}", "system_name": f"status{number}",
         "is_final": True, "is_passed": number == 1, "is_failed": number == 2}
        for number in (1, 2)
    ],
    "users": [{"id": 2, "name": "Ada"}],
}  # fmt: skip


class TestmoBodies:
    """The histories of a work's projects; `runs` is how many each holds now."""

    def __init__(self, work: Work, *, bare: bool) -> None:
        self.work, self.runs = work, work.testmo_runs
        self._listed = _template(bare=bare)
        self._whole = _template(bare=False)
        self._expands = json.dumps(_EXPANDS).encode()

    def page(self, project: str, query: dict[str, str]) -> bytes:
        """A page of runs created after a time, oldest first."""
        first, last = 1, self.runs
        if "created_after" in query:
            first = max(1, self._number_after(query["created_after"]))
        if "created_before" in query:
            last = min(last, self._number_after(query["created_before"]) - 1)
        size, page = int(query["per_page"]), int(query["page"])
        begin = first + (page - 1) * size
        end = min(begin + size - 1, last)
        pages = max(1, -(-(last - first + 1) // size))
        listed = b",".join(
            self._run(self._listed, int(project), number) for number in range(begin, end + 1)
        )
        following = b"%d" % (page + 1) if page < pages else b"null"
        return (
            b'{"page":%d,"prev_page":null,"next_page":%b,"last_page":%d,"per_page":%d,"total":%d,'
            b'"result":[%b],"expands":%b}'
        ) % (page, following, pages, size, last - first + 1, listed, self._expands)

    def detail(self, run_id: str) -> bytes:
        """One run with all that hangs on it."""
        number, project = divmod(int(run_id), _IDS)
        run = self._run(self._whole, project, number)
        return b'{"result":%b,"expands":%b}' % (run, self._expands)

    def _number_after(self, moment: str) -> int:
        """The first run created later than this."""
        behind = self.work.latest - datetime.fromisoformat(moment).timestamp()
        return self.work.testmo_runs - int(behind // _EVERY) + (behind % _EVERY == 0)

    def _run(self, template: bytes, project: int, number: int) -> bytes:
        work = self.work
        created = datetime.fromtimestamp(work.latest + (number - work.testmo_runs) * _EVERY, UTC)
        run_id = number * _IDS + project
        return template % {
            b"id": b"%d" % run_id,
            b"project": b"%d" % project,
            b"thread": b"%d" % (run_id * 10),
            b"failed": b"%d" % (number % 10 == 0),
            b"passed": b"%d" % (120 - (number % 10 == 0)),
            b"status": b"3" if number % 10 == 0 else b"2",
            b"created": created.strftime("%Y-%m-%dT%H:%M:%S.000Z").encode(),
            b"completed": (created + timedelta(minutes=9))
            .strftime("%Y-%m-%dT%H:%M:%S.000Z")
            .encode(),
        }


def _template(*, bare: bool) -> bytes:
    """A run with places for what differs from run to run."""
    run = _shape()
    if bare:
        run = {name: value for name, value in run.items() if name not in _LISTS}
    text = json.dumps(run, separators=(",", ":"))
    for place in ("id", "project", "thread", "failed", "passed", "status"):
        text = text.replace(f'"<{place}>"', f"%({place})b")
    return text.replace("<created>", "%(created)b").replace("<completed>", "%(completed)b").encode()


def _shape() -> dict[str, Any]:
    who = {"created_at": "<created>", "created_by": 2, "completed_at": "<completed>",
           "completed_by": 2}  # fmt: skip
    counts: dict[str, Any] = {
        "untested_count": 0,
        **{f"status{number}_count": 0 for number in range(1, 25)},
        "success_count": "<passed>",
        "failure_count": "<failed>",
        "completed_count": 120,
        "total_count": 120,
    } | {"status1_count": "<passed>", "status2_count": "<failed>"}
    artifact = {"name": "log", "note": "console", "url": "https://ci.example.com/log/1",
                "mime_type": "text/plain", "size": 40960}  # fmt: skip
    field = {"type": 1, "name": "Build", "value": "4711", "meta": None}
    return {
        "id": "<id>",
        "project_id": "<project>",
        "source_id": 1,
        "name": "Backend, nightly",
        "status": "<status>",
        "config_id": 7,
        "milestone_id": 8,
        "elapsed": 540_000_000,
        "is_completed": True,
        "artifacts": [artifact],
        "fields": [field],
        "links": [{"name": "commit", "note": None, "url": "https://git.example.com/c/1"}],
        "tags": ["nightly", "backend"],
        "threads": [
            {
                "id": "<thread>",
                "index": 1,
                "name": "Thread 1",
                "status": "<status>",
                "elapsed": 540_000_000,
                "is_completed": True,
                "artifacts": [artifact],
                "fields": [field],
                **counts,
                **who,
            }
        ],
        **counts,
        "thread_count": 1,
        "thread_active_count": 0,
        "thread_completed_count": 1,
        "updated_at": "<completed>",
        "updated_by": 2,
        **who,
    }
