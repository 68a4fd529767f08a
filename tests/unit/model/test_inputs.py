"""Raw features to columns: one code for one slate and for many samples, missing values, and ids to rows."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.contracts.errors import ShapeError
from springtide.contracts.events import Context, SlateFeatures
from springtide.contracts.features import ITEM_FEATURES, USER_FEATURES
from springtide.contracts.samples import Sample
from springtide.model.batch import Batch, make_batch
from springtide.model.config import TABLES
from springtide.model.id_table import IdTable
from springtide.model.inputs import (
    DENSE_FEATURES,
    FEATURES,
    POSITION_DROPOUT,
    RECENT_ITEMS_USED,
    RawColumns,
    columns_from_samples,
    columns_from_slate,
    lookup_all,
    lookup_columns,
    observe_columns,
)
from springtide.model.sequence import BEHAVIOUR, STEP_FEATURES
from springtide.model.targets import CLOSED, OBSERVED, OPEN, targets_from_samples

NOW = 1_700_000_000_000
MakeSample = Callable[..., Sample]


def column(columns: RawColumns, name: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    values: np.ndarray[tuple[int], np.dtype[np.float32]] = columns.dense_NF[:, DENSE_FEATURES.index(name)]
    return values


def slate(features: SlateFeatures | None, items: list[str]) -> RawColumns:
    return columns_from_slate(features, items, "u1", Context(device="phone"), NOW)


def test_serving_and_training_make_the_same_columns(make_sample: MakeSample) -> None:
    samples = [make_sample(seed, items=seed + 1, known=seed != 2) for seed in range(4)]
    together = columns_from_samples(samples)
    start = 0
    for sample in samples:
        alone = columns_from_slate(
            sample.features, sample.item_ids, sample.user_id, sample.context, sample.impression_time_ms
        )
        end = start + len(alone)
        np.testing.assert_array_equal(together.dense_NF[start:end], alone.dense_NF)
        assert together.ids["item_id"][start:end] == alone.ids["item_id"]
        start = end
    assert start == len(together)


def test_unknown_features_are_zero_but_for_the_hour() -> None:
    columns = slate(None, ["i1", "i2"])
    known = [name for index, name in enumerate(DENSE_FEATURES) if (columns.dense_NF[:, index] != 0).any()]
    assert set(known) <= {"hour_sin", "hour_cos"}
    assert columns.ids["category"] == ["", ""]
    assert columns.ids["history"] == []


def test_values_that_matter() -> None:
    day = 86_400_000
    features = SlateFeatures(
        version=1,
        feature_time_ms=NOW,
        user={"mean_clicked_price_7d": 10.0, "last_click_ms": float(NOW)},
        top_categories=["c1"],
        top_category_shares=[0.7],
        recent_items=["i1"],
        item={
            "clicks_1d": [50.0, 0.0],
            "impressions_1d": [100.0, 100.0],
            "price": [20.0, 0.0],
            "born_ms": [float(NOW - day), 0.0],
        },
        item_category=["c1", "c2"],
    )
    columns = slate(features, ["i1", "i2"])
    assert column(columns, "category_share").tolist() == pytest.approx([0.7, 0.0])
    assert column(columns, "seen_recently").tolist() == [1.0, 0.0]
    assert column(columns, "log_price_ratio")[0] > 0
    assert column(columns, "log_price_ratio")[1] == 0
    assert column(columns, "price_known").tolist() == [1.0, 0.0]
    assert column(columns, "age_known").tolist() == [1.0, 0.0]
    assert column(columns, "click_recency").tolist() == [1.0, 1.0]
    rate = column(columns, "item_clicks_per_impressions_1d")
    assert rate[0] > 0 > rate[1]
    assert column(columns, "item_log_clicks_1d")[0] > column(columns, "item_log_clicks_1d")[1] == 0


@given(st.lists(st.floats(0, 1e15), min_size=len(ITEM_FEATURES) + len(USER_FEATURES)))
def test_any_counts_give_finite_columns_of_about_unit_scale(values: list[float]) -> None:
    features = SlateFeatures(
        version=1,
        feature_time_ms=NOW,
        user=dict(zip(USER_FEATURES, values, strict=False)),
        item={name: [value] for name, value in zip(ITEM_FEATURES, reversed(values), strict=False)},
    )
    dense = slate(features, ["i1"]).dense_NF
    assert np.isfinite(dense).all()
    assert np.abs(dense).max() < 50


def test_history_keeps_the_newest() -> None:
    recent = [f"i{number}" for number in range(20)]
    columns = slate(SlateFeatures(version=1, feature_time_ms=NOW, recent_items=recent), ["i1"])
    assert columns.ids["history"] == recent[-RECENT_ITEMS_USED:]


@pytest.mark.parametrize("told", [True, False])
def test_behaviours_go_with_the_history_and_old_samples_tell_none(told: bool) -> None:
    recent = [f"i{number}" for number in range(20)]
    done = ["click", "cart", "purchase", "", "wish"] * 4  # a later release may know of more
    features = SlateFeatures(
        version=1, feature_time_ms=NOW, recent_items=recent, recent_behaviours=done if told else []
    )
    columns = slate(features, ["i1"])
    assert columns.behaviours.tolist() == ([2, 3, 4, 1, 1] * 2 if told else [1] * RECENT_ITEMS_USED)
    short = msgspec.structs.replace(features, recent_behaviours=["click"])
    with pytest.raises(ShapeError, match=r"recent_behaviours: expected 20 entries, got 1"):
        slate(short, ["i1"])


def test_a_batch_tells_a_history_step_by_step(make_sample: MakeSample) -> None:
    samples = [make_sample(seed, items=1 + seed) for seed in range(4)]
    columns = columns_from_samples(samples)
    tables = {table: IdTable(capacity=50, admission_count=1, expiry_ms=1) for table in TABLES}
    batch = make_batch(columns, observe_columns(columns, tables), size=20, steps=True)
    assert batch.sparse.keys() == [*Batch.empty(1, steps=True).sparse.keys()]
    row = 0
    for sample in samples:
        assert sample.features is not None
        rows = tables["item"].lookup(sample.features.recent_items[-RECENT_ITEMS_USED:]).tolist()
        for _ in sample.item_ids:
            steps = [batch.sparse[name].to_dense()[row].tolist() for name in STEP_FEATURES]
            assert steps == [[value] for value in rows] + [[]] * (RECENT_ITEMS_USED - len(rows))
            assert batch.sparse[BEHAVIOUR].to_dense()[row].tolist() == [1] * len(rows)
            row += 1
    assert all(not len(batch.sparse[name].to_dense()[19]) for name in STEP_FEATURES)


@pytest.mark.parametrize("change", [{"item": {"price": [1.0]}}, {"item_category": ["c1"]}])
def test_columns_of_another_length_are_refused(change: dict[str, object]) -> None:
    features = msgspec.structs.replace(SlateFeatures(version=1, feature_time_ms=NOW), **change)
    with pytest.raises(ShapeError, match="expected 2 entries"):
        slate(features, ["i1", "i2"])


def test_a_batch_holds_each_rows_own_bags(make_sample: MakeSample) -> None:
    samples = [make_sample(seed, items=2 + seed) for seed in range(3)]
    columns = columns_from_samples(samples)
    tables = {table: IdTable(capacity=50, admission_count=1, expiry_ms=1) for table in TABLES}
    batch = make_batch(columns, observe_columns(columns, tables))
    row = 0
    for sample in samples:
        assert sample.features is not None
        for place, item in enumerate(sample.item_ids):
            raw = {
                "user_id": [sample.user_id],
                "item_id": [item],
                "category": [sample.features.item_category[place]],
                "device": ["phone"],
                "country": ["NL"],
                "history": sample.features.recent_items[-RECENT_ITEMS_USED:],
                "position": [columns.ids["position"][row]],
            }
            for feature in FEATURES:
                found = batch.sparse[feature.name].to_dense()[row].tolist()
                assert found == tables[feature.table].lookup(raw[feature.name]).tolist(), feature.name
            row += 1


def test_only_what_was_shown_counts_towards_admission(make_sample: MakeSample) -> None:
    sample = make_sample(3)
    assert sample.features is not None
    columns = columns_from_samples([sample])
    tables = {table: IdTable(capacity=50, admission_count=1, expiry_ms=1) for table in TABLES}
    before = lookup_columns(columns, tables)
    assert all((rows == 0).all() for rows in before.values())
    observe_columns(columns, tables)
    assert set(tables["item"].id_map().row_of) == set(sample.item_ids)


def test_parts_looked_up_together_have_the_rows_they_have_alone(make_sample: MakeSample) -> None:
    parts = [columns_from_samples([make_sample(seed, items=seed) for seed in seeds]) for seeds in ((1, 2), (), (5,))]
    tables = {table: IdTable(capacity=50, admission_count=1, expiry_ms=1) for table in TABLES}
    for part in parts[:2]:
        observe_columns(part, tables)
    together = lookup_all(parts, tables)
    for part, rows in zip(parts, together, strict=True):
        for feature in FEATURES:
            assert rows[feature.name].tolist() == tables[feature.table].lookup(part.ids[feature.name]).tolist()


def test_one_position_in_ten_is_withheld_and_serving_has_none(make_sample: MakeSample) -> None:
    long = [msgspec.structs.replace(make_sample(seed, items=50), positions=list(range(1, 51))) for seed in range(40)]
    positions = columns_from_samples(long).ids["position"]
    assert positions.count("") == len(positions) / POSITION_DROPOUT
    for place in range(1, 11):  # every place is withheld in some slates and known in others
        withheld = [columns_from_samples([sample]).ids["position"][place - 1] == "" for sample in long]
        assert 0 < sum(withheld) < 20
    assert columns_from_samples(long).ids["position"] == positions
    assert set(slate(None, ["i1", "i2"]).ids["position"]) == {""}


def test_a_corrected_row_withholds_its_position_as_its_slate_did(make_sample: MakeSample) -> None:
    sample = make_sample(5, items=12)
    whole = columns_from_samples([sample]).ids["position"]
    for place in range(12):
        row = msgspec.structs.replace(sample, item_ids=[sample.item_ids[place]], positions=[place + 1], features=None)
        assert columns_from_samples([row]).ids["position"] == [whole[place]]


def test_no_samples_give_no_rows() -> None:
    columns = columns_from_samples([])
    assert columns.dense_NF.shape == (0, len(DENSE_FEATURES))
    tables = {table: IdTable(capacity=5, admission_count=1, expiry_ms=1) for table in TABLES}
    assert len(make_batch(columns, observe_columns(columns, tables))) == 0


def test_targets_mask_what_a_row_does_not_hold(make_sample: MakeSample) -> None:
    observed = msgspec.structs.replace(
        make_sample(1, items=2), maturity={"click": "closed", "cart": "observed", "purchase": "open"}
    )
    corrected = msgspec.structs.replace(
        make_sample(2, items=1), phase="corrected", labels={"purchase": [1]}, maturity={"purchase": "observed"}
    )
    targets = targets_from_samples([observed, corrected])
    assert targets.maturity_NT.tolist() == [[CLOSED, OBSERVED, OPEN]] * 2 + [[OPEN, OPEN, OBSERVED]]
    assert targets.labels_NT[2].tolist() == [0.0, 0.0, 1.0]
