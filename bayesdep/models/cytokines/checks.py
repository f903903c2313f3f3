"""The predictive checks of a panel: of its values, and of the distribution of effects over analytes.

Whether the distribution of effects fits cannot be checked with replicates of the same analytes: their effects are
shrunk towards it. So effects of new analytes are drawn, ``N(mean, sd)`` or Student t, with the errors that crude
estimates have. The test quantities depend on neither the mean of the effects nor the units: the spread of crude
estimates over their errors, and their kurtosis. A kurtosis far above the replicates' says that a few analytes differ
more than the distribution allows; then ``effects = "student"`` or ``"horseshoe"`` may fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from bayesdep.models.cytokines.estimands import crude_log_ratios
from bayesdep.models.cytokines.rough_effects import rough_changes
from bayesdep.models.cytokines.settings import CytokinesSettings
from bayesdep.models.model import Check

_VARIABLE = "log_concentration"
_FEWEST = 8  # analytes below which a kurtosis says nothing
_MOST_HIDDEN = 0.1  # of an analyte's values, where changes are those of detected pairs
_AT_ONCE = 1000  # replicates at once


def checks(settings: CytokinesSettings, data: xr.Dataset) -> Sequence[Check]:
    """Name the test quantities of a panel.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    list of Check
        See :meth:`bayesdep.models.cytokines.model.Cytokines.checks`.
    """
    return [*value_checks(settings, data), *law_checks(settings, data)]


def value_checks(settings: CytokinesSettings, data: xr.Dataset) -> list[Check]:
    """Name the checks of a panel's values; replicates are put below or above the limits of the data.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    list of Check
        Shares below the limit, overall and by group; the largest value, the range of the plates' medians, and the
        spread of people's mean residuals.
    """
    detected = data["kind"].values == 0
    named = [] if settings.substitute is not None else _checks_of_shares(settings, data)
    named.append(Check("largest detected value", _VARIABLE, lambda y: y[..., detected].max(-1), "log"))
    if settings.plate is not None:
        named.append(Check("range of the plates' medians", _VARIABLE, partial(_range_of_plates, data=data), "log"))
    if data.sizes["analyte"] > 1 and settings.subject is not None:
        named.append(Check("sd of people's mean residuals", _VARIABLE, partial(_spread_of_people, data=data), "log"))
    return named


def _checks_of_shares(settings: CytokinesSettings, data: xr.Dataset) -> list[Check]:
    """Shares below the limit, overall and by group, among measurements whose limit is known."""
    lod, kind, group = (data[name].values for name in ("lod", "kind", "group_of"))
    has_limit = np.isfinite(lod)
    if not has_limit.any():
        return []

    def share(y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        # in the data themselves a non-detect stands at its limit
        is_below = (y[..., rows] < lod[rows]) | ((y[..., rows] == lod[rows]) & (kind[rows] == 1))
        return np.asarray(is_below.mean(axis=-1))

    subsets = {"share below the limit": has_limit}
    for g, name in enumerate(data["group"].values if settings.group is not None else []):
        subsets[f"share below the limit, {name}"] = has_limit & (group == g)
    return [
        Check(name, _VARIABLE, partial(share, rows=rows), "probability") for name, rows in subsets.items() if rows.any()
    ]


def _as_recorded(y: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """Replicates as the assay would record them: at the limit where they lie beyond it, as the data are."""
    lowest, highest = np.nan_to_num(data["lod"].values, nan=-np.inf), np.nan_to_num(data["uloq"].values, nan=np.inf)
    return np.clip(y, lowest, highest)


def _range_of_plates(y: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """Range of the plates' medians."""
    plate, recorded = data["plate_of"].values, _as_recorded(y, data)
    medians = [np.median(recorded[..., plate == p], axis=-1) for p in range(data.sizes["plate"])]
    return np.ptp(np.stack(medians), axis=0)


def _spread_of_people(y: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """How much people differ over all analytes: what correlation between analytes adds up to."""
    analyte, subject = data["analyte_of"].values, data["subject_of"].values
    of_analyte, of_subject = (np.bincount(x) for x in (analyte, subject))
    replicates = _as_recorded(y, data).reshape(-1, y.shape[-1])
    spread = np.empty(len(replicates))
    for i, values in enumerate(replicates):
        residual = values - (np.bincount(analyte, values) / of_analyte)[analyte]
        spread[i] = np.std(np.bincount(subject, residual) / np.maximum(of_subject, 1))
    return spread.reshape(y.shape[:-1])


@dataclass(frozen=True)
class _Crude:
    """Crude estimates of one effect by analyte, shapes (analyte,); errors are t with these degrees of freedom."""

    estimate: np.ndarray
    error: np.ndarray
    freedom: float


def law_checks(settings: CytokinesSettings, data: xr.Dataset) -> list[Check]:
    """Name the checks on the distributions of group differences and of changes.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    list of Check
        Spread and kurtosis by comparison and by later time, where at least eight analytes have estimates; none where
        effects are not pooled, where analytes have families of their own, or under the horseshoe, whose scales belong
        to the analytes at hand.
    """
    if not settings.is_pooled or settings.effects == "horseshoe":
        return []
    named: list[Check] = []
    if settings.group is not None and settings.analyte_family is None:
        for name, crude in zip(data["comparison"].values, _of_groups(data), strict=True):
            named += _pair("group", f"log ratios, {name}", crude, without_people=True)
    if settings.time is not None:
        for name, crude in zip(data["later"].values, _of_times(data), strict=True):
            named += _pair("time", f"log changes, {name}", crude, without_people=False)
    return named


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


def _share_without_people(draws: xr.Dataset, analytes: int, rng: np.random.Generator) -> np.ndarray:
    """Standard errors of differences without people's general level, over those with it, shape (draws, analyte)."""
    if "subject_sd" not in draws:
        return np.ones((1, analytes))
    variance = _residual_sds(draws, analytes, rng) ** 2
    if "cell_ratio" in draws:
        variance = variance * (1 + draws["cell_ratio"].values.reshape(-1, 1) ** 2)
    return np.asarray(np.sqrt(variance / (variance + draws["subject_sd"].values.reshape(-1, 1) ** 2)))


def _residual_sds(draws: xr.Dataset, analytes: int, rng: np.random.Generator) -> np.ndarray:
    """Residual sds, shape (draws, analyte): those of the draws, or new ones where draws have their distribution alone.

    Draws from the prior hold what is sampled: mean and spread of the logarithms.
    """
    if "residual_sd" in draws:
        return np.asarray(draws["residual_sd"].transpose("chain", "draw", "analyte").values.reshape(-1, analytes))
    mean, spread = (draws[f"residual_{word}"].values.reshape(-1, 1) for word in ("mean", "spread"))
    return np.asarray(np.exp(mean + spread * rng.standard_normal((len(mean), analytes))))


def _pair(word: str, what: str, crude: _Crude, *, without_people: bool) -> list[Check]:
    """The checks of spread and kurtosis of one effect, of crude estimates beside those of new analytes.

    Crude errors contain people's general level, which moves all analytes alike and does not enter what is compared:
    ``without_people``, replicates have the error that remains without it.
    """
    has_estimate = np.isfinite(crude.estimate) & np.isfinite(crude.error) & (crude.error > 0)
    if has_estimate.sum() < _FEWEST:
        return []
    estimate, error = crude.estimate[has_estimate], crude.error[has_estimate]

    def check(name: str, statistic: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Check:
        def replicated(draws: xr.Dataset, rng: np.random.Generator) -> np.ndarray:
            sd = draws[f"{word}_sd"].values.reshape(-1, 1)
            nu = draws[f"{word}_nu"].values.reshape(-1, 1) if f"{word}_nu" in draws else None
            share = _share_without_people(draws, len(has_estimate), rng) if without_people else np.ones((1, 1))
            share = share[:, has_estimate] if without_people else share
            errors = np.broadcast_to(share * error, (len(sd), len(error)))
            parts = []
            for start in range(0, len(sd), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                size = (len(sd[part]), len(error))
                effect = rng.standard_normal(size) if nu is None else rng.standard_t(np.broadcast_to(nu[part], size))
                parts.append(statistic(sd[part] * effect + errors[part] * rng.standard_t(crude.freedom, size), error))
            return np.concatenate(parts)

        return Check(
            f"{name} of crude {what}",
            _VARIABLE,
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
