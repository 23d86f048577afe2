"""The page: a template filled in, everything in it escaped, nothing in it loaded."""

from datetime import datetime
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.report import formats
from pipelines.report.period import Period
from pipelines.report.scopes import Scopes


def render(period: Period, scopes: Scopes, parts: dict[str, Any]) -> str:
    """The HTML of templates/report.html.j2; `parts` are what its sections show, by name."""
    templates = Environment(
        loader=PackageLoader("pipelines.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "clock": partial(_clock, period.zone),
        "ago": lambda moment: f"{formats.lasted((period.as_of - moment).total_seconds())} ago",
        "seen": formats.seen,
        "short_id": formats.short_id,
        "named_test": formats.named_test,
        "lasted": formats.lasted,
        "share": formats.share,
        "ms": formats.milliseconds,
        "counted": formats.counted,
    }
    page = templates.get_template("report.html.j2")
    return page.render(period=period, scope_name=scopes.name, **parts)


def _clock(zone: str, moment: datetime | None) -> str | Markup:
    told = formats.clock(moment, zone)
    if moment is None:
        return told
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(), told)
