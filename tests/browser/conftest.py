"""A board with a small synthetic story, the real page over it, and a real Chromium."""

import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from monitoring.app import make_app
from monitoring.board import Board
from monitoring.config import MonitoringConfig
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import build_sections, read_profile
from tests.builders.page_story import Story

TOKEN = "open-sesame"


@dataclass
class Page:
    """The page's address, the story behind it, and the commands it sent."""

    url: str
    story: Story
    sent: list[bytes] = field(default_factory=list)

    def restart(self) -> None:
        """End the server and start it again on the same port, with nothing but an empty board."""
        self.stop()
        self.story.board = self._new_board()
        self.start()

    def start(self) -> None:
        self._closing = threading.Event()
        app = make_app(self.story.board, TOKEN, self.sent.append, 0.1, self._closing)
        port = int(self.url.rpartition(":")[2])
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            self._thread.join(timeout=0.02)

    def stop(self) -> None:
        self._closing.set()
        self._server.should_exit = True
        self._thread.join(timeout=10)

    @staticmethod
    def _new_board() -> Board:
        values = read_profile_path()
        labels = build_sections(values, {"labels": LabelsConfig})["labels"]
        return Board(MonitoringConfig(), labels)


def read_profile_path() -> dict[str, dict[str, object]]:
    from pathlib import Path

    return read_profile(Path("config/base.toml"))


@pytest.fixture
def page() -> Iterator[Page]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = Page(f"http://127.0.0.1:{port}", Story(Page._new_board()))
    running.story.advance(hours=30)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "browser tier: expected chromium on the PATH, got none; `make chromium` installs it"
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*flags, "--disable-sync", "--disable-quic"])
        yield chromium
        chromium.close()
