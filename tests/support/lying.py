"""A server that answers whatever comes with bytes of a test's own, for ever if that is wanted."""

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread


@contextmanager
def lying(wire: Iterable[bytes], pause: float = 0.0) -> Iterator[str]:
    """The URL of a server that sends each connection the pieces of `wire`, `pause` seconds apart.

    It reads no more than a first packet, and closes when the pieces or the context end.
    """
    over = Event()

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(65536)
            for piece in wire:
                connection.sendall(piece)
                if over.wait(pause):
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
