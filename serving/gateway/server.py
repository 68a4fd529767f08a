"""Runs the application in a thread, so that the main thread keeps the signals."""

import socket
import threading

import uvicorn
from fastapi import FastAPI

from springtide.contracts.errors import ExitCode, StackError

GRACE_SECONDS = 2
"""Wall time that open connections get at the end."""
STOP_SECONDS = 10
"""Wall time that the end of the server may take, the last exposures included."""


class GatewayServer:
    """One uvicorn with one event loop."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        """Bind.

        Raises:
            StackError: the port is taken.
        """
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            message = f"serving.port: expected a free port, got {host}:{port} ({error}); choose another"
            raise StackError(message, ExitCode.PORT_TAKEN) from error
        self.port = int(self._socket.getsockname()[1])
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=GRACE_SECONDS
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="gateway", daemon=True
        )

    def start(self) -> "GatewayServer":
        """Begin to answer."""
        self._thread.start()
        return self

    @property
    def running(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Finish the requests under way, and end."""
        self._server.should_exit = True
        self._thread.join(timeout=STOP_SECONDS)
