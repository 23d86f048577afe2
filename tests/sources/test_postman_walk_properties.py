"""Whatever happens during walks down Postman's list: what they promise.

A run that stands in the list from a load's beginning to its end is met, however often walks are put
down before, if

- no walk of this list has closed yet,
- or the list is newest first, and the run began later than the lookback before the high water,
- or the list is oldest first, and the run stands behind the place where the lookback began,
- or the list shows itself to be in neither order.

It is not promised that a walk meets a run that lands further back in an ordered list than the
lookback reaches; nor one that pages by offset push across a page's edge while they are read, since
only the API knows what its cursors mean (the next walk meets that one within the lookback).
"""

from datetime import datetime, timedelta
from math import ceil
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.base import Watermark
from tests.support.postman_walks import Json, RunList, ago, make_run, walk, walk_to_end

ORDERS = ("newest_first", "oldest_first", "neither")


@st.composite
def stories(draw: st.DrawFn) -> dict[str, Any]:
    """A history in some order, and what happens between loads; hours count up, 0 is long ago."""
    order = draw(st.sampled_from(ORDERS))
    hours = draw(st.lists(st.integers(0, 400), min_size=1, max_size=40))
    return {
        "order": order,
        "hours": hours,
        "page_size": draw(st.integers(1, 7)),
        "lookback": draw(st.sampled_from([0, 24, 72])),
        "loads": draw(
            st.lists(
                st.tuples(
                    st.integers(0, 6),  # how many runs arrive before it
                    st.one_of(st.none(), st.integers(1, 5)),  # after how many pages it is killed
                ),
                max_size=6,
            )
        ),
    }


@given(stories())
@settings(max_examples=150)
def test_whatever_happens_every_run_that_was_there_is_met(scenario: dict[str, Any]) -> None:
    base = ago(1000)

    def made(number: int, hour: float) -> Json:
        started_at = (base + timedelta(hours=hour)).isoformat()
        return {"id": f"run-{number}", "status": "finished", "startedAt": started_at}

    hours = scenario["hours"]
    if scenario["order"] != "neither":
        hours = sorted(hours, reverse=scenario["order"] == "newest_first")
    else:
        # Far apart in turn, so that any two pages show that there is no order.
        hours = [(number * 2 % 3) * 200 + number for number in range(len(hours))]
    runs = RunList.of((made(*one) for one in enumerate(hours)), scenario["page_size"])
    lookback = timedelta(hours=scenario["lookback"])
    watermark, met, latest = Watermark(), set[str](), 700
    for arrivals, pages in [*scenario["loads"], (0, None)]:
        for _run in range(arrivals):
            latest += 1
            put = runs.put_on_top if scenario["order"] == "newest_first" else runs.put_at_the_end
            put(made(latest, latest))
        one = walk(runs, watermark, pages=pages, lookback=lookback)
        runs.requests()
        assert one.error is None
        if watermark.high_water is not None:
            assert one.watermark.high_water is not None
            assert one.watermark.high_water >= watermark.high_water
        watermark, met = one.watermark, met | set(one.ids)

    assert met == runs.ids
    assert watermark.walk is None
    assert watermark.high_water is not None
    since = watermark.high_water - lookback
    within = {
        run["id"]
        for run in runs.places.values()
        if datetime.fromisoformat(run["startedAt"]) >= since
    }
    assert set(walk_to_end(runs, watermark, lookback=lookback).ids) >= within


@given(
    hours=st.lists(st.integers(0, 1000), min_size=1, max_size=60),
    page_size=st.integers(1, 10),
    lookback_hours=st.integers(0, 200),
)
@settings(max_examples=150)
def test_newest_first_a_walk_with_nothing_new_requests_little_more_than_the_lookback(
    hours: list[int], page_size: int, lookback_hours: int
) -> None:
    runs = RunList.of(
        (make_run(number, hour) for number, hour in enumerate(sorted(hours))), page_size
    )
    lookback = timedelta(hours=lookback_hours)
    first = walk_to_end(runs, lookback=lookback)
    whole = runs.requests()
    second = walk_to_end(runs, first.watermark, lookback=lookback)

    within = sum(hour <= min(hours) + lookback_hours for hour in hours)
    assert second.watermark == first.watermark
    assert runs.requests() <= min(whole, ceil(within / page_size) + 2)
    assert set(second.ids) >= {run["id"] for run in list(runs.places.values())[:within]}
