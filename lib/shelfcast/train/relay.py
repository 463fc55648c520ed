"""What ranks on other hosts tell the launcher while they work: a line of JSON for each connection to its port."""

import hmac
import json
import secrets
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Message = dict[str, Any]

_LONGEST = 1 << 20  # bytes of a message
_PATIENCE = 10.0  # seconds that a rank waits for the launcher


@contextmanager
def listening(bind: str, host: str, heard: Callable[[Message], None]) -> Iterator[Message]:
    """Hand every message that :func:`tell` sends to ``heard``, one at a time.

    Args:
        bind: this host's address to listen on.
        host: what other hosts call it.

    Yields:
        the address that :func:`tell` takes.
    """
    token, turn = secrets.token_hex(16), threading.Lock()

    class Handler(socketserver.StreamRequestHandler):
        timeout = _PATIENCE

        def handle(self) -> None:
            try:
                message = json.loads(self.rfile.readline(_LONGEST))
            except (OSError, ValueError):
                return  # somebody else's
            given = str(message.pop("token", "")) if isinstance(message, dict) else ""
            if hmac.compare_digest(given.encode(), token.encode()):
                with turn:
                    heard(message)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server((bind, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        try:
            yield {"host": host, "port": server.server_address[1], "token": token}
        finally:
            server.shutdown()


def tell(address: Message, message: Message) -> None:
    """Send a message; where the launcher cannot be reached, it stands in this process's output."""
    try:
        with socket.create_connection((address["host"], address["port"]), timeout=_PATIENCE) as connection:
            connection.sendall(json.dumps({**message, "token": address["token"]}).encode() + b"\n")
            connection.recv(1)  # closed when it was heard: messages of one rank keep their order
    except OSError as problem:
        sys.stdout.write(f"{json.dumps(message)} (the launcher was not reached: {problem})\n")
