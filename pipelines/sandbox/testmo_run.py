"""One Testmo automation run written down: a plan in, the API's run with its threads out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from pipelines.sandbox.books import STATUS_COUNTS
from pipelines.sandbox.catalog_testmo import CI_USER, TESTERS, Suite
from pipelines.sandbox.history_days import iso
from pipelines.sandbox.wire import Json

_SUCCESS, _FAILURE, _RUNNING = 2, 3, 4
_STRING, _TEXT, _CONSOLE, _URL = 1, 2, 4, 5  # field types, as Testmo numbers them
_COUNTS = (
    *STATUS_COUNTS,
    "success_count",
    "failure_count",
    "completed_count",
    "total_count",
)
_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


class Plan(NamedTuple):
    """What is to run; one by hand says when it is completed, others take as long as they take.

    `failing` are the places of the tests in their suite that are to fail.
    """

    created_at: datetime
    suite: Suite
    config_id: int | None
    milestone_id: int | None
    completed_at: datetime | None = None
    failing: frozenset[int] = frozenset()


def record(run_id: int, plan: Plan, dice: Random, *, is_open: bool = False) -> Json:
    """Give a run with its threads; of an open one, the last thread is still at work."""
    user_id = dice.choice(TESTERS) if plan.completed_at else CI_USER
    thread_count = dice.randint(*plan.suite.threads)
    return _Recorder(run_id, plan, dice, user_id, thread_count, is_open).run()


@dataclass(frozen=True)
class _Recorder:
    """What all parts of one run are written from."""

    run_id: int
    plan: Plan
    dice: Random
    user_id: int
    thread_count: int
    is_open: bool

    def run(self) -> Json:
        plan, is_open = self.plan, self.is_open
        threads = [
            self._thread(index, is_open=is_open and index == self.thread_count)
            for index in range(1, self.thread_count + 1)
        ]
        elapsed = None if is_open else max(thread["elapsed"] for thread in threads)
        completed_at = _completed_at(plan, elapsed)
        counts = {name: sum(thread[name] for thread in threads) for name in _COUNTS}
        last_change = completed_at or plan.created_at + timedelta(minutes=4)
        return {
            "id": self.run_id,
            "project_id": plan.suite.project_id,
            "source_id": plan.suite.source_id,
            **self._title_and_tags(),
            "status": _status(counts, is_open=is_open),
            "config_id": plan.config_id,
            "milestone_id": plan.milestone_id,
            "elapsed": elapsed,
            "is_completed": not is_open,
            **self._resources(),
            "threads": threads,
            **counts,
            "thread_count": self.thread_count,
            "thread_active_count": int(is_open),
            "thread_completed_count": self.thread_count - int(is_open),
            "created_at": iso(plan.created_at),
            "created_by": self.user_id,
            "updated_at": iso(last_change),
            "updated_by": self.user_id,
            **self._completion(completed_at),
        }

    def _thread(self, index: int, *, is_open: bool) -> Json:
        suite = self.plan.suite
        test_count = suite.test_count // self.thread_count
        first = (index - 1) * test_count
        failed = len(self.plan.failing.intersection(range(first, first + test_count)))
        counts = self._counts(test_count, failed, is_open=is_open)
        took = round(test_count * suite.test_ms * 1000 * self.dice.lognormvariate(0, 0.1))
        elapsed = None if is_open else took
        thread_id = self.run_id * 10 + index
        return {
            "id": thread_id,
            "index": index,
            "name": f"Thread {index}",
            "status": _status(counts, is_open=is_open),
            "elapsed": elapsed,
            "is_completed": not is_open,
            "artifacts": [_artifact("junit.xml", f"threads/{thread_id}", 210 * test_count)],
            "fields": [_console(counts)] if counts["failure_count"] else [],
            **counts,
            "created_at": iso(self.plan.created_at + timedelta(seconds=index)),
            "created_by": self.user_id,
            **self._completion(_completed_at(self.plan, elapsed)),
        }

    def _counts(self, test_count: int, failed: int, *, is_open: bool) -> dict[str, int]:
        dice = self.dice
        by_hand = self.plan.completed_at is not None
        skipped = round(test_count * dice.uniform(0, 0.03))
        blocked = dice.randint(0, 3) if by_hand else 0
        untested = test_count // 2 if is_open else dice.randint(1, 4) if by_hand else 0
        skipped = min(skipped, test_count - failed - blocked - untested)
        passed = test_count - failed - skipped - blocked - untested
        return dict.fromkeys(_COUNTS, 0) | {
            "untested_count": untested,
            "status1_count": passed,
            "status2_count": failed,
            "status4_count": blocked,
            "status5_count": skipped,
            "success_count": passed,
            "failure_count": failed,
            "completed_count": test_count - untested,
            "total_count": test_count,
        }

    def _title_and_tags(self) -> Json:
        title, tags = self.plan.suite.title, list(self.plan.suite.tags)
        if "pr" in tags:
            number = self.run_id // 5  # a pull request is often checked more than once
            return {"name": f"{title}: PR #{number}", "tags": [*tags, f"pr-{number}"]}
        return {"name": f"{title} {self.plan.created_at:%Y-%m-%d}", "tags": tags}

    def _resources(self) -> Json:
        """Give what hangs on the run: on one by hand, nothing but the tester's note."""
        if self.plan.completed_at:
            note = "Tried on the release candidate.\nNo new findings in exports."
            return {"artifacts": [], "fields": [_field(_TEXT, "Notes", note)], "links": []}
        commit = f"{self.dice.getrandbits(40):010x}"
        commit_url = f"https://git.example.com/shop/commit/{commit}"
        build = f"https://ci.example.com/builds/{self.run_id}"
        report_size = self.dice.randint(40_000, 900_000)
        return {
            "artifacts": [_artifact("report.html", f"runs/{self.run_id}", report_size)],
            "fields": [_field(_STRING, "Commit", commit), _field(_URL, "Build", build)],
            "links": [
                {"name": "Build", "note": None, "url": build},
                {"name": "Commit", "note": self.plan.suite.tags[-1], "url": commit_url},
            ],
        }

    def _completion(self, completed_at: datetime | None) -> Json:
        return {
            "completed_at": iso(completed_at) if completed_at else None,
            "completed_by": self.user_id if completed_at else None,
        }


def _status(counts: dict[str, int], *, is_open: bool) -> int:
    if is_open:
        return _RUNNING
    return _FAILURE if counts["failure_count"] else _SUCCESS


def _completed_at(plan: Plan, elapsed: int | None) -> datetime | None:
    if elapsed is None:
        return None
    return plan.completed_at or plan.created_at + timedelta(seconds=5, microseconds=elapsed)


def _field(kind: int, name: str, value: str) -> Json:
    return {"type": kind, "name": name, "value": value, "meta": None}


def _console(counts: dict[str, int]) -> Json:
    failed, passed = counts["failure_count"], counts["success_count"]
    output = f"{_RED}{failed} failed{_PLAIN}, {passed} passed\n"
    return {"type": _CONSOLE, "name": "Output", "value": output, "meta": {"exit_code": "1"}}


def _artifact(name: str, folder: str, size: int) -> Json:
    """Give a file behind a signed link, as object stores hand them out."""
    kind = "text/html" if name.endswith("html") else "application/xml"
    signature = f"{size * 7919 % 2**32:08x}"
    url = f"https://artifacts.example.com/{folder}/{name}?expires=604800&signature={signature}"
    return {"name": name, "note": None, "url": url, "mime_type": kind, "size": size}
