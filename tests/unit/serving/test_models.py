"""Models from disk to service: lineage, checks, swaps, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.serving_rig import RandomModels
from serving.config import ArmConfig
from serving.models.loaded_model import LoadedModel
from serving.models.swap import ModelSlot
from serving.ranking.candidates import CandidateCounts
from serving.ranking.item_table import ItemTable
from serving.ranking.ranker import Candidates, Ranker
from springtide.contracts.errors import BundleError
from springtide.contracts.events import Context
from springtide.contracts.features import ITEM_FEATURES
from springtide.contracts.scoring import SlateRequest
from springtide.contracts.tasks import TASKS
from springtide.feature_join.online import UserFeatures
from springtide.model.bundle import read_bundle, start_state
from springtide.model.config import ModelConfig
from springtide.model.lineage import lineage, newest_first
from springtide.model.presets import preset

NOW = 1_700_000_000_000
SIZES = ModelConfig(
    embedding_dim=4,
    experts=2,
    expert_units=(6,),
    tower_units=(4,),
    capacities={"user": 60, "item": 400, "category": 32, "device": 8, "country": 8, "position": 64},
)
COUNTS = CandidateCounts(popular=8, category=8, newest=4, random=4)
KNOWN = UserFeatures(
    feature_time_ms=NOW - 1000,
    values={"clicks_1d": 3.0},
    top_categories=["c1"],
    top_category_shares=[1.0],
    recent_items=["i5"],
    recent_behaviours=["cart"],
)


@pytest.fixture
def models(tmp_path: Path) -> RandomModels:
    return RandomModels(tmp_path, config=preset(sizes=SIZES), items=300, users=50)


def slot_of(models: RandomModels, shift: float = 8.0) -> ModelSlot:
    return ModelSlot(models.root, "minute", max_score_shift=shift)


def request(number: int = 0) -> SlateRequest:
    return SlateRequest(
        user_id=f"u{number}", event_time_ms=NOW, request_id=f"r{number}", size=5, context=Context(device="phone")
    )


def ranker(**changes: object) -> Ranker:
    arm = msgspec.convert({"name": "control", "epsilon": 0.0, **changes}, ArmConfig)
    return Ranker(arm=arm, counts=COUNTS, cold_epsilon=0.5)


def test_lineage_lists_the_base_and_what_follows(models: RandomModels) -> None:
    for kind in ("base", "delta", "delta", "base", "delta"):
        models.publish(kind)
    folder = models.root / "minute"
    assert [path.name for path in lineage(folder, "minute-1.2")] == ["minute-1.0", "minute-1.1", "minute-1.2"]
    assert [path.name for path in lineage(folder, "minute-1.2", have="minute-1.1")] == ["minute-1.2"]
    assert [path.name for path in lineage(folder, "minute-2.1", have="minute-1.2")] == ["minute-2.0", "minute-2.1"]
    assert next(iter(newest_first(folder))) == "minute-2.1"
    with pytest.raises(BundleError, match="manifest"):
        lineage(folder, "minute-9.9")


def test_every_announcement_is_served_and_none_twice(models: RandomModels) -> None:
    slot = slot_of(models)
    for kind in ("base", "delta", "delta", "base", "delta"):
        update = models.publish(kind)
        outcome = slot.take(update)
        assert (outcome.version, outcome.refused) == (update.version, "")
        assert outcome.newest_event_ms == update.newest_event_ms
        assert slot.version == update.version
    again = slot.take(update)
    assert (again.version, again.previous_version, again.refused) == (update.version, update.version, "")


def test_a_caught_up_model_equals_the_published_one_bit_for_bit(models: RandomModels) -> None:
    models.publish("base")
    for _ in range(3):
        update = models.publish("delta")
    slot = slot_of(models)
    assert not slot.take(update).refused
    assert slot.current is not None
    for name, vectors in models.tables.items():
        assert torch.equal(slot.current.state.tables[name], vectors)


def test_the_start_takes_the_newest_that_can_be_loaded(models: RandomModels) -> None:
    slot = slot_of(models)
    assert slot.take_newest().version == ""
    models.publish("base")
    good = models.publish("delta").version
    bad = models.publish("delta").version
    (models.root / "minute" / bad / "dense.safetensors").write_bytes(b"torn")
    assert slot.take_newest().version == good


def damage(models: RandomModels, version: str) -> None:
    path = models.root / "minute" / version / "tables.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)


def test_a_refused_bundle_leaves_the_old_and_a_new_base_heals(models: RandomModels) -> None:
    slot = slot_of(models)
    slot.take(models.publish("base"))
    before = slot.current
    update = models.publish("delta")
    damage(models, update.version)
    outcome = slot.take(update)
    assert "sha256" in outcome.refused
    assert outcome.previous_version == "minute-1.0"
    assert slot.current is before
    assert slot.take(models.publish("delta")).refused, "what follows a damaged bundle cannot be built"
    assert not slot.take(models.publish("base")).refused


def test_an_announcement_of_another_content_is_refused(models: RandomModels) -> None:
    update = msgspec.structs.replace(models.publish("base"), manifest_sha256="00" * 32)
    assert MANIFEST_TEXT in slot_of(models).take(update).refused


MANIFEST_TEXT = "manifest.json: expected sha256"


def test_a_model_of_another_world_is_refused(models: RandomModels, table: ItemTable) -> None:
    slot = slot_of(models, shift=0.5)
    slot.take(models.publish("base"))
    ranker().rank([request()], table, {}, slot.current)
    with torch.no_grad():
        for name, parameter in models.network.named_parameters():
            if name.endswith("bias"):
                parameter.add_(5.0)
    outcome = slot.take(models.publish("delta"))
    assert "log odds" in outcome.refused
    assert slot.version == "minute-1.0"


def test_a_step_back_is_taken_however_far_its_scores_are(models: RandomModels, table: ItemTable) -> None:
    slot = slot_of(models, shift=0.5)
    good = models.publish("base")
    with torch.no_grad():
        for name, parameter in models.network.named_parameters():
            if name.endswith("bias"):
                parameter.add_(5.0)
    slot.take(models.publish("delta"))
    ranker().rank([request()], table, {}, slot.current)
    assert "log odds" in slot.take(good).refused
    outcome = slot.take(msgspec.structs.replace(good, rolled_back="click: expected less entropy"))
    assert (outcome.version, outcome.previous_version, outcome.refused) == ("minute-1.0", "minute-1.1", "")
    assert outcome.rolled_back == "click: expected less entropy"
    assert slot.version == "minute-1.0"
    after = slot.take(models.publish("base"))
    assert (after.version, after.rolled_back) == ("minute-2.0", "")


@pytest.mark.parametrize("name", ["mmoe-esm2", "dupn"])
def test_a_batch_scores_like_its_requests_alone(name: str, table: ItemTable, tmp_path: Path) -> None:
    models = RandomModels(tmp_path, config=preset(name, SIZES), items=300, users=50)
    update = models.publish("base")
    model = LoadedModel(start_state(read_bundle(models.root / update.path)))
    requests = [request(number) for number in range(4)]
    users = {"u1": KNOWN, "u3": KNOWN}
    together = ranker().rank(requests, table, users, model)
    for each, slate in zip(requests, together.slates, strict=True):
        (alone,) = ranker().rank([each], table, users, model).slates
        assert alone.item_ids == slate.item_ids
        for task in TASKS:
            assert np.allclose(alone.scores[task], slate.scores[task], atol=1e-6)


class FixedModel:
    """Scores an item by its number: i299 best."""

    version = "fixed-1"

    def score(self, batch: Sequence[Candidates]) -> NDArray[np.float32]:
        numbers = [int(name[1:]) for candidates in batch for name in candidates.item_ids]
        return np.array([[number / 1000] * 3 for number in numbers], np.float32)


def test_a_slate_holds_the_best_with_the_features_that_were_used(table: ItemTable) -> None:
    (slate,) = ranker().rank([request()], table, {"u0": KNOWN}, FixedModel()).slates
    assert slate.item_ids == ["i299", "i298", "i297", "i296", "i295"]
    assert (slate.model_version, slate.policy, slate.fallback) == ("fixed-1", "greedy", "")
    assert slate.scores["click"] == pytest.approx([0.299, 0.298, 0.297, 0.296, 0.295])
    assert slate.fused_scores == pytest.approx([9 * 0.299, 9 * 0.298, 9 * 0.297, 9 * 0.296, 9 * 0.295])
    features = slate.features
    assert features is not None
    assert set(features.item) == set(ITEM_FEATURES)
    assert features.item["clicks_1d"] == [299.0, 298.0, 297.0, 296.0, 295.0]
    assert features.item["price"] == [300.0, 299.0, 298.0, 297.0, 296.0]
    assert features.item_category == ["c4", "c3", "c2", "c1", "c0"]
    assert features.user == KNOWN.values
    assert (features.recent_items, features.recent_behaviours) == (["i5"], ["cart"])
    assert features.feature_time_ms == KNOWN.feature_time_ms


def test_fusion_follows_the_arm(table: ItemTable) -> None:
    weights = {"click": 2.0, "purchase": 1.0}
    (slate,) = ranker(fusion="product", weights=weights).rank([request()], table, {}, FixedModel()).slates
    assert slate.fused_scores[0] == pytest.approx(0.299**3, rel=1e-4)


def test_without_a_model_popular_items_are_explored_widely(table: ItemTable) -> None:
    slates = ranker().rank([request(number) for number in range(200)], table, {}, None).slates
    assert {(slate.fallback, slate.model_version, slate.policy) for slate in slates} == {("no_model", "", "greedy")}
    first = [slate.item_ids[0] for slate in slates]
    assert 80 < first.count("i299") < 130
    assert len(set(first)) > 15


@pytest.mark.parametrize(("ranking", "fallback"), [("popularity", ""), ("random", "")])
def test_baseline_arms_ignore_the_model(table: ItemTable, ranking: str, fallback: str) -> None:
    requests = [request(number) for number in range(100)]
    slates = ranker(ranking=ranking).rank(requests, table, {}, FixedModel()).slates
    assert {(slate.policy, slate.model_version, slate.fallback) for slate in slates} == {(ranking, "", fallback)}
    first = {slate.item_ids[0] for slate in slates}
    assert first == {"i299"} if ranking == "popularity" else len(first) > 60


def test_without_a_model_any_that_can_be_loaded_is_taken(models: RandomModels) -> None:
    models.publish("base")
    update = models.publish("delta")
    damage(models, update.version)
    outcome = slot_of(models).take(update)
    assert (outcome.version, outcome.previous_version, outcome.refused) == ("minute-1.0", "", "")
