"""dbt in this process: one list of arguments for whoever needs it.

dbt reads its connection from environment variables and reports through its events: nothing of its
own reaches stdout, and nothing is written beside the project, which may be read-only. A dbt started
as a process of its own would cost two seconds more.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.resources import bundled
from pipelines.transform.environment import environment


def invoke(
    command: str,
    *arguments: str,
    folder: Path,
    variables: Mapping[str, str],
    manifest: Any = None,
    callbacks: Sequence[Callable[[Any], None]] = (),
) -> Any:
    """Dbt's own result of a command on the bundled project, under environment `variables`.

    dbt writes into `folder`. `manifest` saves it the parsing; `callbacks` get its events.
    """
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - a second and 100 MB, where it is needed

    project = str(bundled("dbt_project"))
    with environment(variables):
        return dbtRunner(manifest=manifest, callbacks=list(callbacks)).invoke(
            [
                *("--no-version-check", "--quiet", "--no-print", "--no-use-colors"),
                *("--log-level", "none", "--log-level-file", "none"),
                *(command, *arguments),
                *("--project-dir", project, "--profiles-dir", project, "--target", "warehouse"),
                *("--target-path", str(folder), "--log-path", str(folder)),
            ]
        )


def first_line(message: str) -> str:
    """What is wrong by dbt's message, without its headings ("Database Error in model …")."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    plain = (line for line in lines if not re.match(r"[A-Z]\w+ Error( in .*)?$", line))
    return next(plain, "; ".join(lines))
