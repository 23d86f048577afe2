"""The flakiest tests, each with its last results as a strip."""

from dataclasses import dataclass

from markupsafe import Markup

from pipelines.report.formats import counted, named_test, short_id
from pipelines.report.reading import Row
from pipelines.report.scopes import Scopes

# A result is so wide, the gap to the next included; 50 of them fit on a phone.
_STEP = 6
_WIDTH = 4


@dataclass(frozen=True)
class FlakyTest:
    """A test in an environment that fails now and then."""

    name: str
    scope: str
    environment: str | None
    health: str
    episodes: int
    since_episode: int
    results: int
    passed: int
    strip: Markup


def flaky_tests(rows: list[Row], scopes: Scopes) -> list[FlakyTest]:
    """The flakiest first, as the query ranks them."""
    return [
        FlakyTest(
            name=named_test(row),
            scope=scopes.name(row["system"], row["scope"]),
            environment=row["environment_id"] and short_id(row["environment_id"]),
            health=row["health"],
            episodes=row["episodes"],
            since_episode=row["results_since_episode"],
            results=row["long_results"],
            passed=row["long_passed"],
            strip=strip(row["letters"] or "", f"strip-{number}"),
        )
        for number, row in enumerate(rows)
    ]


def strip(letters: str, name: str) -> Markup:
    """Results as bars, oldest first: passed (p) stand above the line, failed (f) hang below it."""
    passed = failed = ""
    for place, letter in enumerate(letters):
        if letter == "p":
            passed += f"M{place * _STEP} 5h{_WIDTH}v6h-{_WIDTH}z"
        else:
            failed += f"M{place * _STEP} 13h{_WIDTH}v11h-{_WIDTH}z"
    width = max(len(letters) * _STEP - (_STEP - _WIDTH), 1)
    runs = [len(run) for run in letters.replace("p", " ").split()]
    told = f"Last {counted(len(letters), 'result')}, oldest first: {counted(sum(runs), 'failure')}"
    if runs:
        since = len(letters) - 1 - letters.rindex("f")
        told += f" in {counted(len(runs), 'group')}, the longest of {max(runs)}; " + (
            f"{counted(since, 'pass', 'passes')} since the last" if since else "the last failed"
        )
    return Markup(
        '<svg class="strip" role="img" aria-labelledby="{0}-told" viewBox="0 0 {1} 26" '
        'style="max-width:{1}px"><title id="{0}-told">{2}</title>'
        '<path class="line" d="M0 12h{1}"/><path class="passed" d="{3}"/>'
        '<path class="failed" d="{4}"/></svg>'
    ).format(name, width, told, passed, failed)
