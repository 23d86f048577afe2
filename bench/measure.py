"""One whole process, from start to end: seconds, CPU, memory, what it requested and wrote."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any, Self
from urllib.request import urlopen

from bench.server import Served
from bench.warehouse import Warehouse

TESTRUNS = str(Path(sys.executable).parent / "testruns")


class BenchError(Exception):
    """What was to be measured did not do its work; a line for the user."""


@dataclass(frozen=True)
class Measured:
    """What a process took: seconds, and MiB at its peak. `postgres` and `server` are CPU seconds.

    `requests` are by kind, as the server counted them; `rows` are those written, if that is known.
    `sent_at` and `refused_at` are epoch seconds, as announced by a server that has a limit.
    """

    wall: float
    user: float = 0.0
    system: float = 0.0
    postgres: float = 0.0
    server: float = 0.0
    rss: float = 0.0
    requests: dict[str, int] = field(default_factory=dict)
    rows: int | None = None
    sent_at: list[float] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        return self.user + self.system

    @property
    def requested(self) -> int:
        return sum(self.requests.values())

    @classmethod
    def median(cls, repeated: Sequence[Self]) -> Self:
        """Each figure's own median; what is counted is the last one's."""
        figures = {
            member.name: statistics.median(getattr(each, member.name) for each in repeated)
            for member in fields(cls)
            if member.type is float
        }
        return cls(**figures, requests=repeated[-1].requests, rows=repeated[-1].rows)


class Server:
    """The APIs of `bench.server` for as long as a `with` block lasts."""

    def __init__(self, served: Served) -> None:
        self._served = served

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.server", self._served.as_json()]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = (self._process.stdout or sys.stdin).readline()
        if not line.strip():
            raise BenchError("bench.server: ended at once")
        self.port = int(line)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def variables(self, *sources: str) -> dict[str, str]:
        """The settings under which the product asks here, without a limit of its own making."""
        work, root = self._served.work, f"http://127.0.0.1:{self.port}"
        per_minute = str(self._served.per_minute or 1_000_000)
        postman = {
            "POSTMAN_API_URL": f"{root}/postman",
            "POSTMAN_API_KEY": "bench",
            "POSTMAN_COLLECTION_IDS": ",".join(work.collection_ids),
            "POSTMAN_REQUESTS_PER_MINUTE": per_minute,
        }
        testmo = {
            "TESTMO_API_URL": f"{root}/testmo",
            "TESTMO_API_TOKEN": "bench",
            "TESTMO_PROJECT_IDS": ",".join(work.project_ids),
            "TESTMO_REQUESTS_PER_MINUTE": per_minute,
        }
        return (postman if "postman" in sources else {}) | (testmo if "testmo" in sources else {})

    def night(self) -> None:
        """A night's runs arrive."""
        self._ask("night")

    def stats(self) -> dict[str, Any]:
        """What was requested since the last call (see bench.server)."""
        server_stats: dict[str, Any] = json.loads(self._ask("stats"))
        return server_stats

    def _ask(self, what: str) -> bytes:
        with urlopen(f"http://127.0.0.1:{self.port}/-/{what}") as answer:
            body: bytes = answer.read()
        return body


def run(
    command: Sequence[str],
    variables: Mapping[str, str],
    folder: Path,
    *,
    warehouse: Warehouse | None = None,
    server: Server | None = None,
    stdin: IO[bytes] | None = None,
    statuses: tuple[int, ...] = (0,),
) -> Measured:
    """Run it with these variables and no others of ours, in `folder`; raises BenchError.

    A peak of memory counts from the fork: keep this process small, its own size is the least that
    a child can be seen to have.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "LC_ALL", "TMPDIR")
        if name in os.environ
    } | {"HOME": str(folder), "DAGSTER_DISABLE_TELEMETRY": "yes", **variables}
    if server is not None:
        server.stats()
    postgres = warehouse.settled_cpu() if warehouse else 0.0
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=stdin or subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in statuses:
            output.seek(0)
            tail = output.read().decode(errors="replace").strip().splitlines()[-12:]
            raise BenchError(
                "\n  ".join([f"{' '.join(command[:4])}: status {process.returncode}", *tail])
            )
    server_stats = server.stats() if server else {}
    return Measured(
        wall=wall,
        user=used.ru_utime,
        system=used.ru_stime,
        postgres=(warehouse.cpu_after_last() - postgres) if warehouse else 0.0,
        server=server_stats.get("cpu", 0.0),
        rss=used.ru_maxrss / 1024,
        requests=server_stats.get("requests", {}),
        sent_at=server_stats.get("sent_at", []),
        refused_at=server_stats.get("refused_at", []),
    )
