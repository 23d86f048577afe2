"""A pooler of transactions in front of a server, as pgbouncer is one in its transaction mode."""

import select
import socket
import struct
import threading
from contextlib import suppress
from typing import Self

from psycopg.conninfo import conninfo_to_dict


class TransactionPooler:
    """Each transaction goes to whichever server session was free last; each login adds one."""

    def __init__(self, url: str) -> None:
        parts = conninfo_to_dict(url)
        self._server = str(parts["host"]), int(parts["port"] or 5432)
        self._free: list[socket.socket] = []
        self._sessions: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        account, _, place = url.rpartition("@")
        port = self._listener.getsockname()[1]
        self.url = f"{account}@127.0.0.1:{port}/{place.partition('/')[2]}?sslmode=disable"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for session in self._sessions:
            session.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # a socket that is closed meanwhile is one or the other, by where it is closed
        with client, suppress(OSError, ValueError):
            session = socket.create_connection(self._server)
            self._sessions.append(session)
            sent = client.recv(65536)
            while sent and not sent.startswith(b"X"):  # an end that stays between client and us
                is_idle = self._relay(client, session, sent)
                if is_idle:
                    self._free.append(session)
                sent = client.recv(65536)
                if is_idle and sent:
                    session = self._free.pop()

    def _relay(self, client: socket.socket, session: socket.socket, sent: bytes) -> bool:
        """Both ways until the server is ready again; whether no transaction is open."""
        session.sendall(sent)
        answered = b""
        while True:
            for ready in select.select([client, session], [], [])[0]:
                received = ready.recv(65536)
                if not received:
                    raise OSError
                if ready is client:
                    session.sendall(received)
                    continue
                answered += received
                while len(answered) >= 5 and len(answered) > (end := _length(answered)):
                    message, answered = answered[: end + 1], answered[end + 1 :]
                    if message.startswith(b"K"):  # the key for cancelling is the pooler's own
                        message = message[:5] + b"\0\0\0\1" + message[9:]
                    client.sendall(message)
                    if message.startswith(b"Z"):
                        return message.endswith(b"I")


def _length(message: bytes) -> int:
    """Of a message without its first byte."""
    return int(struct.unpack(">i", message[1:5])[0])
