"""Real `testruns` processes without the second that their imports take."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

# Everything that a load imports is imported once; what is forked from it runs the command itself.
_FORK_SERVER = """
import json, os, sys
import pipelines.cli, pipelines.terminal.loading
for line in sys.stdin:
    job = json.loads(line)
    born = os.fork()
    if not born:
        os.environ.clear()
        os.environ.update(job["environment"])
        os.chdir(job["folder"])
        for number, path in (1, job["out"]), (2, job["err"]):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        sys.argv = ["testruns", *job["arguments"]]
        status = 70
        try:
            pipelines.cli.main()
        except SystemExit as ended:
            status = ended.code
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status or 0)
    print(born, flush=True)
    _, status = os.waitpid(born, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""

Done = subprocess.CompletedProcess[str]


class ForkServer:
    """Starts `testruns` processes in some 20 ms each, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._out, self._err = folder / "stdout", folder / "stderr"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORK_SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def run(self, folder: Path, variables: Mapping[str, str], *arguments: str) -> Done:
        """`testruns …` in a folder, to its end, with no variables but these and the PATH."""
        return self.start(variables, *arguments, folder=folder).end()

    def start(
        self, variables: Mapping[str, str], *arguments: str, folder: Path | None = None
    ) -> "ChildProcess":
        """A process that has begun to run `testruns …`; `end` waits for it."""
        assert self._process.stdin
        assert self._process.stdout
        job = {
            "environment": {"PATH": os.environ["PATH"], **variables},
            "folder": str(folder or self.folder),
            "out": str(self._out),
            "err": str(self._err),
            "arguments": arguments,
        }
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return ChildProcess(int(self._process.stdout.readline()), self._end)

    def _end(self) -> Done:
        assert self._process.stdout
        status = int(self._process.stdout.readline())
        return Done("testruns", status, self._out.read_text("utf-8"), self._err.read_text("utf-8"))


class ChildProcess:
    """A process that may be killed at any moment, from any thread."""

    def __init__(self, pid: int, end: Callable[[], Done]) -> None:
        self._pid, self.end = pid, end

    def kill(self) -> None:
        with suppress(ProcessLookupError):  # it was faster
            os.kill(self._pid, signal.SIGKILL)
