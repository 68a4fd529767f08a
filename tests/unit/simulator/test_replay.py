"""Replay without a broker: the mapping's problems, reading, and what rows become."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from simulator.replay.features import NewestFeatures
from simulator.replay.log import read_log
from simulator.replay.mapping import read_mapping
from simulator.replay.telling import LogTeller
from springtide.contracts.errors import ConfigError, ContractError
from springtide.contracts.events import Cart, Label, Purchase, Served
from springtide.contracts.features import COUNTS, ITEM_FEATURES, FeatureRow

MAPPINGS = sorted((Path(__file__).parents[3] / "config" / "replay").glob("*.toml"))
RETAILROCKET = next(path for path in MAPPINGS if path.stem == "retailrocket")
HEADER = "timestamp,user_id,item_id,behaviour\n"


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda path: path.stem)
def test_shipped_mappings_are_sound(path: Path) -> None:
    assert "exposure" in read_mapping(path).behaviours.values()


def test_every_problem_of_a_mapping_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        """
        time_unit = "weeks"
        colour = "red"
        header = ["a", "b"]
        [columns]
        time = "c"
        size = "a"
        [behaviours]
        cart = ["x"]
        purchase = ["x"]
        smile = "y"
        """
    )
    with pytest.raises(ConfigError) as caught:
        read_mapping(path)
    text = "\n".join(caught.value.problems)
    for part in (
        "'weeks'", "colour", "columns.user", "columns.item", "columns.behaviour", "columns.size", "got 'c'",
        "behaviours.exposure", "behaviours.smile: expected one", "expected a list of words", "'x' twice",
    ):  # fmt: skip
        assert part in text


def test_a_log_is_read_in_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write(HEADER + "20,u,i,buy\n10,u,i,cart\n10,u,i,view\n15,u,i,smile\n")
    log = read_log(path, read_mapping(RETAILROCKET))
    assert [(row.time_ms, row.meaning) for row in log.rows] == [
        (10_000, "exposure"), (10_000, "cart"), (20_000, "purchase"),
    ]  # fmt: skip
    assert dict(log.ignored) == {"smile": 1}


def test_a_missing_column_and_a_bad_row_are_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("time,user_id\n1,2\n")
    with pytest.raises(ConfigError, match="behaviour, item_id, timestamp"):
        read_log(path, read_mapping(RETAILROCKET))
    path.write_text(HEADER + "1,u,i,view\nnoon,u,i,view\n")
    with pytest.raises(ContractError, match=r"log\.csv:3"):
        read_log(path, read_mapping(RETAILROCKET))
    with pytest.raises(ConfigError, match=r"replay\.file"):
        read_log(tmp_path / "none.csv", read_mapping(RETAILROCKET))


def test_labels_name_the_last_exposure(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER + "1,u,i,view\n2,u,i,view\n3,v,i,view\n4,u,i,cart\n5,w,i,buy\n")
    teller = LogTeller(lambda row: None)
    told = [teller.tell(row) for row in read_log(path, read_mapping(RETAILROCKET)).rows]
    events = [event for made, _ in told for event in made]
    labels = [event for event in events if isinstance(event, Label)]
    served = {event.request_id: event for event in events if isinstance(event, Served)}
    assert [type(label) for label in labels] == [Cart, Purchase]
    assert served[labels[0].request_id].event_time_ms == 2000
    assert labels[1].request_id == ""
    assert teller.counts == {"exposures": 3, "labels": 2, "orphans": 1}
    assert [item.item_id for _, item in told if item is not None] == ["i"]


def test_the_newest_features_win_whatever_their_order() -> None:
    newest = NewestFeatures()
    for time_ms, value in ((200, 2.0), (100, 1.0)):
        for entity, name in (("user", "u"), ("item", "i")):
            newest.take(
                FeatureRow(
                    entity=entity, entity_id=name, event_time_ms=time_ms, values={"clicks_1d": value},  # type: ignore[arg-type]
                )
            )  # fmt: skip
    slate = newest.slate("u", "i", "c", 3.0, 50)
    assert slate.user["clicks_1d"] == 2.0
    assert slate.feature_time_ms == 200
    assert slate.item["clicks_1d"] == [2.0]
    assert set(slate.item) == set(ITEM_FEATURES)
    unknown = newest.slate("nobody", "nothing", "c", 0.0, 0)
    assert unknown.user == {}
    assert all(unknown.item[name] == [0.0] for name in COUNTS)
