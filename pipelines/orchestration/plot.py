"""A bar for each day, as a picture inside Markdown: what a page of Dagster's can show of a history.

Dagster plots numbers of a load over time by itself; this is over the days of the runs. Only numbers
and dates are drawn, nothing that an API sent as text.
"""

from base64 import b64encode
from collections.abc import Mapping
from datetime import date

import dagster as dg

_BAR, _GAP, _HEIGHT, _MARGIN = 16, 4, 120, 18


def day_bars(counts: Mapping[date, int]) -> dg.MetadataValue:
    """Bars in the order given, labelled with the highest count and the first and last day."""
    highest = max(counts.values(), default=0)
    width = max(1, len(counts)) * (_BAR + _GAP)
    bars = []
    for place, (day, count) in enumerate(counts.items()):
        height = round(_HEIGHT * count / highest) if highest else 0
        bars.append(
            f'<rect x="{place * (_BAR + _GAP)}" y="{_MARGIN + _HEIGHT - height}" width="{_BAR}"'
            f' height="{height}" rx="2" fill="#4f43dd"><title>{day}: {count}</title></rect>'
        )
    bottom = _MARGIN + _HEIGHT
    text = 'font-family="sans-serif" font-size="11" fill="#86888f"'
    days = [str(day) for day in counts] or [""]
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom + _MARGIN}">'
        f'<text x="0" y="11" {text}>{highest:,} at most</text>{"".join(bars)}'
        f'<line x1="0" x2="{width}" y1="{bottom}" y2="{bottom}" stroke="#86888f"/>'
        f'<text x="0" y="{bottom + 13}" {text}>{days[0]}</text>'
        f'<text x="{width}" y="{bottom + 13}" text-anchor="end" {text}>{days[-1]}</text></svg>'
    )
    picture = b64encode(drawn.encode()).decode()
    return dg.MetadataValue.md(f"![runs a day](data:image/svg+xml;base64,{picture})")
