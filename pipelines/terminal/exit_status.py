"""How a command ends: its exit status, and one line on stderr for what went wrong."""

import click

from pipelines.errors import SettingsError, TestrunsError
from pipelines.terminal import output


def run(command: click.Command) -> int:
    """Run the command on the process's arguments; the exit status.

    0: all went well; 1: something failed; 2: bad usage or settings; 130: interrupted.
    """
    status = _run(command)
    if lost := output.lost_output():
        output.note(f"the output could not be written: {lost}")
        return status or 1
    return status


def _run(command: click.Command) -> int:
    try:
        return command(prog_name="testruns", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        usage = f" (see {context.command_path} --help)" if context else ""
        output.note(f"{error.format_message()}{usage}")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        output.note("interrupted; what is loaded stays, the next load goes on from there")
        return 130
    except SettingsError as error:
        output.note(*str(error).splitlines())
        return 2
    except TestrunsError as error:
        output.note(str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - one line for whatever nobody expected
        output.note(_unexpected(error))
        return 1


def _unexpected(error: Exception) -> str:
    """What Postgres or the disk says, else where the traceback is."""
    # A command that goes well pays for none of these imports.
    import psycopg  # noqa: PLC0415

    from pipelines.ingest.traceback_log import TracebackLog  # noqa: PLC0415
    from pipelines.settings import load_settings  # noqa: PLC0415
    from pipelines.sources.redaction import Redactor  # noqa: PLC0415
    from pipelines.warehouse.engine import reason  # noqa: PLC0415

    cause = getattr(error, "orig", error)  # SQLAlchemy wraps what psycopg raises
    if isinstance(cause, psycopg.Error):
        return f"the warehouse failed: {reason(cause)}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror}: {error.filename}"
    settings = load_settings()
    redactor = Redactor(settings.testruns_redact_params)
    return str(TracebackLog(settings.testruns_home / "logs", redactor.text).add(error, "testruns"))
