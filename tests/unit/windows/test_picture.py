"""The picture is sound XML, both light and dark, and its marks stand where the windows are."""

from __future__ import annotations

from xml.etree import ElementTree

from springtide.windows.picture import draw_curves
from springtide.windows.proposal import propose
from tests.unit.windows.test_delay_curves import make_events, match

SVG = "{http://www.w3.org/2000/svg}"


def test_every_window_is_marked_on_its_curve() -> None:
    proposals = propose(match(make_events(4, 900, until_days=4)).tables, catch=0.95, early=0.5)
    text = draw_curves({**proposals, "cart": None}, title="How long <labels> take", note="a note")
    tree = ElementTree.fromstring(text)
    curves = {
        group.get("class"): group for group in tree.findall(f"{SVG}g") if group.find(f"{SVG}polyline") is not None
    }
    assert set(curves) == {"click", "purchase"}
    ring, disc = curves["purchase"].findall(f"{SVG}circle")
    assert (ring.get("class"), disc.get("class")) == ("early", "late")
    assert float(ring.get("cx", "")) < float(disc.get("cx", ""))
    assert float(ring.get("cy", "")) > float(disc.get("cy", ""))  # a later window catches more: higher up
    assert "prefers-color-scheme: dark" in text
    said = "".join(tree.itertext())
    assert "too few labels to say" in said
    assert "How long <labels> take" in said
