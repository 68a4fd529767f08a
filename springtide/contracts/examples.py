"""One complete example of every message: for documentation, schema snapshots and tests."""

from typing import Any

import msgspec

from springtide.contracts import (
    bundle,
    catalogue,
    control,
    dead_letter,
    events,
    features,
    reports,
    samples,
    scoring,
    truth,
)

_T = 1_700_000_000_000
_CONTEXT = events.Context(device="phone", country="NL")
_SLATE_FEATURES = events.SlateFeatures(
    version=features.FEATURE_SET_VERSION,
    feature_time_ms=_T - 60_000,
    user={"clicks_1d": 2.0, "last_click_ms": float(_T - 90_000)},
    top_categories=["c3"],
    top_category_shares=[1.0],
    recent_items=["i7"],
    recent_behaviours=["cart"],
    item={"clicks_1d": [4.0, 0.0], "price": [19.5, 5.0]},
    item_category=["c3", "c1"],
)
_BASE: dict[str, Any] = {"user_id": "u1", "event_time_ms": _T, "producer": "simulator-0"}

EXAMPLES: dict[str, msgspec.Struct] = {
    "served": events.Served(
        **_BASE, event_id="s1", request_id="r1", experiment="demo", arm="control", model_version="minute-3.7",
        policy="explore", context=_CONTEXT, item_ids=["i7", "i2"], scores={"click": [0.2, 0.1]},
        fused_scores=[0.4, 0.3], propensities=[0.95, 0.95], features=_SLATE_FEATURES,
    ),
    "impression": events.Impression(**_BASE, event_id="e1", request_id="r1", positions=[1, 2]),
    "click": events.Click(**_BASE, event_id="e2", request_id="r1", item_id="i7"),
    "cart": events.Cart(**_BASE, event_id="e3", request_id="r1", item_id="i7"),
    "purchase": events.Purchase(**_BASE, event_id="e4", request_id="r1", item_id="i7", price=19.5, quantity=1),
    "refund": events.Refund(**_BASE, event_id="e5", purchase_id="e4"),
    "tick": events.Tick(event_id="t1", user_id="", event_time_ms=_T, producer="simulator-0", partition=0),
    "catalogue_item": catalogue.CatalogueItem(
        item_id="i7", category="c3", price=19.5, born_ms=_T - 86_400_000, available=True, event_time_ms=_T
    ),
    "sample": samples.Sample(
        row_id="r1:observed", phase="observed", request_id="r1", user_id="u1", experiment="demo", arm="control",
        model_version="minute-3.7", context=_CONTEXT, impression_time_ms=_T, age_ms=3_600_000,
        item_ids=["i7", "i2"], positions=[1, 2], labels={"click": [1, 0], "cart": [0, 0], "purchase": [0, 0]},
        delays_ms={"click": [4_000, -1], "cart": [-1, -1], "purchase": [-1, -1]},
        maturity={"click": "closed", "cart": "observed", "purchase": "observed"}, revenue=[0.0, 0.0],
        scores={"click": [0.2, 0.1]}, propensities=[0.95, 0.95], features=_SLATE_FEATURES,
    ),
    "feature_row": features.FeatureRow(
        entity="user", entity_id="u1", event_time_ms=_T, values={"clicks_1d": 2.0},
        top_categories=["c3"], top_category_shares=[1.0], recent_items=["i7"],
        recent_behaviours=["cart"],
    ),
    "slate_request": scoring.SlateRequest(user_id="u1", event_time_ms=_T, request_id="r1", context=_CONTEXT),
    "slate_response": scoring.SlateResponse(
        request_id="r1", experiment="demo", arm="control", model_version="minute-3.7", policy="explore", fallback="",
        item_ids=["i7"], scores={"click": [0.2]}, propensities=[0.95],
    ),
    "manifest": bundle.Manifest(
        version="minute-3.1", chain="minute", kind="delta", base_version="minute-3.0", parent_version="minute-3.0",
        sequence=1, preset="mmoe-esm2", model_config={"experts": 4}, feature_set_version=1,
        tables={"item": bundle.TableEntry(rows=4096, dim=16)}, offsets={"0": 10}, newest_event_ms=_T, watermark_ms=_T,
        samples_learned=10, metrics={"click/ne": 0.9}, golden_scores={"click": [0.2]},
        files=[bundle.FileEntry(name="dense.safetensors", size=10, sha256="00")],
    ),
    "model_update": bundle.ModelUpdate(
        chain="minute", version="minute-3.1", kind="delta", base_version="minute-3.0", parent_version="minute-3.0",
        sequence=1, path="minute/minute-3.1", manifest_sha256="00", newest_event_ms=_T, watermark_ms=_T,
        samples_learned=10, published_ms=_T,
    ),
    "process_report": reports.ProcessReport(
        process="joiner", instance="joiner-0", sequence=1, wall_time_ms=_T, ready=True, status="joining",
        samples={'springtide_events_total{type="click"}': 2.0},
        marks=[reports.Mark(kind="alarm", text="purchase drifts", event_time_ms=_T, wall_time_ms=_T, task="purchase")],
        swaps=[bundle.ModelSwap(
            arm="control", chain="minute", version="minute-3.1", previous_version="minute-3.0", event_time_ms=_T,
            wall_time_ms=_T, newest_event_ms=_T, load_ms=4.0,
        )],
    ),
    "truth_slate": truth.TruthSlate(
        event_time_ms=_T, request_id="r1", user_id="u1", arm="control", item_ids=["i7"], examine=[0.7],
        probabilities={"click": [0.2], "cart": [0.05], "purchase": [0.02]}, expected_clicks=0.2,
        expected_purchases=0.02, expected_revenue=0.4,
    ),
    "truth_fault": truth.TruthFault(event_time_ms=_T, kind="duplicate", event_id="e2"),
    "truth_scenario": truth.TruthScenario(event_time_ms=_T, kind="drift", task="purchase", factor=0.5),
    "drift": control.Drift(command_id="c1", issued_ms=_T, task="purchase", factor=0.5),
    "fault": control.Fault(command_id="c2", issued_ms=_T, kind="duplicate", rate=0.1, seconds=3600),
    "flash_sale": control.FlashSale(command_id="c3", issued_ms=_T, traffic_factor=3.0, seconds=7200),
    "ramp": control.Ramp(command_id="c4", issued_ms=_T, experiment="demo", enrolled=0.5),
    "lift": control.Lift(command_id="c5", issued_ms=_T, arm="treatment", task="click", factor=1.2),
    "sample_ratio_mismatch": control.SampleRatioMismatch(command_id="c6", issued_ms=_T, arm="treatment", rate=0.1),
    "broker_pause": control.BrokerPause(command_id="c7", issued_ms=_T, seconds=10.0),
    "kill_process": control.KillProcess(command_id="c8", issued_ms=_T, process="joiner"),
    "dead_letter": dead_letter.DeadLetter(
        reason="undecodable", detail="events: …", topic="events", partition=0, offset=3, key=b"u1", value=b"{"
    ),
}  # fmt: skip
"""By the name under which schemas/ keeps its snapshot."""
