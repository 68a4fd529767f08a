"""`GET /health` and `GET /metrics` of one process, served by a thread that outlives nothing."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from springtide.contracts.errors import ExitCode, StackError


class Health:
    """What a process says of itself; set from any thread."""

    def __init__(self, process: str) -> None:
        self.process = process
        self._lock = threading.Lock()
        self._ready = False
        self._status = "starting"
        self._details: dict[str, Any] = {}

    def update(self, *, ready: bool | None = None, status: str | None = None, **details: Any) -> None:
        """Change readiness, the one line of progress, or any detail."""
        with self._lock:
            self._ready = self._ready if ready is None else ready
            self._status = self._status if status is None else status
            self._details.update(details)

    def snapshot(self) -> dict[str, Any]:
        """Give everything as JSON-able values."""
        with self._lock:
            return {"process": self.process, "ready": self._ready, "status": self._status, **self._details}


def serve_health(health: Health, host: str, port: int) -> tuple[ThreadingHTTPServer, int]:
    """Serve /health (200 when ready, else 503) and /metrics in a daemon thread; returns server and port.

    Raises:
        StackError: the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/metrics"):
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif self.path.startswith("/health"):
                state = health.snapshot()
                body = json.dumps(state, default=str).encode()
                self._answer(200 if state["ready"] else 503, "application/json", body)
            else:
                self._answer(404, "text/plain", b"expected /health or /metrics\n")

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked has gone
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name is inherited
            """Requests are not logged."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        message = f"process.health_port: expected a free port, got {host}:{port} ({error}); choose another"
        raise StackError(message, ExitCode.PORT_TAKEN) from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server, int(server.server_address[1])
