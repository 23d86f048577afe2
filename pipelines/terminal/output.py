"""The one way out: whatever a person reads passes through `visible`, a line at a time.

What is printed comes from APIs, tests and servers as well: it may hold escape codes, line breaks
that would forge a line, marks that turn the text around them, and URLs with passwords.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, TextIO, cast

from pipelines.sources.redaction import visible


def line(text: str = "") -> None:
    """Print one line of the command's result."""
    print(visible(text), flush=True)


def note(*lines: str) -> None:
    """Print lines about the command on stderr, where they are no part of its result."""
    for text in lines:
        print(f"testruns: {visible(text)}", file=sys.stderr, flush=True)


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0
) -> None:
    """Print a table that fits the terminal, or 80 columns where there is none.

    The last `numbers` columns stand at the right. Where there is no room the first column is
    folded, so that nothing is lost.
    """
    from rich.console import Console  # noqa: PLC0415 - a tenth of a second, spared to a load
    from rich.padding import Padding  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    grid = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for position, name in enumerate(columns):
        is_number = position >= len(columns) - numbers
        grid.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=position > 0,
            overflow="fold",
        )
    for row in rows:
        grid.add_row(*(Text(visible(cell)) for cell in row))
    with console.capture() as printed:
        console.print(Text(visible(title), style="bold"))
        console.print(Padding(grid, (0, 0, 0, 2)))
    for text in printed.get().splitlines():
        print(text.rstrip(), flush=True)


class _Stream:
    """A standard stream that outlives its reader: what nobody takes any more is dropped.

    A load goes on when `| head` has seen enough. `lost` is why a result could not be written: a
    full disk, and not a reader that has gone.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write as far as anybody reads."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        """Flush as far as anybody reads."""
        try:
            self._stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        if not isinstance(error, BrokenPipeError):
            self.lost = self.lost or error.strerror
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        with suppress(OSError):
            self._stream.flush()


def open_streams() -> None:
    """Make the process's streams fit to be written to, whatever it was started with.

    Streams that are closed lead nowhere: else the next file or connection would get their number,
    and be written to. What the terminal's encoding lacks is escaped. SIGHUP does what Ctrl-C does.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, cast("TextIO", _Stream(stream)))
    # Under nohup it is ignored, and stays so.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    # Started in the background by a shell without job control: Ctrl-C is not for us, this is.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def lost_output() -> str | None:
    """Why a part of the result could not be written; None if all was, or nobody wanted it."""
    sys.stdout.flush()
    return getattr(sys.stdout, "lost", None)
