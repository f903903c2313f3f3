"""Does the law of effects over analytes fit them? Crude estimates, set beside those of new analytes from that law.

Replicates of the same analytes would not tell: their effects are drawn towards the law before anything is replicated.
So effects are drawn anew, ``N(mean, sd)`` or Student t, with the errors that crude estimates have, and what is
compared depends on neither the mean of the effects nor the units: the spread of crude estimates over their errors,
and their kurtosis. Crude errors contain people's general level, which moves all analytes alike and does not enter
what is compared: replicates have the error that remains without it. A kurtosis far above the replicates' says that a
few analytes differ more than the law allows (``effects = "student"``, or ``"horseshoe"``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesdep.models.cytokines.estimands import crude_log_ratios
from bayesdep.models.cytokines.rough_effects import rough_changes
from bayesdep.models.cytokines.terms import is_pooled
from bayesdep.models.model import Check

if TYPE_CHECKING:
    from bayesdep.models.cytokines.model import Cytokines

_FEWEST = 8  # analytes below which a kurtosis says nothing
_MOST_HIDDEN = 0.1  # of an analyte's values, where changes are those of detected pairs
_AT_ONCE = 1000  # replicates at once


@dataclass(frozen=True)
class _Crude:
    """Crude estimates of one effect by analyte, shapes (analyte,); errors are t with these degrees of freedom."""

    estimate: np.ndarray
    error: np.ndarray
    freedom: float


def checks(model: "Cytokines", data: xr.Dataset) -> list[Check]:
    """Name the checks on the law of group differences and of changes.

    Parameters
    ----------
    model
        The model.
    data
        A completed panel.

    Returns
    -------
    list of Check
        Spread and kurtosis by comparison and by later time, of those that at least eight analytes tell of; none where
        effects are not pooled, where analytes have families of their own, or under the horseshoe, whose scales belong
        to the analytes at hand.
    """
    if not is_pooled(model) or model.effects == "horseshoe":
        return []
    found = []
    if model.group is not None and model.analyte_family is None:
        for name, crude in zip(data["comparison"].values, _of_groups(data), strict=True):
            found += _pair("group", f"log ratios, {name}", crude, _apart_from_people)
    if model.time is not None:
        for name, crude in zip(data["later"].values, _of_times(data), strict=True):
            found += _pair("time", f"log changes, {name}", crude, None)
    return found


def _of_groups(data: xr.Dataset) -> list[_Crude]:
    shape = (data.sizes["analyte"], data.sizes["comparison"])
    estimate, error = (x.reshape(shape) for x in crude_log_ratios(data))
    freedom = float(max(data.sizes["subject"] - data.sizes["group"], 3))
    return [_Crude(estimate[:, k], error[:, k], freedom) for k in range(shape[1])]


def _of_times(data: xr.Dataset) -> list[_Crude]:
    estimate, error = rough_changes(data)
    hidden = np.bincount(data["analyte_of"].values, data["kind"].values != 0) / np.bincount(data["analyte_of"].values)
    estimate = np.where((hidden <= _MOST_HIDDEN)[:, None], estimate, np.nan)
    people = [len(set(data["subject_of"].values[data["time_of"].values == t])) for t in range(data.sizes["time"])]
    return [_Crude(estimate[:, k], error[:, k], float(max(people[k + 1] - 1, 3))) for k in range(estimate.shape[1])]


def _apart_from_people(draws: xr.Dataset) -> np.ndarray:
    """By how much each analyte's error of a difference is less without people's general level, (draws, analyte)."""
    if "subject_sd" not in draws:
        return np.ones((1, 1))
    residual = draws["residual_sd"].transpose("chain", "draw", "analyte").values
    variance = residual.reshape(-1, residual.shape[-1]) ** 2
    if "cell_ratio" in draws:
        variance = variance * (1 + draws["cell_ratio"].values.reshape(-1, 1) ** 2)
    return np.asarray(np.sqrt(variance / (variance + draws["subject_sd"].values.reshape(-1, 1) ** 2)))


def _pair(word: str, what: str, crude: _Crude, scale: Callable[[xr.Dataset], np.ndarray] | None) -> list[Check]:
    known = np.isfinite(crude.estimate) & np.isfinite(crude.error) & (crude.error > 0)
    if known.sum() < _FEWEST:
        return []
    estimate, error = crude.estimate[known], crude.error[known]

    def check(name: str, statistic: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Check:
        def replicated(draws: xr.Dataset, rng: np.random.Generator) -> np.ndarray:
            sd = draws[f"{word}_sd"].values.reshape(-1, 1)
            nu = draws[f"{word}_nu"].values.reshape(-1, 1) if f"{word}_nu" in draws else None
            left = np.ones((1, 1)) if scale is None else scale(draws)
            left = np.broadcast_to(left, (len(sd), left.shape[1]))
            errors = np.broadcast_to((left[:, known] if left.shape[1] > 1 else left) * error, (len(sd), len(error)))
            parts = []
            for start in range(0, len(sd), _AT_ONCE):
                of = slice(start, start + _AT_ONCE)
                size = (len(sd[of]), len(error))
                effect = rng.standard_normal(size) if nu is None else rng.standard_t(np.broadcast_to(nu[of], size))
                parts.append(statistic(sd[of] * effect + errors[of] * rng.standard_t(crude.freedom, size), error))
            return np.concatenate(parts)

        return Check(
            f"{name} of crude {what}",
            "log_concentration",
            lambda y: np.full(y.shape[:-1], statistic(estimate, error)),
            "",
            replicated,
        )

    return [check("spread over errors", _spread), check("log kurtosis", _log_kurtosis)]


def _standardised(estimate: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Distances from the mean of all, each in its own error."""
    weight = error**-2.0
    mean = (estimate * weight).sum(axis=-1, keepdims=True) / weight.sum()
    return np.asarray((estimate - mean) / error)


def _spread(estimate: np.ndarray, error: np.ndarray) -> np.ndarray:
    return np.sqrt((_standardised(estimate, error) ** 2).mean(axis=-1))


def _log_kurtosis(estimate: np.ndarray, error: np.ndarray) -> np.ndarray:
    z = _standardised(estimate, error)
    z = z - z.mean(axis=-1, keepdims=True)
    return np.asarray(np.log((z**4).mean(axis=-1)) - 2 * np.log((z**2).mean(axis=-1)))
