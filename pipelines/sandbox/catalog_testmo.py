"""The Testmo side of the invented company: projects, books, and the suites that run."""

from typing import Any, NamedTuple


class Suite(NamedTuple):
    """A kind of automation run; started at `times` (UTC) every day, and so many more on a workday.

    `configs` are run side by side, begun in the same moment; `test_ms` is the median of one test.
    """

    title: str
    project_id: int
    source_id: int
    test_count: int
    test_ms: int
    threads: tuple[int, int]
    tags: tuple[str, ...]
    times: tuple[str, ...] = ()
    workday_runs: tuple[int, int] = (0, 0)
    configs: tuple[int | None, ...] = (None,)
    has_milestone: bool = True


WEB_SHOP, MOBILE_APP, PLATFORM = 1, 2, 3
CI_USER, TESTERS = 1, (2, 3, 4)
SPRINT_DAYS = 14
MILESTONES = {number: f"Sprint {number}" for number in range(1, 9)}  # then they begin anew

MOBILE_NIGHTLY = Suite(
    "Nightly devices",
    MOBILE_APP,
    source_id=3,
    test_count=180,
    test_ms=2_400,
    threads=(3, 3),
    tags=("nightly", "main"),
    times=("03:30",),
    configs=(3,),
)
REGRESSION = Suite(
    "Regression by hand",
    PLATFORM,
    source_id=6,
    test_count=64,
    test_ms=310_000,
    threads=(1, 1),
    tags=("manual",),
)
WEB_CHECKS = Suite(
    "Web checks",
    WEB_SHOP,
    source_id=2,
    test_count=96,
    test_ms=900,
    threads=(1, 2),
    tags=("pr",),
    workday_runs=(2, 4),
    has_milestone=False,
)
SUITES = (
    WEB_CHECKS,
    Suite(
        "Nightly web",
        WEB_SHOP,
        source_id=1,
        test_count=240,
        test_ms=2_100,
        threads=(4, 4),
        tags=("nightly", "main"),
        times=("02:00",),
        configs=(1, 2),
    ),
    MOBILE_NIGHTLY,
    Suite(
        "App checks",
        MOBILE_APP,
        source_id=3,
        test_count=60,
        test_ms=1_300,
        threads=(1, 1),
        tags=("pr",),
        workday_runs=(1, 2),
        has_milestone=False,
    ),
    Suite(
        "Services unit",
        PLATFORM,
        source_id=4,
        test_count=410,
        test_ms=35,
        threads=(1, 1),
        tags=("push", "main"),
        workday_runs=(1, 2),
    ),
    Suite(
        "Nightly integration",
        PLATFORM,
        source_id=5,
        test_count=130,
        test_ms=1_700,
        threads=(2, 3),
        tags=("nightly", "main", "integration"),
        times=("04:15",),
    ),
)


def _status(
    status_id: int, name: str, system_name: str, color: str, *flags: str, alias: str | None = None
) -> dict[str, Any]:
    said = {f"is_{flag}": flag in flags for flag in ("final", "untested", "passed", "failed")}
    return {
        "id": status_id,
        "name": name,
        "system_name": system_name,
        "color": color,
        **said,
        "aliases": [alias] if alias else [],
    }


BOOKS: dict[str, Any] = {
    "automation_sources": [
        {"id": 1, "project_id": WEB_SHOP, "name": "web-e2e"},
        {"id": 2, "project_id": WEB_SHOP, "name": "web-checks"},
        {"id": 3, "project_id": MOBILE_APP, "name": "mobile-devices"},
        {"id": 4, "project_id": PLATFORM, "name": "services-unit"},
        {"id": 5, "project_id": PLATFORM, "name": "services-integration"},
        {"id": 6, "project_id": PLATFORM, "name": "manual-regression"},
    ],
    "configs": {"1": "Chrome, Ubuntu", "2": "Firefox, Ubuntu", "3": "Android 16, mid-range"},
    "milestones": {str(number): name for number, name in MILESTONES.items()},
    "users": {"1": "CI", "2": "Ines Aalto", "3": "Marek Dvořák", "4": "Thu Trang Bùi"},
    "projects": {
        str(WEB_SHOP): "Web shop",
        str(MOBILE_APP): "Mobile app",
        str(PLATFORM): "Platform",
    },
    "statuses": [
        _status(1, "Untested", "untested", "#9aa5b1", "untested"),
        _status(2, "Passed", "status1", "#2e9e6b", "final", "passed", alias="passed"),
        _status(3, "Failed", "status2", "#d64545", "final", "failed", alias="failed"),
        _status(4, "Retest", "status3", "#e8b339"),
        _status(5, "Blocked", "status4", "#7f56d9", "final"),
        _status(6, "Skipped", "status5", "#52606d", "final", alias="skipped"),
    ],
}
