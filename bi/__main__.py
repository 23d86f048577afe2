"""`python -m bi`: Superset on the warehouse's read-only role, its dashboards imported and served.

Everything of it lies under TESTRUNS_HOME: its environment, metadata, key, and admin's password.
"""

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

from sqlalchemy import URL

from bi.bundle import FOLDER, archive, not_imported, save_export
from pipelines.errors import TestrunsError
from pipelines.settings import Settings, load_settings
from pipelines.terminal import output
from pipelines.terminal.demo import settings_to_show
from pipelines.warehouse.embedded.credentials import READER
from pipelines.warehouse.embedded.server import EmbeddedPostgres
from pipelines.warehouse.engine import open_warehouse
from pipelines.warehouse.url import WarehouseUrl

_START_SECONDS = 180


class Superset:
    """A Superset of its own under TESTRUNS_HOME/bi."""

    def __init__(self, home: Path, settings: Settings) -> None:
        """In this folder, on the warehouse of these settings; nothing is made yet."""
        self.home = home
        self.metadata = self.home / "superset.db"
        self.password = self.home / "password"
        self._python = self.home / "venv" / "bin" / "python"
        self._settings = settings

    def install(self) -> None:
        """The environment, the metadata's schema and an admin, where they are not there yet."""
        self.home.mkdir(parents=True, exist_ok=True)
        for name in ("secret_key", "password"):
            if not (self.home / name).exists():
                (self.home / name).touch(mode=0o600)
                (self.home / name).write_text(secrets.token_urlsafe(32))
        wanted, done = (FOLDER / "requirements.txt").read_text(), self.home / "installed"
        if done.exists() and done.read_text() == wanted:
            return
        output.line("installing Superset …")
        venv, requirements = str(self.home / "venv"), str(FOLDER / "requirements.txt")
        if uv := shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"):
            python = ("--python", sys.executable)
            _call(uv, "venv", "--quiet", "--allow-existing", *python, venv)
            _call(
                uv, "pip", "install", "--quiet", "--python", str(self._python), "-r", requirements
            )
        else:
            _call(sys.executable, "-m", "venv", venv)
            _call(str(self._python), "-m", "pip", "install", "--quiet", "-r", requirements)
        self._manage("setup", self.password)
        done.write_text(wanted)

    def import_dashboards(self) -> None:
        """Make or update them; raises TestrunsError naming what Superset did not take."""
        output.line("importing the dashboards …")
        bundle = self.home / "import.zip"
        bundle.write_bytes(archive(reader_uri(open_warehouse(self._settings))))
        self._manage("import", bundle)
        if missing := not_imported(self.metadata):
            raise TestrunsError(
                f"Superset did not take {', '.join(missing)}; see {self.home / 'log'}"
            )

    def export_dashboards(self) -> list[str]:
        """Write the dashboards as they are now into `bi/superset/`; what has changed."""
        bundle = self.home / "export.zip"
        self._manage("export", bundle)
        return save_export(bundle.read_bytes())

    def serve(self, port: int) -> int:
        """Until it is stopped, on loopback. Raises TestrunsError when it does not start."""
        command = [str(self._python), "-m", "flask", "--app", "superset.app:create_app()", "run"]
        with (self.home / "log").open("a") as log:
            server = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(port), "--with-threads"],
                env=self._environment(), stdout=log, stderr=log,
            )  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        try:
            self._wait(server, address)
            for dashboard in ("morning", "quarter"):
                output.line(f"{address}/superset/dashboard/{dashboard}/")
            output.line(f"to change them, log in as admin; password: {self.password}")
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            server.terminate()
            server.wait()

    def _wait(self, server: "subprocess.Popen[bytes]", address: str) -> None:
        until = time.monotonic() + _START_SECONDS
        while server.poll() is None and time.monotonic() < until:
            try:
                with urlopen(f"{address}/health", timeout=5):  # noqa: S310 - our own
                    return
            except OSError:
                time.sleep(0.5)
        raise TestrunsError(f"Superset does not start on {address}; see {self.home / 'log'}")

    def _manage(self, command: str, path: Path) -> None:
        with (self.home / "log").open("a") as log:
            done = subprocess.run(
                [str(self._python), str(FOLDER / "manage.py"), command, str(path)],
                env=self._environment(), stdout=log, stderr=log, check=False,
            )  # fmt: skip
        if done.returncode:
            raise TestrunsError(f"Superset: {command} failed; see {self.home / 'log'}")

    def _environment(self) -> dict[str, str]:
        ours = {
            "TESTRUNS_BI_HOME": str(self.home),
            "SUPERSET_CONFIG_PATH": str(FOLDER / "superset_config.py"),
            "SUPERSET_HOME": str(self.home),
        }
        if self._settings.testruns_warehouse_url is None:
            ours["PGPASSFILE"] = str(EmbeddedPostgres(self._settings.testruns_home).pgpass)
        return {**os.environ, **ours}


def reader_uri(url: str) -> str:
    """The warehouse at `url` as SQLAlchemy takes it, by the read-only role, without a password.

    libpq takes that one from PGPASSFILE.
    """
    values = WarehouseUrl.parse(url).complete()
    tls = {name: values[name] for name in ("sslmode", "sslrootcert") if values.get(name)}
    return URL.create(
        "postgresql+psycopg2",
        username=READER,
        database=values["dbname"],
        query={**tls, "host": values["host"] or "/var/run/postgresql", "port": values["port"]},
    ).render_as_string()


def _as_pip_is_configured() -> dict[str, str]:
    """The index and the certificates of pip, for uv, which reads no configuration of pip's."""
    python = str(Path(sys.base_prefix) / "bin" / "python3")
    options = {}
    for variable, option in (("UV_DEFAULT_INDEX", "index-url"), ("SSL_CERT_FILE", "cert")):
        pip_query = [python, "-m", "pip", "config", "get", f"global.{option}"]
        value = os.environ.get(f"PIP_{option.replace('-', '_').upper()}") or subprocess.run(
            pip_query, capture_output=True, text=True, check=False
        ).stdout.strip()  # fmt: skip
        if value and variable not in os.environ:
            options[variable] = value
    return options


def _call(*command: str) -> None:
    environment = {**os.environ, **_as_pip_is_configured()}
    if subprocess.run(command, env=environment, check=False).returncode:
        raise TestrunsError("Superset could not be installed")


def main() -> int:
    """`serve` (the default) or `export`; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bi", description=__doc__)
    parser.add_argument("command", choices=["serve", "export"], nargs="?", default="serve")
    parser.add_argument("--port", type=int, default=8088)
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        # A new demo empties its own home.
        superset = Superset(settings.testruns_home / "bi", settings_to_show(settings))
        superset.install()
        if arguments.command == "export":
            changed = superset.export_dashboards()
            for path in changed or ["nothing has changed"]:
                output.line(path)
            return 0
        superset.import_dashboards()
        return superset.serve(arguments.port)
    except TestrunsError as error:
        output.note(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
