"""Port and passwords of the embedded server, in the one libpq password file that keeps them."""

import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg

from pipelines.errors import WarehouseError

SUPERUSER = "testruns"
READER = "testruns_reader"
DATABASE = "testruns"
HOST = "127.0.0.1"

_LOGIN_SECONDS = 10  # a login takes 6 ms: this server hangs


@dataclass(frozen=True)
class Access:
    """Port and passwords, as the password file has them."""

    port: int
    superuser: str = field(repr=False)
    reader: str = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A free port and new passwords."""
        return cls(free_port(), secrets.token_urlsafe(), secrets.token_urlsafe())

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """None if the file is missing, or not all in it that should be."""
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return None
        entries = {part[3]: part for line in lines if len(part := line.split(":")) == 5}
        try:
            _, port, _, _, superuser = entries[SUPERUSER]
            return cls(int(port), superuser, entries[READER][4])
        except (KeyError, ValueError):
            return None

    @property
    def url(self) -> str:
        """The superuser's libpq URL, password included."""
        password = quote(self.superuser, safe="")  # somebody may have set another
        return f"postgresql://{SUPERUSER}:{password}@{HOST}:{self.port}/{DATABASE}"

    def write(self, file: Path) -> None:
        """Replace the file at once, readable by its owner alone."""
        passwords = {SUPERUSER: self.superuser, READER: self.reader}
        new = file.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(
            "".join(f"{HOST}:{self.port}:*:{role}:{word}\n" for role, word in passwords.items())
        )
        new.replace(file)

    def log_in(self) -> Path:
        """Connect once, and give the data directory of the server that answers.

        A stranger on our port gets no password; the server of the home of which this one is a copy
        does. Raises OperationalError.
        """
        with psycopg.connect(
            self.url,
            require_auth="scram-sha-256",
            sslmode="disable",
            gssencmode="disable",
            connect_timeout=_LOGIN_SECONDS,
        ) as session:
            row = session.execute("show data_directory").fetchone()
        return Path(row[0] if row else "")


def free_port() -> int:
    """Choose a port below those that systems give to outgoing connections (Linux: from 32768 on).

    So nobody is given it by chance while the server is down.
    """
    for _ in range(100):
        port = 20_000 + secrets.randbelow(10_000)
        if is_free(port):
            return port
    raise WarehouseError(f"no free TCP port on {HOST} among 100 tried from 20000 to 29999")


def is_free(port: int) -> bool:
    """Whether a server could listen on it now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True
