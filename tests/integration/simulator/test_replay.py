"""A log through a real broker: each row once, labels naming their exposure, ticks beyond the last window."""

from __future__ import annotations

from pathlib import Path

from springtide.contracts.events import Cart, Impression, Purchase, Served, Tick
from springtide.runtime.config import KafkaConfig
from tests.integration.simulator.conftest import Launch, read_events

LOG = """timestamp,user_id,item_id,behaviour
1430623510,1,a,view
1430623535,1,a,cart
1430623536,1,b,wish
1430627000,2,a,view
1430627100,1,a,buy
1430627200,2,c,buy
1430627300,1,a,view
"""


def test_a_log_is_replayed(launch: Launch, kafka_config: KafkaConfig, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(LOG)
    process = launch('simulator.mode="replay"', f"replay.file={tmp_path / 'log.csv'}", 'replay.features_within="0s"')
    assert process.wait(timeout=60) == 0, (tmp_path / "simulator.log").read_text()[-2000:]

    events = [event for _, event in read_events(kafka_config)]
    served = {event.request_id: event for event in events if isinstance(event, Served)}
    assert sorted((event.user_id, event.item_ids[0]) for event in served.values()) == [
        ("1", "a"), ("1", "a"), ("2", "a"),
    ]  # fmt: skip
    assert {event.request_id for event in events if isinstance(event, Impression)} == set(served)
    (cart,) = (event for event in events if isinstance(event, Cart))
    assert served[cart.request_id].event_time_ms == 1_430_623_510_000
    bought = {event.item_id: event for event in events if isinstance(event, Purchase)}
    assert bought["a"].request_id == cart.request_id
    assert bought["c"].request_id == ""  # user 2 never saw it
    last = max(event.event_time_ms for event in events if isinstance(event, Tick))
    assert last > 1_430_627_300_000 + 2 * 3_600_000
