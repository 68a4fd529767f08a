"""HTTP: the page, one stream of server-sent events, a snapshot, and controls behind a token."""

import asyncio
import hmac
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles

from monitoring.board import Board
from springtide.contracts.codec import command_decoder, encode

STATIC: Final = Path(__file__).parent / "static"
_PING_S: Final = 10.0

Send = Callable[[bytes], None]


def make_app(board: Board, token: str, send: Send, every_s: float, closing: threading.Event) -> FastAPI:
    """Make the application.

    Args:
        board: what is shown.
        token: what a control command must carry in the header `X-Token`.
        send: puts an encoded command on topic `control`.
        every_s: wall seconds between two messages of the stream.
        closing: set when the server stops, so that open streams end.
    """
    app = FastAPI(title="Springtide", docs_url=None, redoc_url=None)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/api/snapshot")
    async def snapshot() -> Response:
        """Everything that the page shows, once."""
        return Response(encode(board.message(0)[1]), media_type="application/json")

    @app.get("/api/stream")
    async def stream(request: Request, last_event_id: Annotated[str, Header()] = "0") -> StreamingResponse:
        """Everything, and then what changes; `Last-Event-ID` resumes."""
        since = int(last_event_id) if last_event_id.isdigit() else 0
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            _events(board, since, every_s, closing), media_type="text/event-stream", headers=headers
        )

    @app.post("/api/control", status_code=202)
    async def control(request: Request, x_token: Annotated[str, Header()] = "") -> dict[str, str]:
        """Send a command of springtide.contracts.control, such as `{"type": "drift", …}`."""
        if not hmac.compare_digest(x_token.encode(), token.encode()):
            raise HTTPException(403, "X-Token: expected the token printed at start, got another; use that one")
        command_id = uuid.uuid4().hex
        send(encode(read_command(await request.body(), command_id)))
        return {"command_id": command_id}

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


def read_command(body: bytes, command_id: str) -> Any:
    """Complete and check a command.

    Raises:
        HTTPException: 422, naming the field.
    """
    try:
        given = msgspec.json.decode(body, type=dict[str, Any])
        given.update(command_id=command_id, issued_ms=time.time_ns() // 1_000_000)
        return command_decoder.decode(msgspec.json.encode(given))
    except msgspec.DecodeError as error:
        raise HTTPException(
            422, f"control: expected a command, got {body[:120]!r} ({error}); mend the field"
        ) from error


async def _events(board: Board, since: int, every_s: float, closing: threading.Event) -> AsyncIterator[bytes]:
    sent_at = 0.0
    first = True
    while not closing.is_set():
        sequence, message = board.message(since)
        if first or sequence != since:
            yield b"id: %d\ndata: %s\n\n" % (sequence, encode(message))
            since, sent_at, first = sequence, time.monotonic(), False
        elif time.monotonic() - sent_at > _PING_S:
            yield b": ping\n\n"
            sent_at = time.monotonic()
        await asyncio.sleep(every_s)
