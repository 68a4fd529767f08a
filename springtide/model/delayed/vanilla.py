"""Vanilla: believe every row.

The stream holds p F + p_dp = p positives and 1 - p F negatives, 1 + p_dp rows in all, so the log loss is least at

    p / (1 + p_dp),

too low by a share of about p_dp, little where labels are rare; where F depends on x, the order suffers too. The model
is also late: it first learns a 0 where a 1 follows.
"""

from typing import Final

from springtide.model.delayed.rows import DelayMethod, Lesson, StreamRows, ones


def _teach(rows: StreamRows) -> Lesson:
    return Lesson(rows.labels_BT, ones(rows))


VANILLA: Final = DelayMethod(teach=_teach)
