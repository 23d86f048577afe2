"""Work in a thread of its own, so that a run of Dagster's can be interrupted while it waits.

Dagster raises its interruption in the main thread, where an event loop or dbt would swallow it. A
thread that is left behind ends with the process, which ends with the run; what it had not committed
is as if it had never been, which is what loads and models are built for.
"""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


def in_thread(work: Callable[[], Result]) -> Future[Result]:
    """Begin `work` at once; what it returns or raises is the future's."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where the result is requested
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
