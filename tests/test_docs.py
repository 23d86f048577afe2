"""README, help texts and the house's rules, held true."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pipelines.cli import cli
from pipelines.settings import Settings, sections

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands() -> list[str]:
    return [
        f"{name} {inner}" if isinstance(command, click.Group) else name
        for name, command in cli.commands.items()
        for inner in (command.commands if isinstance(command, click.Group) else [""])
    ]


@pytest.mark.parametrize("command", commands())
def test_every_command_has_a_help_text(command: str) -> None:
    node: click.Command = cli
    for word in command.split():
        assert isinstance(node, click.Group)
        node = node.commands[word]
    assert node.help
    assert all(option.help for option in node.params if isinstance(option, click.Option)), (
        "an option without a help text"
    )


@pytest.mark.parametrize("page", ["commands.md", "tables.md"])
def test_the_pages_of_reference_are_as_the_code_is(page: str) -> None:
    """Where this fails, `make reference` mends it."""
    written = runpy.run_path(str(ROOT / "docs" / "reference.py"))["PAGES"][page]()
    assert (ROOT / "docs" / page).read_text("utf-8") == written


# Another file of tests reads operations.md, where the name is also a user's and a namespace's.
@pytest.mark.parametrize(
    "path", [path for path in PAGES if path.name != "operations.md"], ids=lambda path: path.name
)
def test_every_testruns_command_on_a_page_exists(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page, re.DOTALL))
    named = set(re.findall(r"(?:^|[ /`])testruns ([a-z][a-z-]+)", code, re.MULTILINE))
    words = {word for command in commands() for word in command.split()}
    assert named <= words


def anchors(page: str) -> set[str]:
    """What GitHub and MkDocs make of the headings."""
    titles = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_of_a_page_leads_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert {picture.suffix for picture in pictures} == {".png"}
    assert all(picture.stat().st_size < 300_000 for picture in pictures)


@pytest.mark.parametrize("name", [name for part in sections() for name in part.variables()])
def test_every_setting_is_documented_and_in_the_example(name: str) -> None:
    assert f"`{name}`" in SETTINGS
    assert re.search(rf"^#?{name}=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)


def test_documented_defaults_are_those_of_the_settings() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \|.*\| `([^`]*)` \|$", SETTINGS, re.MULTILINE)
    meanings = dict(rows)
    defaults = {
        part.variable(field): info.default
        for part in sections()
        for field, info in part.model_fields.items()
    }
    for name in (
        "POSTMAN_API_URL",
        "POSTMAN_REQUESTS_PER_MINUTE",
        "POSTMAN_MONTHLY_RESERVE",
        "TESTMO_REQUESTS_PER_MINUTE",
        "TESTRUNS_LOOKBACK_HOURS",
        "TESTRUNS_MAX_BODY_MB",
        "TESTRUNS_NIGHTLY_CRON",
        "TESTRUNS_TIMEZONE",
    ):
        assert meanings[name] == str(defaults[name])
    assert set(meanings["TESTRUNS_REDACT_PARAMS"].split(",")) == set(
        Settings().testruns_redact_params
    )


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_help_starts_without_any_heavy_import() -> None:
    script = (
        "import sys; sys.argv = ['testruns', '--help']\n"
        "from pipelines.cli import cli\n"
        "try: cli()\n"
        "except SystemExit: pass\n"
        "print(sorted({'pydantic', 'psycopg', 'httpx', 'dagster'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_lock_files_carry_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-docs.txt", "requirements-uv.txt"):
        lock = (ROOT / name).read_text(encoding="utf-8")
        assert "--hash=sha256:" in lock
        assert "://" not in lock
        assert not re.search(r"^(-i|--index|--extra-index|--find-links)", lock, re.MULTILINE)


def test_every_dependency_is_locked() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    project = project.partition("\ndocs = ")[0]
    named = re.findall(r'^  "([a-z0-9][a-z0-9-]+)(?:\[[a-z]+\])?[<>=]', project, re.MULTILINE)
    locked = set(re.findall(r"^([a-z0-9.-]+)(?:\[.*?\])?==", lock, re.MULTILINE))
    assert len(named) > 20
    assert set(named) <= locked
