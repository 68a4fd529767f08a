"""The page in a real browser: values move, controls work, it reconnects, both themes, no foreign request."""

import json

import msgspec
import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab

from springtide.contracts.codec import command_decoder
from springtide.contracts.control import Drift
from tests.browser.conftest import TOKEN, Page


@pytest.fixture
def tab(browser: Browser, page: Page) -> Tab:
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    opened.foreign = []  # type: ignore[attr-defined]
    opened.on("request", lambda request: _note(opened, page, request.url))
    opened.goto(f"{page.url}/?token={TOKEN}")
    wait_for_sequence(opened, 1)
    return opened


def _note(tab: Tab, page: Page, url: str) -> None:
    if not url.startswith((page.url, "data:")):
        tab.foreign.append(url)  # type: ignore[attr-defined]


def wait_for_sequence(tab: Tab, least: int) -> None:
    tab.wait_for_function(f"Number(document.body.dataset.seq) >= {least}")


def last(tab: Tab, chart: str) -> list[float | None]:
    values: list[float | None] = json.loads(tab.locator(f"[data-chart={chart}]").get_attribute("data-last") or "[]")
    return values


def test_values_move_and_marks_appear(tab: Tab, page: Page) -> None:
    clock = tab.get_by_test_id("clock").inner_text()
    clicks = last(tab, "learning")
    assert clicks[0] is not None
    page.story.advance(hours=3)
    wait_for_sequence(tab, 33)
    assert tab.get_by_test_id("clock").inner_text() != clock
    assert last(tab, "learning") != clicks
    assert last(tab, "watermark")[0] == pytest.approx(600 / 3600, rel=1e-3)
    expect(tab.get_by_test_id("marks")).to_contain_text("drift purchase")
    expect(tab.get_by_test_id("swaps")).to_have_text("33")
    expect(tab.get_by_test_id("residual-click")).to_have_text("0")


def test_every_chart_draws_and_nothing_is_fetched_from_elsewhere(tab: Tab) -> None:
    assert tab.locator("[data-chart] canvas").count() == tab.locator("[data-chart]").count()
    assert tab.foreign == []  # type: ignore[attr-defined]


def test_three_kinds_of_estimate_are_told_apart_per_segment_and_version(tab: Tab) -> None:
    looks = {}
    for state in ("matured", "corrected", "estimated"):
        for name in ("", "-phone", "-desktop", "-minute-1"):
            expect(tab.get_by_test_id(f"state-purchase-{state}{name}")).to_be_visible()
        cell = tab.get_by_test_id(f"state-purchase-{state}").locator("td").first
        looks[state] = cell.evaluate("cell => getComputedStyle(cell).borderLeftStyle")
    assert looks == {"matured": "solid", "corrected": "dashed", "estimated": "dotted"}
    expect(tab.get_by_test_id("state-purchase-estimated").locator("td").last).to_have_text("–")  # 1 by assumption
    expect(tab.get_by_test_id("state-purchase-corrected").locator("td").last).to_contain_text("…")
    expect(tab.get_by_test_id("state-click-corrected")).to_have_count(0)  # its window closes before it is looked at
    expect(tab.get_by_test_id("forgetting")).to_have_text(
        "what the daily model has kept of 2026-03-02: click NE 0.8 then, 0.85 now"
    )


def test_a_table_that_a_reader_closed_stays_closed(tab: Tab, page: Page) -> None:
    tab.locator("details[data-task=purchase] summary").click()
    before = int(tab.locator("body").get_attribute("data-seq") or 0)
    page.story.advance(hours=1)
    wait_for_sequence(tab, before + 1)
    expect(tab.get_by_test_id("state-purchase-matured")).to_be_hidden()


def test_controls_send_commands_with_the_token_and_are_refused_without(tab: Tab, page: Page) -> None:
    tab.locator("[data-command=drift]").click()
    expect(tab.get_by_test_id("control-answer")).to_have_text("drift sent")
    command = command_decoder.decode(page.sent[-1])
    assert isinstance(command, Drift)
    assert (command.task, command.factor) == ("purchase", 0.5)
    tab.locator("#token").fill("wrong")
    tab.locator("[data-command=drift]").click()
    expect(tab.get_by_test_id("control-answer")).to_contain_text("expected the token")
    assert len(page.sent) == 1


@pytest.mark.parametrize(
    "button", ["drift", "fault", "ramp", "lift", "sample_ratio_mismatch", "broker_pause", "flash_sale"]
)
def test_every_button_sends_a_command_that_decodes(tab: Tab, page: Page, button: str) -> None:
    tab.locator(f"[data-command={button}]").click()
    expect(tab.get_by_test_id("control-answer")).to_contain_text("sent")
    assert isinstance(command_decoder.decode(page.sent[-1]), msgspec.Struct)


def test_it_reconnects_after_the_server_was_started_again(tab: Tab, page: Page) -> None:
    page.restart()
    page.story.advance(hours=40)
    tab.wait_for_function("document.body.dataset.connection === 'open' && Number(document.body.dataset.seq) >= 40")
    expect(tab.get_by_test_id("age")).to_have_text("live")


def test_themes_and_truth_toggle_keep_to_the_url(tab: Tab) -> None:
    before = tab.evaluate("document.documentElement.dataset.theme")
    tab.locator("#theme").click()
    assert tab.evaluate("document.documentElement.dataset.theme") != before
    assert len(last(tab, "ne")) == 12  # of each task: matured, corrected, estimated and the truth
    tab.locator("#oracle").uncheck()
    assert "oracle=0" in tab.url
    assert len(last(tab, "ne")) == 9


def test_pause_holds_the_values(tab: Tab, page: Page) -> None:
    tab.locator("#pause").click()
    clock = tab.get_by_test_id("clock").inner_text()
    page.story.advance(hours=2)
    expect(tab.get_by_test_id("age")).to_have_text("paused")
    assert tab.get_by_test_id("clock").inner_text() == clock
    tab.locator("#pause").click()
    wait_for_sequence(tab, 32)
    assert tab.get_by_test_id("clock").inner_text() != clock
