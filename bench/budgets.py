"""What the figures are to be: each budget, what was measured, and by how much it is missed."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.measure import Measured
from bench.session import FIRST, NIGHT, NOTHING, REREAD, Bench, Case

_IN_FLIGHT = 16


@dataclass(frozen=True)
class Verdict:
    """One budget: `measured` is its figure, `ratio` that figure over the limit; met up to 1."""

    budget: str
    limit: str
    measured: str
    ratio: float

    @property
    def is_met(self) -> bool:
        return self.ratio <= 1

    @property
    def words(self) -> str:
        return "met" if self.is_met else f"missed, {self.ratio:.2f} x the limit"


def verdicts(bench: Bench) -> list[Verdict]:
    """Each budget whose cases were run."""
    found: list[Verdict] = []
    for judge in (
        _requests, _against_dlt, _against_the_floor, _latency, _memory, _full_tables, _nothing_new,
        _reread, _pace, _big_run, _commands, _nightly, _dbt, _demo,
    ):  # fmt: skip
        found += judge(bench)
    return found


def _at_most(
    budget: str, limit: float, measured: float, form: Callable[[float], str], unit: str = ""
) -> Verdict:
    if limit == 0:
        return Verdict(budget, "0", form(measured), 1.0 if measured == 0 else float("inf"))
    return Verdict(budget, f"<= {form(limit)}{unit}", f"{form(measured)}{unit}", measured / limit)


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _times(value: float) -> str:
    return f"{value:.2f}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _mib(value: float) -> str:
    return f"{value:.0f} MiB"


def _requests(bench: Bench) -> list[Verdict]:
    found = []
    for times in (1, 10):
        first = bench.result(Case("Postman", FIRST, times=times))
        nothing = bench.result(Case("Postman", NOTHING, times=times))
        runs, collections = bench.work.times(times).all_postman_runs, bench.work.collections
        if first and nothing:
            most = runs + runs // 100 + 2 * collections
            found += [
                _at_most(f"requests for {runs:,} new Postman runs", most, first.requested, _whole),
                # One page holds the lookback, the next one shows that it is over.
                _at_most(
                    f"requests for nothing new after {runs:,}", 2 * collections, nothing.requested,
                    _whole,
                ),
            ]  # fmt: skip
    return found


def _against_dlt(bench: Bench) -> list[Verdict]:
    case = Case("Postman", FIRST)
    ours, theirs = bench.result(case), bench.result(case, "dlt")
    if not (ours and theirs):
        return []
    whole = "first load, 0 ms, of dlt's"
    cpu = (ours.cpu + ours.postgres) / (theirs.cpu + theirs.postgres)
    return [
        _at_most(f"{whole} wall", 1 / 8, ours.wall / theirs.wall, _share),
        _at_most(f"{whole} CPU, both with Postgres", 1 / 7, cpu, _share),
        _at_most(f"{whole} peak RSS", 1 / 2, ours.rss / theirs.rss, _share),
    ]


def _share(value: float) -> str:
    return f"1/{1 / value:.1f}"


def _against_the_floor(bench: Bench) -> list[Verdict]:
    case = Case("Postman", FIRST)
    ours, floor = bench.result(case), bench.result(case, "floor")
    if not (ours and floor):
        return []
    budget = "first load, 0 ms, wall over the floor (one COPY a table + the server's time)"
    return [_at_most(budget, 4, ours.wall / floor.wall, _times)]


def _latency(bench: Bench) -> list[Verdict]:
    found = []
    for times in (1, 10):
        case = Case("Postman", FIRST, 50, times)
        if result := bench.result(case):
            least = result.requested * case.latency_ms / 1000 / _IN_FLIGHT
            budget = f"{case}, wall over requests x latency / {_IN_FLIGHT}"
            found.append(_at_most(budget, 1.1, result.wall / least, _times))
    return found


def _memory(bench: Bench) -> list[Verdict]:
    found = []
    for subject in ("Postman", "Testmo"):
        base, ten = bench.result(Case(subject, FIRST)), bench.result(Case(subject, FIRST, times=10))
        if base and ten:
            budget = f"peak RSS of {subject}, ten times the history"
            found.append(_at_most(budget, 1.1, ten.rss / base.rss, _times, " x"))
    return found


def _full_tables(bench: Bench) -> list[Verdict]:
    empty = bench.result(Case("Postman", f"{FIRST} into empty tables"))
    full = bench.result(Case("Postman", f"{FIRST} into full tables"))
    if not (empty and full):
        return []
    share = empty.wall / full.wall
    budget = "rows a second into tables that hold ten times as much"
    return [Verdict(budget, ">= 0.90 x", f"{share:.2f} x", 0.9 / share)]


def _nothing_new(bench: Bench) -> list[Verdict]:
    result = bench.result(Case("both systems", NOTHING))
    if not result:
        return []
    return [
        _at_most("nothing new, both systems, whole process", 0.6, result.wall, _seconds),
        _at_most("nothing new, detail requests", 0, result.requests.get("detail", 0), _whole),
        _at_most("nothing new, rows written", 0, result.rows or 0, _whole),
    ]


def _reread(bench: Bench) -> list[Verdict]:
    found = []
    for subject in ("Postman", "Testmo"):
        first, again = bench.result(Case(subject, FIRST)), bench.result(Case(subject, REREAD))
        if first and again:
            budget = f"{subject} re-read, nothing changed, of the first load's Postgres CPU"
            found.append(_at_most(budget, 1 / 5, again.postgres / first.postgres, _times))
    return found


def _pace(bench: Bench) -> list[Verdict]:
    if "pace, share used" not in bench.facts:
        return []
    used = bench.facts["pace, share used"]
    late = bench.facts["pace, refusals after the first window"]
    return [
        Verdict("a limit of 300 a minute, share used", ">= 97 %", f"{used:.1%}", 0.97 / used),
        _at_most("refusals after the first window", 0, late, _whole),
    ]


def _big_run(bench: Bench) -> list[Verdict]:
    case = Case("Postman", "one run of 20,000 executions")
    return _one(bench, case, "one run of 20,000 executions, peak RSS", 150, _mib)


def _one(
    bench: Bench, case: Case, budget: str, limit: float, form: Callable[[float], str]
) -> list[Verdict]:
    result = bench.result(case)
    if not result:
        return []
    return [_at_most(budget, limit, result.rss if form is _mib else result.wall, form)]


def _commands(bench: Bench) -> list[Verdict]:
    whole = "the whole process"
    return [
        *_one(bench, Case("testruns --help", whole), "testruns --help", 0.3, _seconds),
        *_one(bench, Case("testruns status", whole), "testruns status", 0.6, _seconds),
    ]


def _nightly(bench: Bench) -> list[Verdict]:
    case = Case("testruns nightly", NOTHING)
    return _one(bench, case, "nightly with nothing new, through Dagster and dbt", 6, _seconds)


def _dbt(bench: Bench) -> list[Verdict]:
    base, ten = (bench.result(Case("dbt build", NIGHT, times=times)) for times in (1, 10))
    if not (base and ten):
        return []
    budget = "dbt build after a night's news, ten times the history"
    return [_at_most(budget, 1.5, _wall(ten) / _wall(base), _times, " x")]


def _wall(measured: Measured) -> float:
    return measured.wall


def _demo(bench: Bench) -> list[Verdict]:
    case = Case("testruns demo", "the whole process")
    return _one(bench, case, "make demo, once installed", 15, _seconds)
