"""JUnit XML: the dialects, each trap in a few lines."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.reports import Read, case, junit, read

# A busy machine makes examples slowly; the folder may be used again by each.
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def statuses(done: Read) -> list[str]:
    return [row["status"] for row in done.rows["tests"]]


@pytest.mark.parametrize(
    ("inside", "status", "message", "kind"),
    [
        ("", "passed", None, None),
        ('<failure message="no" type="T">text</failure>', "failed", "no", "T"),
        ("<failure>text only</failure>", "failed", "text only", None),
        ('<error message="e"/>', "errored", "e", None),
        ('<error message="e"/><failure message="f"/>', "errored", "e", None),
        ('<skipped message="why" type="pytest.skip"/>', "skipped", "why", "pytest.skip"),
        ('<skipped type="pytest.xfail" message=""/>', "skipped", None, "pytest.xfail"),
        ('<skipped type="todo"/><failure message="1 == 2"/>', "failed", "1 == 2", None),
        ("<failure/>", "failed", None, None),
        ('<undefined/><failure message="x"/>', "failed", "x", None),
    ],
)
def test_outcomes(
    tmp_path: Path, inside: str, status: str, message: str | None, kind: str | None
) -> None:
    [row] = read(tmp_path, junit(case("a", inside))).rows["tests"]

    assert (row["status"], row["message"], row["type"]) == (status, message, kind)


def test_a_failure_may_stand_in_an_attribute(tmp_path: Path) -> None:
    [row] = read(tmp_path, '<testsuite><testcase name="a" failure="1 == 2"/></testsuite>').rows[
        "tests"
    ]

    assert (row["status"], row["message"]) == ("failed", "1 == 2")


def test_all_failures_of_a_case_are_kept(tmp_path: Path) -> None:
    inside = '<failure message="first"/><error message="second" type="E"/>'

    [row] = read(tmp_path, junit(case("a", inside))).rows["tests"]

    assert row["message"] == "first"
    assert row["extra"]["failures"] == [{"status": "errored", "message": "second", "type": "E"}]


def test_every_case_is_found_wherever_it_stands(tmp_path: Path) -> None:
    done = read(
        tmp_path,
        """<testsuites xmlns="urn:x"><testcase name="top" classname="test"/>
        <testsuite name="outer"><testsuite name="inner"><odd><testcase name="deep"/></odd>
        </testsuite><testcase name="late"/></testsuite></testsuites>""",
    )

    assert [(row["suite_path"], row["name"]) for row in done.rows["tests"]] == [
        ([], "top"), (["outer", "inner"], "deep"), (["outer"], "late"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("time", "milliseconds"),
    [
        ("0.5", 500.0), ("1,234.5", 1_234_500.0), ("2,50", 2500.0), ("1.2 s", 1200.0),
        ("250ms", 250.0), ("-0.5", 0.0), ("1e-05", 0.01), ("1,234,567", 1_234_567_000.0),
        ("", None), ("NaN", None), ("2,50part 1", None), ("1.2.3", None), ("1e400", None),
    ],
)  # fmt: skip
def test_times_are_read_as_tools_write_them(
    tmp_path: Path, time: str, milliseconds: float | None
) -> None:
    [row] = read(tmp_path, junit(case("a", time=time))).rows["tests"]

    assert row["duration_ms"] == milliseconds
    if milliseconds is None and time:
        assert row["extra"]["time"] == time


def test_surefire_s_flaky_test_passed_after_its_failures(tmp_path: Path) -> None:
    inside = """<flakyFailure message="f1" type="A"><stackTrace>s</stackTrace></flakyFailure>
    <flakyError message="e2" type="B"/>"""

    done = read(tmp_path, junit(case("a", inside)))

    [row] = done.rows["tests"]
    assert row["status"] == "passed"
    assert row["extra"]["flaky"] is True
    assert [(a["attempt"], a["status"], a["message"]) for a in done.rows["attempts"]] == [
        (1, "failed", "f1"), (2, "errored", "e2"), (3, "passed", None),
    ]  # fmt: skip


def test_surefire_s_exhausted_retries_are_a_failure(tmp_path: Path) -> None:
    inside = '<failure message="1"/><rerunFailure message="2"/><rerunFailure message="3"/>'

    done = read(tmp_path, junit(case("a", inside)))

    [row] = done.rows["tests"]
    assert row["status"] == "failed"
    assert "flaky" not in (row["extra"] or {})
    assert [(a["status"], a["message"]) for a in done.rows["attempts"]] == [
        ("failed", "1"), ("failed", "2"), ("failed", "3"),
    ]  # fmt: skip


def test_failures_that_one_pass_ends_are_attempts(tmp_path: Path) -> None:
    no = '<failure message="no"/>'

    done = read(tmp_path, junit(case("a", no), case("b"), case("a", no), case("a"), case("c", no)))

    assert [(row["test_index"], row["name"], row["status"]) for row in done.rows["tests"]] == [
        (0, "b", "passed"), (1, "a", "passed"), (2, "c", "failed"),
    ]  # fmt: skip
    assert done.rows["tests"][1]["extra"] == {"flaky": True}
    assert [(a["test_index"], a["attempt"], a["status"]) for a in done.rows["attempts"]] == [
        (1, 1, "failed"), (1, 2, "failed"), (1, 3, "passed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "results",
    [
        ("passed", "failed"), ("passed", "passed"), ("failed", "failed"),
        ("failed", "passed", "passed"), ("failed", "passed", "failed"),
    ],
)  # fmt: skip
def test_other_repeats_are_numbered_and_never_dropped(
    tmp_path: Path, results: tuple[str, ...]
) -> None:
    inside = {"passed": "", "failed": "<failure/>"}

    done = read(tmp_path, junit(*(case("a", inside[result]) for result in results)))

    assert statuses(done) == list(results)
    assert [(row["extra"] or {}).get("occurrence") for row in done.rows["tests"]] == [
        None, *range(2, len(results) + 1),
    ]  # fmt: skip
    assert done.rows["attempts"] == []


def test_counts_are_those_of_the_elements(tmp_path: Path) -> None:
    done = read(
        tmp_path,
        junit(
            case("a", "<failure/>"),
            case("b"),
            attributes='name="s" tests="5" failures="0" errors="0" skipped="0"',
        ),
    )

    assert (done.run["tests_total"], done.run["tests_failed"]) == (5, 0)
    assert done.differences() == {"tests_total": (5, 2), "tests_failed": (0, 1)}


def test_unreadable_counts_are_not_reported(tmp_path: Path) -> None:
    done = read(tmp_path, junit(case("a"), attributes='name="s" tests="unknown"'))

    assert done.run["tests_total"] is None
    assert done.differences() == {}


def test_node_counts_a_suite_inside_another_as_one_of_its_tests(tmp_path: Path) -> None:
    done = read(
        tmp_path,
        """<testsuites><testsuite name="o" tests="2" failures="0"><testsuite name="i" tests="2"
        failures="0"><testcase name="a"/><testcase name="b"/></testsuite><testcase name="c"/>
        </testsuite></testsuites>""",
    )

    assert len(done.rows["tests"]) == 3
    assert done.differences() == {}


@pytest.mark.parametrize(
    ("timestamp", "started"),
    [
        ("2026-11-01T10:00:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T10:00:00.250+02:00", datetime(2026, 11, 1, 8, 0, 0, 250_000, UTC)),
        ("2026-11-01T10:00:00Z", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("yesterday", None),
    ],
)
def test_the_run_starts_with_its_first_suite(
    tmp_path: Path, timestamp: str, started: datetime | None
) -> None:
    done = read(tmp_path, junit(case("a"), attributes=f'name="s" timestamp="{timestamp}" time="2"'))

    assert done.run["started_at"] == started
    assert done.run["duration_ms"] == 2000


def test_the_root_may_tell_the_time(tmp_path: Path) -> None:
    content = '<testsuites timestamp="2026-11-01T10:00:00Z"><testcase name="a"/></testsuites>'

    assert read(tmp_path, content).run["started_at"] == datetime(2026, 11, 1, 10, tzinfo=UTC)


def test_only_listed_properties_are_kept(tmp_path: Path) -> None:
    done = read(
        tmp_path,
        junit(
            '<properties><property name="git.commit" value="ABCDEF123456"/>'
            '<property name="branch" value="refs/heads/main"/>'
            '<property name="env.PASSWORD" value="property-secret"/>'
            '<property name="environment">staging</property></properties>',
            case(
                "a",
                '<properties><property name="attachment1" value="shots/a.png"/>'
                '<property name="token" value="property-secret"/></properties>'
                "<system-out>x\n[[ATTACHMENT|logs/a.txt]]\n[[PROPERTY|password=output-secret]]\n"
                "[[PROPERTY|build_url=https://u:p@ci.example.test/1]]</system-out>",
            ),
        ),
    )

    code = done.report.code
    assert (code.commit_sha, code.branch) == ("abcdef123456", "main")
    assert code.build_url == "https://ci.example.test/1"
    assert done.run["environment"] == "staging"
    assert done.rows["tests"][0]["extra"] == {"attachments": ["shots/a.png", "logs/a.txt"]}
    assert "secret" not in str([done.run, done.rows, code])


def test_newman_s_reporter_is_known_and_its_errors_become_cases(tmp_path: Path) -> None:
    suite = (
        '<testsuite name="{0}" id="00000000-0000-4000-8000-00000000000{1}" tests="1"'
        ' timestamp="2026-11-01T10:00:00.000Z" failures="0" errors="{1}" time="0.1">{2}'
        '<testcase name="is 200" time="0.1" classname="{0}"/></testsuite>'
    )
    output = (
        "<system-err><![CDATA[Iteration: 0\nRequestError: Error: socket hang up\n]]></system-err>"
    )

    done = read(
        tmp_path,
        '<testsuites name="Orders" tests="2" time="0.1">'
        f"{suite.format('Login', 0, '')}{suite.format('Pay', 1, output)}</testsuites>",
    )

    assert done.run["source"] == "newman-junit"
    assert done.run["extra"] == {"aggregated": True}
    synthetic = done.rows["tests"][-1]
    assert synthetic["name"] == "request or script error"
    assert synthetic["suite_path"] == ["Pay"]
    assert (synthetic["status"], synthetic["message"]) == (
        "failed", "RequestError: Error: socket hang up",
    )  # fmt: skip
    assert len(done.rows["tests"]) == 3


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ("\x1b[31mred", "\ufffd[31mred"),
        ("a&#x1B;b&#0;c&#xA;d", "a\ufffdb\ufffdc\nd"),
        ("x\ufffey", "x\ufffdy"),
    ],
)
def test_what_xml_cannot_hold_is_repaired_and_said(tmp_path: Path, sent: str, message: str) -> None:
    done = read(tmp_path, junit(case("a", f'<failure message="{sent}"/>')))

    assert done.rows["tests"][0]["message"] == message
    assert done.run["extra"] == {"repaired": True}


def test_long_texts_are_cut(tmp_path: Path) -> None:
    [row] = read(tmp_path, junit(case("a", f"<failure>{'x' * 300_000}</failure>"))).rows["tests"]

    assert len(row["message"]) < 70_000


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=8)


@settings(suppress_health_check=SLOW, max_examples=60)
@given(
    st.recursive(
        st.fixed_dictionaries({
            "name": TEXT, "result": st.sampled_from(["", "failure", "skipped"])}),
        lambda inner: st.fixed_dictionaries({"suite": TEXT, "inside": st.lists(inner, max_size=4)}),
        max_leaves=20,
    )
)  # fmt: skip
def test_any_tree_of_suites_has_its_cases(tmp_path: Path, tree: dict[str, Any]) -> None:
    root = ET.Element("testsuites")
    expected: list[tuple[tuple[str, ...], str, str]] = []

    def build(parent: ET.Element, node: dict[str, Any], path: tuple[str, ...]) -> None:
        if "suite" in node:
            suite = ET.SubElement(parent, "testsuite", name=node["suite"])
            for one in node["inside"]:
                build(suite, one, (*path, node["suite"]))
            return
        # A place of its own for each: repeats are another test's matter.
        name = f"{len(expected)} {node['name']}"
        made = ET.SubElement(parent, "testcase", name=name, classname="c")
        if node["result"]:
            ET.SubElement(made, node["result"])
        status = {"": "passed", "failure": "failed", "skipped": "skipped"}[node["result"]]
        expected.append((path, name, status))

    build(root, tree, ())

    rows = read(tmp_path, ET.tostring(root, encoding="utf-8", xml_declaration=True)).rows["tests"]

    assert [(tuple(row["suite_path"]), row["name"], row["status"]) for row in rows] == expected


@pytest.mark.parametrize("unset", ["1970-01-01T00:00:00", "0001-01-01T00:00:00Z"])
def test_a_clock_that_was_not_set_is_no_time(unset: str, tmp_path: Path) -> None:
    # jest-junit dates a suite that failed to run so, Go its zero time.
    run = read(
        tmp_path,
        f'<testsuites><testsuite name="a" timestamp="2026-11-01T10:00:00">{case("x")}</testsuite>'
        f'<testsuite name="b" timestamp="{unset}">{case("y")}</testsuite></testsuites>',
    ).run

    assert run["started_at"] == datetime(2026, 11, 1, 10, tzinfo=UTC)


def test_a_suite_does_not_speak_for_the_cases_beside_it(tmp_path: Path) -> None:
    # node writes top-level tests straight into the root.
    suite = (
        f'<testsuite name="a" tests="1" failures="0" skipped="0" time="1">{case("y")}</testsuite>'
    )
    done = read(tmp_path, f"<testsuites>{case('x')}{suite}</testsuites>")

    assert (done.run["name"], done.run["duration_ms"]) == (None, None)
    assert (done.run["tests_total"], done.run["tests_failed"]) == (None, None)
    assert done.differences() == {}
