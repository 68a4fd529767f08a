"""Raw counts, prices and times to dense model inputs of about unit scale. Missing is 0, with a flag where it matters.

Tensor shapes: N rows, S slates, F dense features.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.features import COUNTS, ITEM_FEATURES, USER_FEATURES, WINDOWS_MS

Floats = NDArray[np.float64]

_RATES: Final = (("clicks", "impressions", 0.1), ("carts", "clicks", 0.1), ("purchases", "clicks", 0.05))
"""Numerator, denominator, prior rate."""
_PRIOR_STRENGTH: Final = 20.0
"""Pseudo-observations of the prior: a rate from little evidence is near 0 here."""
_COUNT_SCALE: Final = 0.3
_DAY_MS: Final = 86_400_000.0


def _names(side: str) -> tuple[str, ...]:
    counts = tuple(f"{side}_log_{name}" for name in COUNTS)
    return counts + tuple(f"{side}_{top}_per_{below}_{window}" for window in WINDOWS_MS for top, below, _ in _RATES)


_USER_NAMES: Final = (
    *_names("user"), "user_known", "click_recency", "click_ever", "hour_sin", "hour_cos", "log_mean_clicked_price",
    "mean_clicked_price_known",
)  # fmt: skip
_ITEM_NAMES: Final = (*_names("item"), "log_price", "price_known", "log_age_days", "age_known")
_PAIR_NAMES: Final = ("log_price_ratio", "category_share", "seen_recently")

DENSE_FEATURES: Final[tuple[str, ...]] = (*_USER_NAMES, *_ITEM_NAMES, *_PAIR_NAMES)
"""Names of the F dense inputs, in column order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawSlates:
    """Raw feature values of S slates with N rows in all; 0 where unknown."""

    user_S: Floats
    """(S, USER_FEATURES)."""
    item_N: Floats
    """(N, ITEM_FEATURES)."""
    slate_N: NDArray[np.int64]
    time_S: NDArray[np.int64]
    user_known_S: Floats
    """1 where a user feature row was known."""
    share_N: Floats
    """The user's click share of the row's category."""
    seen_N: Floats
    """1 where the item is among the user's recent behaviours."""

    @classmethod
    def zeros(cls, slate_N: NDArray[np.int64], time_S: NDArray[np.int64]) -> "RawSlates":
        """Return slates of which nothing is known, to be filled."""
        slates, rows = len(time_S), len(slate_N)
        return cls(
            user_S=np.zeros((slates, len(USER_FEATURES))),
            item_N=np.zeros((rows, len(ITEM_FEATURES))),
            slate_N=slate_N,
            time_S=time_S,
            user_known_S=np.zeros(slates),
            share_N=np.zeros(rows),
            seen_N=np.zeros(rows),
        )


def dense_features(raw: RawSlates) -> NDArray[np.float32]:
    """Return the dense inputs as float32 (N, F)."""
    price_S = raw.user_S[:, USER_FEATURES.index("mean_clicked_price_7d")]
    price_N = raw.item_N[:, ITEM_FEATURES.index("price")]
    user_SF = np.concatenate([_counts_and_rates(raw.user_S), _user_rest(raw, price_S)], axis=1)
    item_NF = np.concatenate([_counts_and_rates(raw.item_N), _item_rest(raw, price_N)], axis=1)
    both = (price_N > 0) & (price_S > 0)[raw.slate_N]
    ratio = np.where(both, _log_price(price_N) - _log_price(price_S)[raw.slate_N], 0.0)
    dense = np.empty((len(raw.slate_N), len(DENSE_FEATURES)), np.float32)
    users, items = user_SF.shape[1], item_NF.shape[1]
    dense[:, :users] = user_SF.astype(np.float32)[raw.slate_N]
    dense[:, users : users + items] = item_NF
    dense[:, -3], dense[:, -2], dense[:, -1] = np.clip(ratio, -3, 3), raw.share_N, raw.seen_N
    return dense


def _counts_and_rates(values: Floats) -> Floats:
    """Return log counts, then log smoothed rates relative to their prior; counts come first on both sides."""
    counts = np.maximum(values[:, : len(COUNTS)], 0.0)
    out = np.empty((len(values), len(COUNTS) + len(WINDOWS_MS) * len(_RATES)))
    np.log1p(counts, out=out[:, : len(COUNTS)])
    out[:, : len(COUNTS)] *= _COUNT_SCALE
    tops = counts[:, _TOPS] + _PRIOR_STRENGTH * _PRIORS
    out[:, len(COUNTS) :] = np.log(tops / ((counts[:, _BELOWS] + _PRIOR_STRENGTH) * _PRIORS))
    return out


_TOPS: Final = [COUNTS.index(f"{top}_{window}") for window in WINDOWS_MS for top, _, _ in _RATES]
_BELOWS: Final = [COUNTS.index(f"{below}_{window}") for window in WINDOWS_MS for _, below, _ in _RATES]
_PRIORS: Final = np.array([prior for _ in WINDOWS_MS for _, _, prior in _RATES])


def _user_rest(raw: RawSlates, price_S: Floats) -> Floats:
    last_click = raw.user_S[:, USER_FEATURES.index("last_click_ms")]
    ever = last_click > 0
    hours = np.maximum(raw.time_S - last_click, 0.0) / 3_600_000.0
    recency = np.where(ever, 1.0 - np.log1p(hours) * _COUNT_SCALE, 0.0)
    angle = (raw.time_S % _DAY_MS) * (2.0 * np.pi / _DAY_MS)
    columns = (raw.user_known_S, recency, ever, np.sin(angle), np.cos(angle), _log_price(price_S), price_S > 0)
    return np.stack(columns, axis=1, dtype=np.float64, casting="unsafe")


def _item_rest(raw: RawSlates, price_N: Floats) -> Floats:
    born = raw.item_N[:, ITEM_FEATURES.index("born_ms")]
    days = np.maximum(raw.time_S[raw.slate_N] - born, 0.0) / _DAY_MS
    age = np.where(born > 0, np.log1p(days) * _COUNT_SCALE, 0.0)
    return np.stack((_log_price(price_N), price_N > 0, age, born > 0), axis=1, dtype=np.float64, casting="unsafe")


def _log_price(price: Floats) -> Floats:
    return np.log1p(np.maximum(price, 0.0)) * _COUNT_SCALE
