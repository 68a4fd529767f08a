"""Runs the application until the end is asked for; a crash inside Faust becomes an exit code."""

import asyncio
import gc
import logging
from collections.abc import Callable

from springtide.contracts.errors import DeliveryError, ExitCode
from springtide.runtime.shutdown import Shutdown
from streaming.shell.allocator import keep_freed_memory
from streaming.shell.hard_exit import hard_exit
from streaming.shell.status import Status
from streaming.shell.stream_app import StreamApp

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.5
_STOP_S = 15.0
_COLLECT_AFTER = (20_000, 20, 20)
"""New objects before a look for cycles; Python's own 700 makes it look at everything several times a second."""


def run_worker(make: Callable[[], tuple[StreamApp, Status]], shutdown: Shutdown) -> None:
    """Run to the end; `make` is called inside the event loop."""
    # Faust and aiokafka build debug records even when nobody reads them: a tenth of the time.
    logging.disable(logging.DEBUG)
    keep_freed_memory()
    gc.set_threshold(*_COLLECT_AFTER)
    asyncio.run(_main(make, shutdown))


async def _main(make: Callable[[], tuple[StreamApp, Status]], shutdown: Shutdown) -> None:
    app, status = make()
    gc.freeze()  # what libraries brought with them stays for good: no need to look through it again
    starting = asyncio.ensure_future(app.start())
    while not shutdown.requested:
        if starting.done() and starting.exception() is not None:
            hard_exit(ExitCode.BROKER, f"faust: expected to start, got {starting.exception()!r}")
        if app.crashed:
            code = ExitCode.DELIVERY if isinstance(app.crash_reason, DeliveryError) else ExitCode.INTERNAL
            hard_exit(code, f"faust: expected to run, got {app.crash_reason!r}")
        if starting.done():
            status.refresh()
            status.check_commits()
        await asyncio.sleep(_LOOK_EVERY_S)
    _log.info("stopping")
    try:
        await asyncio.wait_for(app.stop(), _STOP_S)
    except TimeoutError:
        hard_exit(ExitCode.OK, f"faust: expected to stop within {_STOP_S} s, did not; everything committed is safe")
