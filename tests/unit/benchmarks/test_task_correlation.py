import pytest
import torch

from benchmarks.learning.task_correlation import CORRELATIONS, MODELS, Generator, judge, learn

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_weights_have_unit_length_and_the_asked_cosine(correlation: float) -> None:
    weights_I2 = Generator.make(correlation, 3).weights_I2
    gram_22 = weights_I2.T @ weights_I2
    torch.testing.assert_close(gram_22, torch.tensor([[1.0, correlation], [correlation, 1.0]]), atol=1e-5, rtol=0.0)


def test_equal_tasks_differ_by_noise_alone() -> None:
    _, y_B2 = Generator.make(1.0, 3).draw(20_000)
    assert (y_B2[:, 0] - y_B2[:, 1]).std().item() == pytest.approx(0.1 * 2**0.5, rel=0.05)


def test_the_ordering_is_judged_by_means() -> None:
    final = {(name, p): [1.0, 1.0] for name in MODELS for p in CORRELATIONS}
    assert all(entry["holds"] for entry in judge(final))
    final["mmoe", 0.5] = [1.4, 1.0]
    broken = [entry["bar"] for entry in judge(final) if not entry["holds"]]
    assert broken == [
        "error of mmoe over shared-bottom's at 0.5",
        "error of mmoe over omoe's at 0.5",
        "growth of error from 1 to 0.5, mmoe over omoe",
    ]


def test_a_seed_learns_the_same_alone_and_beside_others() -> None:
    alone, beside = learn("mmoe", 0.9, [4], 8, 2), learn("mmoe", 0.9, [3, 4], 8, 2)
    assert beside[1] == pytest.approx(alone[0], rel=1e-4)
    assert beside[0] != pytest.approx(alone[0], rel=1e-2)
