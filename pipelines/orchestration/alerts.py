"""What is posted to TESTRUNS_ALERT_WEBHOOK: a scheduled run that failed, a scope that went stale.

A message a failure: what, which scope, why, where to look, what to do. Runs that somebody started
by hand are watched by whoever started them; `testruns nightly` without a terminal counts as
scheduled (cron), and posts by itself, since nothing of Dagster's need be up beside it.
"""

import json
from collections.abc import Sequence
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from pydantic import SecretStr

from pipelines.orchestration.checks import ScopeProblem
from pipelines.orchestration.failures import StepFailure
from pipelines.orchestration.in_thread import in_thread
from pipelines.terminal.output import visible

_DO_ON_FAILURE = (
    "What is loaded stays loaded, and the next night goes on from there. Mend the cause, then run "
    "`testruns nightly`; `testruns status` shows how far each history is read."
)
_DO_ON_STALE = (
    "Is the schedule `nightly` switched on, and are its runs green? `testruns nightly` loads now; "
    "`testruns status` shows the last error of each scope."
)
_MOST_LINES = 15
_TIMEOUT_SECONDS = 10


def failure_text(title: str, failures: Sequence[StepFailure], run_id: str, page: str | None) -> str:
    """The message of a failed run; `page` is the address of Dagster's page."""
    where = f"{page}/runs/{run_id}" if page else f"Dagster run: {run_id}"
    return "\n".join([f"testruns: {title}", *_listed(failures), _DO_ON_FAILURE, where])


def stale_text(problems: Sequence[ScopeProblem], page: str | None) -> str:
    """The message of scopes that no command loads any more."""
    where = [page] if page else []
    return "\n".join(
        ["testruns: nothing is loaded any more", *_listed(problems), _DO_ON_STALE, *where]
    )


def _listed(problems: Sequence[object]) -> list[str]:
    hidden = len(problems) - _MOST_LINES
    more = [f"• … and {hidden} more"] if hidden > 0 else []
    return [*(f"• {visible(str(problem))}" for problem in problems[:_MOST_LINES]), *more]


def post(webhook: SecretStr, text: str, timeout_seconds: float = _TIMEOUT_SECONDS) -> str | None:
    """Post one message; why it could not be, in a line that never names the address, or None.

    Slack reads `&`, `<` and `>` as its own signs, and `text` quotes what APIs answer: escaped.
    """
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    request = Request(  # noqa: S310 - http or https, as the settings check
        webhook.get_secret_value(),
        data=json.dumps({"text": text}).encode(),
        headers={"Content-Type": "application/json"},
    )

    def send() -> None:
        with urlopen(request, timeout=timeout_seconds):  # noqa: S310
            pass

    try:
        # urlopen's time-out is between two packets: an answer that drips would last for ever.
        in_thread(send).result(timeout_seconds)
    except HTTPError as error:
        error.close()
        return f"TESTRUNS_ALERT_WEBHOOK: not delivered: HTTP {error.code}"
    except Exception as error:  # noqa: BLE001 - a dead webhook breaks nothing; its text may name it
        return f"TESTRUNS_ALERT_WEBHOOK: not delivered: {type(error).__name__}"
    else:
        return None
