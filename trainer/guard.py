"""Whether a model may be published, by rows that it scored before it learned them. Pure."""

import math
from collections.abc import Mapping

from springtide.quality.task_quality import QualityReport
from trainer.config import TrainerConfig


def refusal(
    reports: Mapping[str, QualityReport],
    arrived: Mapping[str, float],
    config: TrainerConfig,
    *,
    probabilities: bool = True,
) -> str:
    """Return why the model must not be served, or an empty text.

    Args:
        reports: per task, of recent rows. Provisional negatives among them count for what they are:
        arrived: per task the share of labels that has come at the rows' age, by which calibration is corrected.
        config: the bounds.
        probabilities: whether the scores tell the tasks' probabilities; if not, as with `model.sample_weighting`, they
            are only asked to be finite.
    """
    for task, report in reports.items():
        if report.positives < config.guard_labels:
            continue
        calibration, entropy = report.calibration, report.normalized_entropy
        if calibration is None or entropy is None or not math.isfinite(calibration + entropy):
            return f"{task}: expected finite quality, got calibration {calibration} and entropy {entropy}"
        if not probabilities:
            continue
        corrected = calibration * arrived[task]
        if not 1.0 / config.guard_calibration <= corrected <= config.guard_calibration:
            return f"{task}: expected calibration within a factor {config.guard_calibration}, got {corrected:.3f}"
        if entropy > config.guard_entropy:
            return f"{task}: expected normalised entropy below {config.guard_entropy}, got {entropy:.3f}"
    return ""
