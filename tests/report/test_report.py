"""The report from marts that dbt built: what it says, and that nothing in it can do harm."""

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pipelines.errors import SettingsError
from pipelines.report.formats import format_percent, visible
from pipelines.report.write import ReportError, write_report
from tests.support import mart_oracle
from tests.support.cli import command
from tests.support.dbt import dbt
from tests.support.html import Reader
from tests.support.latency_oracle import slowdown_z, tail_share
from tests.support.report_history import (
    BUILD,
    DAY,
    NOW,
    SCRIPT,
    TURNED,
    invent,
    settings_for,
    strips_of,
)

SECTIONS = (
    *("night", "outages", "health", "broken", "flaky", "same-code", "latency"),
    *("streaks", "clusters", "not-whole", "freshness"),
)


@pytest.fixture(scope="module")
def built_url(server_url: str, template: str, dbt_target: Path) -> Iterator[str]:
    """A warehouse with marts that the tests here share; built under the name that dbt knows."""
    root = server_url.rsplit("/", 1)[0]
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f'create database "dbt_warehouse" template "{template}"'.encode())
        with psycopg.connect(f"{root}/dbt_warehouse", autocommit=True) as warehouse:
            invent(warehouse)
        dbt(f"{root}/dbt_warehouse", dbt_target, "run")
        server.execute('drop database if exists "reported" with (force)')
        server.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'dbt_warehouse'"
        )
        server.execute('alter database "dbt_warehouse" rename to "reported"')
        yield f"{root}/reported"
        server.execute('drop database "reported" with (force)')


@pytest.fixture(scope="module")
def page(built_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    written = write_report(settings_for(built_url, folder)).path
    assert written == folder / "home/reports/report.html"
    return written.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    return Reader(page)


def test_the_page_is_well_formed_and_has_each_section_once(read: Reader) -> None:
    assert read.open == []
    assert [dict(a)["id"] for tag, a in read.tags if tag == "section"] == list(SECTIONS)
    assert len(read.ids) == len(set(read.ids))
    for _, attributes in read.tags:
        for name in ("aria-labelledby", "href"):
            if name in attributes and not str(attributes[name]).startswith("https://"):
                assert str(attributes[name]).removeprefix("#") in read.ids


def test_the_page_loads_and_runs_nothing(read: Reader, page: str) -> None:
    tags = {tag for tag, _ in read.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "use"}
    names = {name for _, attributes in read.tags for name in attributes}
    assert not names & {"src", "srcset", "xlink:href", "style:href"}
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in page
    assert "@import" not in page
    policy = [a["content"] for _, a in read.tags if a.get("http-equiv")]
    assert policy[0] is not None
    assert policy[0].startswith("default-src 'none'")


def test_names_and_errors_of_tests_are_text_and_nothing_else(read: Reader, page: str) -> None:
    assert SCRIPT not in page
    assert SCRIPT in read.text("flaky")
    assert f"{SCRIPT}Payments" in read.text("night")
    assert "]]>--></pre></details></style>" in read.text("clusters")
    assert "{{ 7 * 7 }}" in read.text("clusters")
    assert "\u202e" not in page
    assert "⟨U+202E⟩gnp.exe⟨U+202C⟩ & \"quoted\" 'text'" in read.text("streaks")
    assert "\x1b" not in page
    assert "⟨U+001B⟩[31m" in read.text("clusters")


def test_things_are_called_what_people_call_them_and_have_their_owner(read: Reader) -> None:
    assert "Orders postman, owner Shop" in read.text("night")
    assert f"Orders , staging{SCRIPT} , owner Shop{SCRIPT}" in read.text("streaks")
    assert f"Orders , staging{SCRIPT}" in read.text("outages")


def test_a_name_of_5000_characters_takes_the_room_of_a_name(page: str) -> None:
    assert "W" * 100 in page
    assert "W" * 2001 not in page
    assert len(page) < 300_000


def test_last_night_is_answered_first_with_what_speaks_against_it(read: Reader) -> None:
    text = read.text("night")
    assert "No: 1 of 3 collections and projects is red." in text
    assert "collection c2: 1 green run did less than usual" in text
    assert f"collection c2: its last load did not succeed (502 {SCRIPT})" in text
    assert read.texts["night"].index("red") < read.texts["night"].index("What failed last night")


def test_the_page_says_when_more_episodes_are_needed_since_many_tests_had_one(
    built_url: str, tmp_path: Path
) -> None:
    flakiness = "update marts.fct_test_flakiness set is_flaky = {}, episodes_needed = {} where {}"
    with psycopg.connect(built_url, autocommit=True) as warehouse:
        warehouse.execute(flakiness.format("false", "episodes + 100", "is_flaky").encode())
        try:
            path = write_report(settings_for(built_url, tmp_path)).path
        finally:
            warehouse.execute(flakiness.format("true", 2, "episodes_needed > 100").encode())
    text = Reader(path.read_text(encoding="utf-8")).text("flaky")
    assert "not flaky, as 110 are needed: many tests beside it had one." in text


def test_the_flaky_test_stands_first_with_its_results_as_a_strip(read: Reader) -> None:
    texts = read.texts["flaky"]
    first = texts.index("Now") + 1
    assert texts[first] == f"item 1: {SCRIPT}"
    assert read.strips["flaky"][texts[first]].alt == (
        "Last 20 results, oldest first: 10 failures in 10 groups, the longest of 1; "
        "10 in episodes; 1 pass since the last"
    )
    assert "10 episodes in its last 150 results" in read.text("flaky")
    low, high = (format_percent(bound) for bound in mart_oracle.wilson(10, 20))
    assert f"10 passed: 50\u00a0%, Wilson interval {low} to {high}." in read.text("flaky")
    assert "flaky" in texts


def test_both_verdicts_are_shown_where_they_agree_and_where_they_do_not(read: Reader) -> None:
    both, _, history = read.text("same-code").partition("Flaky by both")
    low = format_percent(mart_oracle.wilson(10, 10)[0])
    assert f"{low} to 100\u00a0%" in both
    assert "10 of 10 groups" in " ".join(both.split())
    # seven groups of two nights and three, its failures in nights that have a commit of their own
    assert "0 of 7 groups" in " ".join(history.split())
    assert "it failed when the code changed" in history


def test_strips_show_what_the_loaded_runs_say(read: Reader, built_url: str) -> None:
    with psycopg.connect(built_url) as warehouse:
        expected = {
            "flaky": {
                f"item 1: {SCRIPT}": strips_of(warehouse, "c1", "item 1"),
                "item 3: assertion": strips_of(warehouse, "c4", "item 3"),
            },
            "broken": {f"item 2: {visible(TURNED)}": strips_of(warehouse, "c1", "item 2")},
        }
    assert {
        section: {name: strip.letters for name, strip in read.strips[section].items()}
        for section in expected
    } == expected
    assert expected["flaky"]["item 3: assertion"] == "·····E····OO··E·····"
    titles = read.strips["flaky"]["item 3: assertion"].titles
    assert [title.split(maxsplit=2)[2] for title in titles[4:6] + titles[10:11]] == [
        *("passed", "run ord14: failed, in an episode", "run ord9: failed in an outage")
    ]


def test_an_outage_is_named_with_its_cause_its_runs_and_its_tests(read: Reader) -> None:
    text = read.text("outages")
    assert "host orders.example.com, HTTP 503" in text
    assert "Orders" in text
    assert "16 failures in all" in text
    assert "Tests that it hit, 5 of 8:" in text
    assert read.runs["outages"] == ["ord7", "ord9", "ord8"]
    assert "open" not in read.texts["outages"]
    assert "outage" not in read.texts["night"]


def test_the_runs_that_prove_a_verdict_are_in_the_warehouse(read: Reader, built_url: str) -> None:
    with psycopg.connect(built_url) as warehouse:
        rows = warehouse.execute("select run_id from raw_postman.collection_runs").fetchall()
    loaded = {run_id for (run_id,) in rows}
    assert set(read.runs["broken"]) == {"pay2", "pay0"}
    assert {"ord5", "ord4", "ord14", "ord13", "pay15", "pay14"} <= set(read.runs["flaky"])
    assert set(read.runs["latency"]) == {f"pay{night}" for night in range(7)}
    assert {run_id for runs in read.runs.values() for run_id in runs} <= loaded


def test_a_run_leads_to_its_build_and_nowhere_else(read: Reader, page: str) -> None:
    links = {a["href"] for tag, a in read.tags if tag == "a" and str(a["href"])[0] != "#"}
    assert links == {f'{BUILD}?<&"'}
    assert "javascript:" not in page
    assert all("noopener" in str(a["rel"]) for _, a in read.tags if a.get("href") in links)


def test_a_slower_request_says_by_how_much_and_of_how_many(read: Reader) -> None:
    recent, before = [400.0] * 7, [100.0] * 15
    z = slowdown_z([[x] for x in recent], [[x] for x in before])
    share = tail_share(recent, before)
    assert z is not None
    low, high = (format_percent(bound) for bound in mart_oracle.wilson(7, 7))
    text = read.text("latency")
    assert "Half of the 7 answers of the last 7 days took 400\u00a0ms or less" in text
    assert "of 15 answers in the 28 days before, 100\u00a0ms" in text
    assert f"z = {z:.1f}" in text
    assert f"{format_percent(share)} took longer than nine tenths before" in text
    assert f"(Wilson interval {low} to {high};" in text
    [strip] = read.strips["latency"].values()
    assert strip.letters == "·" * 15 + "S" * 7
    assert strip.titles[-1].endswith("run pay0: 400\u00a0ms")


def test_the_request_that_got_slower_is_shown_with_both_medians(read: Reader) -> None:
    text = read.text("latency")
    slower = text[text.index("Slower than before") : text.index("Slowest")]
    assert "item 0" in slower
    assert "400\u00a0ms" in slower
    assert "100\u00a0ms" in slower
    assert "\u00d7 4.00" in slower


def test_the_open_streak_and_the_past_ones_are_apart(read: Reader) -> None:
    text = read.text("streaks")
    opened, past = text.split("Past,")
    assert "Open: 1 test in 1 streak" in opened
    assert "item 2" in opened
    assert "3 failures in a row" in opened
    assert "item 1" in past
    assert "item 2" not in past


def test_green_runs_that_are_not_whole_say_why(read: Reader) -> None:
    text = read.text("not-whole")
    assert "2 requests of the usual 4." in text
    assert "never ended" in text
    assert re.findall(r"(\S+) rows fewer loaded than it announced", text) == ["2"]
    assert "requests_total" in read.text("freshness")
    assert "missing" in read.text("freshness")


def test_every_chart_has_a_text_alternative_and_no_state_is_colour_alone(read: Reader) -> None:
    charts = [attributes for tag, attributes in read.tags if tag == "svg"]
    assert len(charts) > 5
    assert all(a["role"] == "img" and a["aria-labelledby"] for a in charts)
    assert "Green and red runs by day" in read.text("health")
    for word in ("red", "green", "flaky", "doubt"):
        assert any(word in texts for texts in read.texts.values())


def test_a_chart_is_drawn_in_the_units_of_what_it_shows(page: str) -> None:
    [card] = re.findall(r'id="health-1-alt">.*?</svg>', page, re.DOTALL)
    passed, failed = re.findall(r' d="M0 0((?:V-?[\d.]+h1)+)V0z"', card)
    [counts] = re.findall(r"([\d,]+) green runs?, ([\d,]+) red runs?", card)
    assert [sum_of(passed), sum_of(failed)] == [-float(counts[0]), float(counts[1])]
    assert passed.count("h1") == failed.count("h1") == 56


def test_a_long_period_has_a_column_for_each_of_its_weeks(built_url: str, tmp_path: Path) -> None:
    written = write_report(settings_for(built_url, tmp_path), since=NOW - 400 * DAY).path
    [chart] = re.findall(
        r'id="health-1-alt">(.*?)</svg>', written.read_text(encoding="utf-8"), re.DOTALL
    )
    assert "red runs by week" in chart
    first, last = ((NOW - days * DAY).date() for days in (400, 0))
    mondays = {day - dt.timedelta(days=day.weekday()) for day in (first, last)}
    weeks = (max(mondays) - min(mondays)).days // 7 + 1
    assert chart.count("h1") == 2 * weeks


def sum_of(path: str) -> float:
    """The sum of the heights of columns."""
    return sum(float(height) for height in re.findall(r"V(-?[\d.]+)", path))


def test_text_stands_out_from_its_ground_in_light_and_dark(page: str) -> None:
    themes = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    light, dark, printed = (dict(re.findall(r"--([\w-]+): #(\w+)", theme)) for theme in themes)
    pairs = [(text, ground) for text in ("ink", "muted", "link") for ground in ("page", "card")]
    pairs += [(state, f"{state}-ground") for state in ("good", "bad", "doubt")]
    pairs += [("muted", "code"), ("ink", "code"), ("good", "card"), ("bad", "card")]
    for theme in (light, dark, light | printed):
        for text, ground in pairs:
            assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)


def contrast(text: str, ground: str) -> float:
    """The ratio of WCAG 2, from 1 to 21."""
    lights = []
    for colour in (text, ground):
        full = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
        parts = [int(full[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_until_a_past_day_the_page_speaks_as_of_then(built_url: str, tmp_path: Path) -> None:
    settings = settings_for(built_url, tmp_path, TESTRUNS_TIMEZONE="Asia/Tokyo")
    out = tmp_path / "then.html"
    variables = {
        "TESTRUNS_WAREHOUSE_URL": built_url,
        "TESTRUNS_HOME": str(settings.testruns_home),
        "TESTRUNS_TIMEZONE": "Asia/Tokyo",
    }
    until = NOW - 4 * DAY
    done = command(tmp_path, variables, "report", "--out", str(out), "--until", until.isoformat())
    assert (done.status, done.out) == (0, "then.html\n")
    assert re.fullmatch(
        r"testruns: outage Orders, \S+ \S+ Asia/Tokyo: host orders.example.com, HTTP 503; "
        r"8 tests in 2 runs, ended \S+ \S+\n",
        done.err,
    )
    reader = Reader(out.read_text(encoding="utf-8"))
    assert "No streak is open" in reader.text("streaks")
    assert "item 2" not in reader.text("streaks")
    assert "times are in Asia/Tokyo" in reader.text("")


@pytest.mark.parametrize("emptied", [False, True])
def test_a_time_without_runs_and_marts_without_rows_make_a_friendly_page(
    built_url: str, server_url: str, tmp_path: Path, *, emptied: bool
) -> None:
    url, since, until = built_url, NOW - 400 * DAY, NOW - 300 * DAY
    if emptied:
        url = server_url.rsplit("/", 1)[0] + "/emptied_marts"
        with psycopg.connect(server_url, autocommit=True) as server:
            server.execute('drop database if exists "emptied_marts" with (force)')
            server.execute('create database "emptied_marts" template "reported"')
        with psycopg.connect(url, autocommit=True) as warehouse:
            tables = warehouse.execute(
                "select format('%I.%I', schemaname, tablename) from pg_tables"
                " where schemaname in ('marts', 'raw_postman', 'ingest', 'staging')"
                " and tablename <> 'schema_versions'"
            ).fetchall()
            warehouse.execute("truncate " + ", ".join(table for (table,) in tables))
    written = write_report(
        settings_for(url, tmp_path), None, None if emptied else since, None if emptied else until
    ).path
    reader = Reader(written.read_text(encoding="utf-8"))
    assert "Cannot tell: there is no run." in reader.text("night")
    for section, friendly in (
        ("health", "No run fell into these days."),
        ("outages", "Nothing made many tests fail at once in these days."),
        ("broken", "No test failed 3 times in a row"),
        ("flaky", "No test failed for one run"),
        ("latency", "No request has become slower."),
        ("streaks", "No streak is open"),
        ("clusters", "Nothing failed in these days"),
        ("not-whole", "Every green run of these days did its usual work"),
        ("freshness", "Every run of these days has as many rows as it announced."),
    ):
        assert friendly in reader.text(section)


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("missing/page.html", "No such file or directory"),
        ("folder", "Is a directory"),
        ("/dev/full", "No space left on device"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_line(
    built_url: str, tmp_path: Path, out: str, reason: str
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReportError, match=f"^--out: .*{out} cannot be written: {reason}$"):
        write_report(settings_for(built_url, tmp_path), tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--since", "yesterday"), "--since: 'yesterday' is no date or time"),
        (("--until", "2026-13-01"), "--until: '2026-13-01' is no date or time"),
        (("--since", "2026-05-01", "--until", "2026-05-01"), "--until: must be later"),
        (("--since", "9000-01-01"), "--since: lies in the future"),
        (("--until", "0005-01-01"), "--until: lies too far in the past"),
    ],
)
def test_times_that_make_no_period_are_bad_usage(
    built_url: str, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    variables = {"TESTRUNS_WAREHOUSE_URL": built_url, "TESTRUNS_HOME": str(tmp_path)}
    with pytest.raises(SettingsError, match=f"^{re.escape(complaint)}"):
        command(tmp_path, variables, "report", *arguments)
