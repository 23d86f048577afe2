"""The page: its templates filled in, everything in them escaped, nothing in it loaded."""

from datetime import datetime
from functools import partial
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.report import formats
from pipelines.report.data import ReportData
from pipelines.report.sections import SECTIONS, night


def render(data: ReportData, written_at: datetime) -> str:
    """The HTML of page.html.j2 around the sections; `written_at` is UTC."""
    templates = Environment(
        loader=PackageLoader("pipelines.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "time": partial(_time, data.period.zone),
        "ago": lambda time: f"{formats.format_duration(_seconds(time, data.period.as_of))} ago",
        "visible": formats.visible,
        "short_id": formats.short_id,
        "run_id": formats.run_id,
        "full_name": formats.full_name,
        "duration": formats.format_duration,
        "percent": formats.format_percent,
        "number": formats.format_number,
        "ms": formats.format_milliseconds,
        "pluralize": formats.pluralize,
    }
    templates.globals |= {
        "period": data.period,
        "thresholds": data.thresholds,
        "scope_name": data.scope_name,
        "environment_name": data.environment_name,
        "run_link": data.run_link,
    }
    sections = []
    for section in SECTIONS:
        name = section.__name__.rpartition(".")[2]
        html = templates.get_template(f"sections/{name}.html.j2").render(section.view(data))
        # Of a template that has escaped what it shows.
        sections.append((name.replace("_", "-"), section.TITLE, Markup(html)))  # noqa: S704
    return templates.get_template("page.html.j2").render(
        headline=night.last_night(data).headline,
        sections=sections,
        written_at=written_at,
        version=version("testruns"),
    )


def _seconds(since: datetime, until: datetime) -> float:
    return (until - since).total_seconds()


def _time(zone: str, time: datetime | None) -> str | Markup:
    text = formats.format_time(time, zone)
    if time is None:
        return text
    return Markup('<time datetime="{}">{}</time>').format(time.isoformat(), text)
