"""Writes what docs/ repeats of the code: commands.md from the parser, tables.md from SQL and dbt.

`make reference` runs it; a test says when a page no longer is what it would write.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import yaml

from pipelines.cli import cli

ROOT = Path(__file__).resolve().parent.parent
_COMMANDS_HEAD = """# Commands

<!-- Written by `make reference`; what you change here is lost. -->

Exit status: 0 all went well; 1 something failed (what loaded stays, the rest resumes next time); 2
bad usage or settings, before any request. What a command has to say is a line on stderr that begins
with `testruns:`; its result is on stdout.
"""
_TABLES_HEAD = """# Tables

<!-- Written by `make reference`; what you change here is lost. -->

Times are `timestamptz`; a column's comment has its unit: `\\d+ marts.fct_test_runs` in psql.
`extra` is `jsonb`: every field that was sent and that has no column, else null. Parents also have
`first_loaded_at`, `loaded_at` (changes only when the row's content does), `load_id` and
`deleted_at` (set when a backfill finds the run gone at its source).

Rows and watermark commit in one transaction: killed at any point, the next load neither loses nor
doubles a row. `staging` has a view for each raw table, one name and one unit for each thing; it is
for the marts, and may change.
"""


def commands() -> str:
    """Every command with its arguments, options and help text."""
    lines = [*_COMMANDS_HEAD.splitlines(), ""]
    for name, command in _commands(cli, "testruns"):
        context = click.Context(command, info_name=name)
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        lines += [f"## {name}", "", f"`{usage}`", "", *_paragraphs(command.help or "")]
        options = [one for one in command.params if isinstance(one, click.Option)]
        if options:
            lines += ["| option | what it does |", "| --- | --- |"]
            lines += [_option(option, context) for option in options]
            lines += [""]
    return "\n".join(lines)


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        yield from (" ".join(paragraph.split()), "")


def _option(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    names, text = record or ("", "")
    return f"| `{_cell(names)}` | {_cell(text)} |"


def tables() -> str:
    """Every table of the warehouse with what a row of it is."""
    lines = [*_TABLES_HEAD.splitlines(), ""]
    by_schema: dict[str, list[str]] = {}
    for schema, table, text in [*_sql_tables(), *_models()]:
        by_schema.setdefault(schema, []).append(f"| `{table}` | {_cell(text)} |")
    order = sorted(by_schema, key=lambda schema: (schema == "ingest", schema))
    for schema in order:
        lines += [f"## {schema}", "", "| table | what is in it |", "| --- | --- |"]
        lines += [*sorted(by_schema[schema]), ""]
    return "\n".join(lines)


def _sql_tables() -> Iterator[tuple[str, str, str]]:
    """Tables that migrations make: schema, name, comment; those that are dropped again left out."""
    sql = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "sql/schema").glob("*.sql")))
    comments = re.findall(r"comment on table (\w+)\.(\w+) is\s+'((?:[^']|'')*)';", sql)
    dropped = set(re.findall(r"drop table (?:if exists )?(\w+\.\w+)", sql))
    for schema, table, comment in dict.fromkeys(comments):
        if f"{schema}.{table}" not in dropped:
            yield schema, table, comment.replace("''", "'")


def _models() -> Iterator[tuple[str, str, str]]:
    """Models that people read: those of the folders that are schemas of their own."""
    for folder in ("marts", "bi"):
        for path in sorted((ROOT / "dbt_project/models" / folder).glob("*.yml")):
            for model in yaml.safe_load(path.read_text("utf-8")).get("models", []):
                yield folder, model["name"], model["description"]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


PAGES = {"commands.md": commands, "tables.md": tables}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (ROOT / "docs" / name).write_text(write(), encoding="utf-8")
