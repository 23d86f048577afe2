"""Superset's own commands, several in one process: each process costs ten seconds of imports.

Run by the Python of Superset's environment: `manage.py setup PASSWORD_FILE`,
`manage.py import ZIP`, `manage.py export ZIP`.
"""

import sys
from pathlib import Path
from zipfile import ZipFile

from flask.cli import ScriptInfo
from superset.app import create_app
from superset.cli.main import superset

_APP = create_app()
_INFO = ScriptInfo(create_app=lambda: _APP)


def _run(*arguments: str) -> None:
    superset.main(args=list(arguments), obj=_INFO, standalone_mode=False)


def setup(password_file: str) -> None:
    """The metadata's schema, the roles, and an admin; whoever is not logged in reads everything."""
    _run("db", "upgrade")
    _run("init")
    password = Path(password_file).read_text()
    names = ("--username", "admin", "--firstname", "admin", "--lastname", "admin")
    _run("fab", "create-admin", *names, "--email", "admin@localhost", "--password", password)
    with _APP.app_context():
        from superset import security_manager  # noqa: PLC0415 - needs the app

        reading = security_manager.add_permission_view_menu(*["all_datasource_access"] * 2)
        security_manager.add_permission_role(security_manager.find_role("Public"), reading)


def import_bundle(path: str) -> None:
    """Datasets, charts and dashboards, made or updated by their UUIDs.

    As `POST /api/v1/assets/import/` does it: `superset import-dashboards` leaves charts and
    datasets that are there as they are.
    """
    with _APP.app_context(), ZipFile(path) as bundle:
        from superset import security_manager  # noqa: PLC0415 - needs the app
        from superset.commands.importers.v1.assets import ImportAssetsCommand  # noqa: PLC0415
        from superset.commands.importers.v1.utils import get_contents_from_bundle  # noqa: PLC0415
        from superset.utils.core import override_user  # noqa: PLC0415

        with override_user(security_manager.find_user("admin")):
            ImportAssetsCommand(get_contents_from_bundle(bundle)).run()


def export_bundle(path: str) -> None:
    """All dashboards with what belongs to them."""
    _run("export-dashboards", "--dashboard-file", path)


if __name__ == "__main__":
    {"setup": setup, "import": import_bundle, "export": export_bundle}[sys.argv[1]](sys.argv[2])
