"""Whether a model may be published, and whether one that was must be taken back. Pure.

By rows that the chain scored before it learned them (`refusal`), and by the last closed window, on which a version is
compared with one that serves or has served (`harm`): docs/decisions/guarded-publish.md.
"""

import math
from collections.abc import Mapping

from springtide.contracts.errors import SpringtideError
from springtide.quality.task_quality import QualityReport
from trainer.config import TrainerConfig

Reports = Mapping[str, QualityReport]
"""By task."""


class HarmfulUpdateError(SpringtideError):
    """A bundle would serve worse than what is served; it is not published."""


def refusal(
    reports: Reports, arrived: Mapping[str, float], config: TrainerConfig, *, probabilities: bool = True
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


def harm(reports: Reports, rivals: Reports, rival: str, config: TrainerConfig) -> str:
    """Return in what a version is worse than a rival on the same rows with closed labels, or an empty text.

    A window on which the rival itself is out of bounds is no yardstick: then its labels are doubtful, or the world
    has changed.

    Args:
        reports: the version's, per task.
        rivals: the rival's, of the same rows.
        rival: its version, for the reason.
        config: the bounds.
    """
    if refusal(rivals, dict.fromkeys(rivals, 1.0), config):
        return ""
    for task, theirs in rivals.items():
        entropy, calibration = theirs.normalized_entropy, theirs.calibration
        if theirs.positives < config.guard_labels or entropy is None or calibration is None:
            continue
        ours, level = reports[task].normalized_entropy, reports[task].calibration
        bound = entropy * (1.0 + config.guard_harm)
        if ours is None or not ours <= bound:
            return (
                f"{task}: expected normalised entropy up to {bound:.3f} on the last closed window, where {rival} has "
                f"{entropy:.3f}, got {_text(ours)}"
            )
        if level is None or not 1.0 / config.guard_calibration <= level <= config.guard_calibration:
            return (
                f"{task}: expected calibration within a factor {config.guard_calibration} on the last closed window, "
                f"where {rival} has {calibration:.3f}, got {_text(level)}"
            )
    return ""


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
