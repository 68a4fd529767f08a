from dataclasses import replace

import pytest
import torch

from springtide.model.config import ModelConfig
from springtide.model.dense_features import DENSE_FEATURES
from springtide.model.dense_network import DenseNetwork
from springtide.model.inputs import FEATURES
from springtide.model.presets import names, preset

pytestmark = pytest.mark.unit

SIZES = ModelConfig(embedding_dim=4, expert_units=(8, 4), tower_units=(4,))


@pytest.mark.parametrize("name", names())
def test_bfloat16_changes_little_and_keeps_float32_where_it_counts(name: str) -> None:
    config = preset(name, SIZES)
    exact, rounded = (
        DenseNetwork(replace(config, precision=precision)).eval() for precision in ("float32", "bfloat16")
    )
    rounded.load_state_dict(exact.state_dict())
    random = torch.Generator().manual_seed(5)
    dense_BF = torch.randn(32, len(DENSE_FEATURES), generator=random)
    pooled_BD = torch.randn(32, len(FEATURES) * 4, generator=random)
    user_BU = torch.randn(32, config.sequence_units, generator=random) if config.encoder == "dupn" else None
    logits_BK = rounded.logits(dense_BF, pooled_BD, user_BU)
    assert logits_BK.dtype == torch.float32
    torch.testing.assert_close(logits_BK, exact.logits(dense_BF, pooled_BD, user_BU), atol=0.05, rtol=0.02)
    assert not torch.equal(logits_BK, exact.logits(dense_BF, pooled_BD, user_BU))
    (-rounded.train()(dense_BF, pooled_BD, user_BU).logp_BT.mean() + rounded.extra_loss()).backward()
    assert all(part.grad is None or part.grad.dtype == torch.float32 for part in rounded.parameters())
    assert rounded.out.weight_PIH.grad is not None


def test_a_config_from_before_the_key_multiplies_in_float32() -> None:
    values = ModelConfig().to_dict()
    del values["precision"]
    assert ModelConfig.from_dict(values).precision == "float32"
