"""Any dbt command on the warehouse, by hand: `testruns dbt -- docs generate`."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from pipelines.resources import bundled
from pipelines.transform.build_lock import build_lock
from pipelines.transform.environment import dbt_environment, environment

_WRITING = {"build", "run", "seed", "snapshot", "clone", "retry"}


def command_environment(url: str, timezone: str, folder: Path) -> dict[str, str]:
    """All variables that dbt needs to work on the warehouse at `url` from any directory.

    `timezone` is the IANA zone of the business day; dbt writes into `folder`. The password is among
    them.
    """
    project = str(bundled("dbt_project"))
    return {
        "DBT_PROJECT_DIR": project,
        "DBT_PROFILES_DIR": project,
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "DBT_VERSION_CHECK": "false",
        **dbt_environment(url, timezone),
    }


def run_dbt(
    arguments: Sequence[str],
    *,
    url: str,
    timezone: str,
    folder: Path,
    on_wait: Callable[[str], None] = lambda _: None,
) -> int:
    """Runs `dbt ARGUMENTS` in this process; dbt's exit status, its output on stdout.

    A command that builds waits for another build; `on_wait` gets a line that names it, after 5 s.
    Raises TransformError for a warehouse that dbt cannot use.
    """
    from dbt.cli.main import cli  # noqa: PLC0415 - a second and 100 MB, for this command alone

    with ExitStack() as stack:
        if _WRITING.intersection(arguments):
            stack.enter_context(build_lock(url, on_wait))
        stack.enter_context(environment(command_environment(url, timezone, folder)))
        try:
            cli.main(list(arguments), prog_name="testruns dbt --")
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 1
    return 0
