"""The parts of a report that need no marts: its period, its formats, its sections."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from pipelines.errors import WarehouseError
from pipelines.report import sections
from pipelines.report.formats import format_duration, format_percent, is_web_address, visible
from pipelines.report.period import choose_period
from pipelines.report.write import write_report
from pipelines.settings import Settings
from tests.support.dbt import load_postman
from tests.support.report_history import NOW


def test_a_section_is_a_module_and_a_template_of_one_name() -> None:
    folder = Path(str(sections.__file__)).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    templates = {path.name.removesuffix(".html.j2") for path in folder.glob("*.html.j2")}
    assert modules == templates
    assert {section.__name__.rpartition(".")[2] for section in sections.SECTIONS} == modules


@pytest.mark.parametrize(
    ("address", "leads"),
    [
        *(("https://ci.example.com/1?a=b#c", True), ("http://10.0.0.1:8080/", True)),
        *(("javascript:alert(1)", False), ("data:text/html,x", False), ("//example.com", False)),
        *(("https:///path", False), ("https://[::1", False), ("https://a.com/\u202eb", False)),
        *(("https://a.com/ b", False), ("https://a.com/" + "x" * 2000, False), ("", False)),
    ],
)
def test_only_addresses_of_the_web_are_links(address: str, *, leads: bool) -> None:
    assert is_web_address(address) is leads


def test_without_marts_one_line_says_what_to_run(
    warehouse_url: str, tmp_path: Path, make_settings: Callable[[dict[str, str]], Settings]
) -> None:
    settings = make_settings({})
    with pytest.raises(WarehouseError, match=r"^the warehouse is empty: run `testruns nightly`"):
        write_report(settings)
    with psycopg.connect(warehouse_url, autocommit=True) as warehouse:
        load_postman(warehouse, "a", ["p"], started_at=NOW)
    with pytest.raises(WarehouseError, match=r"run `testruns transform`$"):
        write_report(settings)
    assert not list(tmp_path.rglob("*.html"))


def test_the_days_of_a_period_are_business_days() -> None:
    now = dt.datetime(2026, 11, 22, 23, 30, tzinfo=dt.UTC)
    berlin = choose_period(None, None, now, "Europe/Berlin")
    assert (berlin.last_day, berlin.days) == (dt.date(2026, 11, 23), 56)
    # over the end of summer time, and midnight in Berlin
    assert berlin.since == dt.datetime(2026, 9, 28, 22, 0, tzinfo=dt.UTC)
    until = dt.datetime(2026, 11, 21, 23, 0, tzinfo=dt.UTC)
    assert choose_period(None, until, now, "Europe/Berlin").last_day == dt.date(2026, 11, 21)
    everything = choose_period(dt.datetime(1, 1, 2, tzinfo=dt.UTC), None, now, "UTC")
    assert everything.days == 3661


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0 s"), (59.4, "59 s"), (-5, "0 s"), (60, "1 min"), (3599, "1 h")),
        *((7500, "2 h 5 min"), (86_400, "1 d"), (90_061, "1 d 1 h")),
    ],
)
def test_durations_are_reported_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds).replace("\u00a0", " ") == text


def test_only_what_is_whole_is_called_100_percent() -> None:
    text = [
        format_percent(value).replace("\u00a0", " ") for value in (1, 0.9999, 0.5, 0.123, 0, None)
    ]
    assert text == ["100 %", "99.9 %", "50 %", "12.3 %", "0 %", "-"]


def test_nothing_hides_in_a_name() -> None:
    assert visible("a\u200bb\x00c\u2066d\r\ne") == "a⟨U+200B⟩b⟨U+0000⟩c⟨U+2066⟩d\ne"
    assert visible("شلون‌تان 👨‍👩‍👧 é") == "شلون‌تان 👨‍👩‍👧 é"
    assert visible("x" * 201) == "x" * 199 + "…"
