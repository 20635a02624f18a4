"""A real HTTP server on the loopback that answers what a test tells it, one answer after the other."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One answer. Without a status the connection is closed instead; `delay` seconds go by before it.

    `drip` seconds go by before each of its bytes.
    """

    status: int | None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0


class Scripted:
    """Gives its replies in turn, the last one for ever, and keeps the requests that came."""

    def __init__(self, replies: list[Reply]) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.over = threading.Event()
        self._replies = replies
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def next(self, request: tuple[str, dict[str, str], bytes]) -> Reply:
        with self._lock:
            self.requests.append(request)
            return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                reply = script.next((self.path, dict(self.headers.items()), body))
                script.over.wait(reply.delay)
                self.close_connection = reply.status is None
                if reply.status is not None:
                    self.send_response(reply.status)
                    for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    for start in range(0, len(reply.body), size := 1 if reply.drip else len(reply.body) or 1):
                        script.over.wait(reply.drip)
                        self.wfile.write(reply.body[start : start + size])

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *args: Any) -> None:
                """Nothing: the test's output is not the place."""

        return Handler

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def scripted(*replies: Reply) -> Iterator[Scripted]:
    """The server, running."""
    server = Scripted(list(replies))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
