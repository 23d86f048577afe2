"""What a user would pick instead, in an environment of its own: dlt, and a Singer target.

dlt does the whole job (it follows no open runs, and sees late changes only where configured to). Of
Singer there is a target alone, no tap for this API: it is given ready-made records.
"""

import subprocess
import sys
from pathlib import Path

from bench.measure import BenchError, Measured, Server, run
from bench.server import Served
from bench.session import FIRST, NIGHT, NOTHING, Bench, Case
from bench.work import Work

_FOLDER = Path(__file__).parent
_BIN = _FOLDER / ".venv-peers" / "bin"
# Versions that these pipelines were written for; a newer one would be another peer.
_PACKAGES = ("dlt[postgres]>=1.31,<1.32", "meltanolabs-target-postgres>=0.8,<0.9")
_NAMES = ("dlt", "meltanolabs-target-postgres")


def peers(bench: Bench) -> None:
    """dlt with and without latency and with ten times the work; the Singer target."""
    install()
    _dlt(bench, "dlt", (FIRST, NOTHING, NIGHT))
    _dlt(bench, "dlt", (FIRST,), latency_ms=50)
    _dlt(bench, "dlt, 16 workers", (FIRST,), latency_ms=50)
    _dlt(bench, "dlt", (FIRST,), times=10, repetitions=1)
    _singer(bench)


def install() -> None:
    """Make the peers' environment unless it is there; raises BenchError with pip's last line."""
    if (_BIN / "target-postgres").exists():
        return
    for command in (
        [sys.executable, "-m", "venv", str(_BIN.parent)],
        [str(_BIN / "pip"), "install", "--quiet", "--disable-pip-version-check", *_PACKAGES],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"the peers cannot be installed: {done.stderr.strip()[-300:]}")


def versions() -> dict[str, str]:
    """Installed versions by package; empty where there are none."""
    if not _BIN.exists():
        return {}
    program = f"import importlib.metadata as held; print(*map(held.version, {_NAMES}))"
    output = subprocess.run(
        [_BIN / "python", "-c", program], capture_output=True, text=True, check=True
    )
    return dict(zip(_NAMES, output.stdout.split(), strict=True))


def _dlt(
    bench: Bench,
    who: str,
    steps: tuple[str, ...],
    *,
    latency_ms: int = 0,
    times: int = 1,
    repetitions: int | None = None,
) -> None:
    served = Served(bench.work.times(times), latency=latency_ms / 1000)
    measured: dict[str, list[Measured]] = {what: [] for what in steps}
    for number in range(repetitions or bench.repetitions):
        folder = bench.folder / f"{who}-{latency_ms}-{times}-{number}".replace(", ", "-")
        with Server(served) as server, bench.warehouse.database("peer") as url:
            variables = {
                "BENCH_ROOT": f"http://127.0.0.1:{server.port}/postman",
                "BENCH_SCOPES": ",".join(served.work.collection_ids),
                "BENCH_URL": url,
                "BENCH_FOLDER": str(folder),
                "RUNTIME__DLTHUB_TELEMETRY": "false",
                **({"EXTRACT__WORKERS": "16"} if who.endswith("16 workers") else {}),
            }
            command = [str(_BIN / "python"), str(_FOLDER / "dlt_pipeline.py")]
            for what, repeated in measured.items():
                if what == NIGHT:
                    server.night()
                repeated.append(
                    run(command, variables, folder, warehouse=bench.warehouse, server=server)
                )
            _check(bench, served.work, NIGHT in steps)
    for what, repeated in measured.items():
        bench.keep(Case("Postman", what, latency_ms, times), who, Measured.median(repeated))


def _check(bench: Bench, work: Work, with_night: bool) -> None:  # noqa: FBT001
    """A peer that left out half of it would look quick."""
    runs = work.all_postman_runs + (12 * work.collections if with_night else 0)
    with bench.warehouse.session("peer") as session:
        held = session.execute(
            "select count(*), (select count(*) from raw.collection_runs__executions__assertions)"
            " from raw.collection_runs"
        ).fetchone()
    if held != (runs, runs * work.executions * work.assertions):
        raise BenchError(f"dlt: loaded {held} runs and assertions of {runs} runs")


def _singer(bench: Bench) -> None:
    folder = bench.folder / "singer"
    folder.mkdir(parents=True)
    records = folder / "messages.jsonl"
    with records.open("wb") as out:
        command = [sys.executable, "-m", "bench.singer_records", bench.work.as_json()]
        subprocess.run(command, stdout=out, check=True)

    def once(_: int) -> Measured:
        with bench.warehouse.database("peer") as url, records.open("rb") as messages:
            variables = {
                "TARGET_POSTGRES_SQLALCHEMY_URL": url.replace("postgresql:", "postgresql+psycopg:"),
                "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "raw",
                "TARGET_POSTGRES_USE_COPY": "true",
                "TARGET_POSTGRES_ACTIVATE_VERSION": "false",
                "TARGET_POSTGRES_ADD_RECORD_METADATA": "false",
            }
            command = [str(_BIN / "target-postgres"), "--config=ENV"]
            return run(command, variables, folder, warehouse=bench.warehouse, stdin=messages)

    bench.repeat(Case("Postman", FIRST), "target-postgres, ready-made records", once)
