"""Charts as SVG inside the page, drawn by matplotlib without axes, ids or colours of its own.

What matplotlib draws in one of the colours below becomes a CSS variable of the page, so that a
chart follows light, dark and print; text stays text in the page's font. Only dates and numbers are
ever drawn: names belong to the HTML around a chart, where they are escaped.
"""

import io
import re
from collections.abc import Sequence
from math import isnan

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_INK = "#010101"
_FAINT = "#020202"
_GOOD = "#030303"
_BAD = "#040404"
_BAND = "#050505"
_VARIABLES = {
    _INK: "var(--muted)",
    _FAINT: "var(--line)",
    _GOOD: "var(--good)",
    _BAD: "var(--bad)",
    _BAND: "var(--band)",
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def up_and_down(
    green: Sequence[float], red: Sequence[float], first: str, last: str, name: str, told: str
) -> Markup:
    """A column a step of time, green runs above the line and red ones below it.

    `name` is unique on the page, `told` says in words what is to be seen.
    """
    figure, axes = _empty(3.6, 1.3)
    steps = range(len(green) + 1)
    axes.stairs(green, steps, fill=True, color=_GOOD, linewidth=0, clip_on=False)
    axes.stairs([-one for one in red], steps, fill=True, color=_BAD, linewidth=0, clip_on=False)
    axes.axhline(0, color=_INK, linewidth=0.6, clip_on=False)
    up, down = max([*green, 1]), max([*red, 1])
    axes.set_xlim(-len(green) * 0.08, len(green))
    axes.set_ylim(-down - (up + down) * 0.22, up)
    at_left = -len(green) * 0.015
    for value, height in ((up, up), (down, -down)):
        axes.text(at_left, height, f"{value:,.0f}", color=_INK, fontsize=8, ha="right", va="center")
    foot = -down - (up + down) * 0.2
    axes.text(0, foot, first, color=_INK, fontsize=8, ha="left", va="bottom")
    axes.text(len(green), foot, last, color=_INK, fontsize=8, ha="right", va="bottom")
    return _svg(figure, name, told)


def sparkline(
    middle: Sequence[float],
    upper: Sequence[float],
    recent: int,
    baseline: float | None,
    name: str,
    told: str,
) -> Markup:
    """A line of each day's middle, a band up to its upper value; NaN is a day without any.

    The last `recent` days lie on a ground of their own; the baseline is dashed.
    """
    figure, axes = _empty(2.2, 0.5)
    days = range(len(middle))
    axes.axvspan(max(len(middle) - recent, 0) - 0.5, len(middle) - 0.5, color=_FAINT, linewidth=0)
    known = [
        (day, low, high)
        for day, low, high in zip(days, middle, upper, strict=True)
        if not isnan(low)
    ]
    if known:
        x, low, high = zip(*known, strict=True)
        outline = ([*x, *reversed(x)], [*low, *reversed(high)])
        axes.fill(*outline, color=_BAND, linewidth=0, clip_on=False)
        axes.plot(x, low, color=_INK, linewidth=1.2, clip_on=False)
        axes.set_ylim(0, max(high) * 1.02 or 1)
    if baseline is not None:
        axes.axhline(baseline, color=_BAD, linewidth=0.8, linestyle=(0, (3, 2)), clip_on=False)
    axes.set_xlim(-0.5, len(middle) - 0.5)
    return _svg(figure, name, told)


def _empty(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches that is all plot."""
    figure = Figure(figsize=(width, height))
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0, 0.02, 1, 0.94))
    axes.set_axis_off()
    return figure, axes


def _svg(figure: Figure, name: str, told: str) -> Markup:
    written = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(written, format="svg", transparent=True, metadata=_NO_METADATA)
    svg = written.getvalue()
    box = re.search(r'viewBox="([^"]+)"', svg)
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    # Its style sheet would be the page's, its ids repeat from chart to chart; none is referred to.
    body = re.sub(
        r"<!--.*?-->|<metadata>.*?</metadata>|<defs>.*?</defs>", "", body, flags=re.DOTALL
    )
    body = re.sub(r' (?:id|clip-path)="[^"]*"|font(?:-family)?:[^;"]*\'[^;"]*;?', "", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    body = re.sub(r"\s*\n\s*", " ", body)
    opening = Markup(
        '<svg role="img" aria-labelledby="{0}-told" viewBox="{1}"><title id="{0}-told">{2}</title>'
    )
    drawn = Markup(body)  # noqa: S704 - by matplotlib, of dates and numbers
    return opening.format(name, box[1] if box else "", told) + drawn
