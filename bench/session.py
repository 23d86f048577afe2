"""What all cases share: a warehouse, folders, repetitions, and the figures that they leave."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.measure import TESTRUNS, BenchError, Measured, Server, run
from bench.warehouse import Warehouse
from bench.work import Work

FIRST, NOTHING, NIGHT, REREAD = (
    "first load",
    "nothing new",
    "a night's news",
    "everything re-read",
)


@dataclass(frozen=True)
class Case:
    """One thing that is measured; `latency_ms` of each answer, `times` the base work."""

    subject: str
    what: str
    latency_ms: int = 0
    times: int = 1

    def __str__(self) -> str:
        parts = [self.subject, self.what]
        parts += [f"x{self.times}"] if self.times > 1 else []
        parts += [f"{self.latency_ms} ms"] if self.latency_ms else []
        return ", ".join(parts)


@dataclass
class Bench:
    """Figures by case and by who did it; `facts` are those that are no process's.

    `size` is a factor on all work, 1 unless the bench itself is tried out.
    """

    warehouse: Warehouse
    folder: Path
    repetitions: int
    work: Work
    say: Callable[[str], None]
    size: float = 1.0
    figures: dict[tuple[Case, str], Measured] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)

    def keep(self, case: Case, who: str, measured: Measured) -> None:
        """Keep a figure, and show it at once."""
        self.figures[case, who] = measured
        self.say(f"  {case}: {who} {measured.wall:.2f} s")

    def result(self, case: Case, who: str = "testruns") -> Measured | None:
        """The figure, if that case was run."""
        return self.figures.get((case, who))

    def repeat(self, case: Case, who: str, once: Callable[[int], Measured]) -> None:
        """Measure it as often as requested, and keep the median."""
        self.keep(case, who, Measured.median([once(number) for number in range(self.repetitions)]))

    def home(self, name: str) -> dict[str, str]:
        """Settings of a run with a home of its own, and without a warehouse yet."""
        return {"TESTRUNS_HOME": str(self.folder / name / "home")}

    def testruns(
        self,
        *arguments: str,
        url: str,
        variables: Mapping[str, str],
        server: Server | None = None,
        home: str = "loads",
    ) -> Measured:
        """One process of the product on a warehouse; `rows` are those of `ingest.loads`."""
        before = self.rows_loaded(url)
        measured = run(
            [TESTRUNS, *arguments],
            {**self.home(home), "TESTRUNS_WAREHOUSE_URL": url, **variables},
            self.folder / home,
            warehouse=self.warehouse,
            server=server,
        )
        return replace(measured, rows=self.rows_loaded(url) - before)

    def rows_loaded(self, url: str) -> int:
        """Rows that all loads of a warehouse have written."""
        with self.warehouse.session(url.rsplit("/", 1)[1]) as session:
            row = session.execute(
                "select coalesce(sum(value::bigint), 0)"
                " from ingest.loads, jsonb_each_text(rows_written)"
            ).fetchone()
        if row is None:
            raise BenchError("ingest.loads: not readable")
        return int(row[0])
