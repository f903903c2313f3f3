"""Test quantities for posterior predictive checks of a meta-analysis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import stats

from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.settings import MetaSettings
from bayesdep.models.model import Check

type Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _LogOdds:
    """Crude log odds of replicated counts.

    Parameters
    ----------
    n
        People, by unit, by unit and arm, or by arm.
    arms
        Which arms are compared; None for single arms.
    """

    n: np.ndarray
    arms: Arms | None

    def of_arms(self, events: np.ndarray) -> np.ndarray:
        """Log odds of control and treated along the last axis, or of the single arms."""
        # half an event is added, so that a replicate without events has finite log odds
        odds = np.log((events + 0.5) / (self.n - events + 0.5))
        return odds if self.arms is None or self.n.ndim == 2 else self.arms.pairs(odds)

    def effects(self, events: np.ndarray) -> np.ndarray:
        """Log odds ratios, or log odds of single arms."""
        log_odds = self.of_arms(events)
        return log_odds if self.arms is None else log_odds[..., 1] - log_odds[..., 0]

    def correlation_with_midpoint(self, events: np.ndarray) -> np.ndarray:
        """Correlation, over studies, of the midpoint of both arms' log odds and the effect."""
        return _correlation(self.of_arms(events).mean(axis=-1), self.effects(events))


def checks(settings: MetaSettings, data: xr.Dataset) -> Sequence[Check]:
    """Name the test quantities of a random-effects model.

    Parameters
    ----------
    settings
        The settings.
    data
        As the model prepared it.

    Returns
    -------
    list of Check
        Lowest and highest effect, their skewness, and Cochran's Q (Gaussian) or the spread (binomial).
    """
    many = data.sizes[settings.unit] > 2  # two effects are never skewed, and always correlate by 1 or -1
    if settings.likelihood == "gaussian":
        quantities = _of_effects("effect", lambda y: y, settings.effect_units, skewness=many)
        return [*quantities, Check("Cochran's Q", "effect", _cochran_q(data), "")]
    arms = None if settings.measure == "log-odds" else Arms.of(data)
    log_odds = _LogOdds(data["n"].values, arms)
    quantities = _of_effects("events", log_odds.effects, settings.effect_units, skewness=many)
    if arms is not None and many:
        name = "correlation of midpoint and effect"
        quantities.append(Check(name, "events", log_odds.correlation_with_midpoint, ""))

    def spread(y: np.ndarray) -> np.ndarray:
        return np.asarray(log_odds.effects(y).std(-1, ddof=1))

    return [*quantities, Check("spread of effects (sd)", "events", spread, settings.effect_units)]


def _of_effects(variable: str, effects: Statistic, units: str, *, skewness: bool) -> list[Check]:
    """Extremes, and where asked for skewness, of effects that are computed from a variable."""
    quantities = [
        Check("lowest effect", variable, lambda y: effects(y).min(-1), units),
        Check("highest effect", variable, lambda y: effects(y).max(-1), units),
    ]
    if skewness:
        quantities.append(Check("skewness of effects", variable, lambda y: _skewness(effects(y)), ""))
    return quantities


def _cochran_q(data: xr.Dataset) -> Statistic:
    """Cochran's Q, the weights being the inverse of the sampling covariance."""
    covariance = data["covariance"].values if "covariance" in data else np.diag(data["se"].values ** 2)
    w = np.linalg.inv(covariance)

    def cochran_q(y: np.ndarray) -> np.ndarray:
        residual = y - (y @ w.sum(axis=1) / w.sum())[..., None]
        return np.asarray(((residual @ w) * residual).sum(-1))

    return cochran_q


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlation along the last axis; zero where replicates of small counts happen to be all the same."""
    x, y = (v - v.mean(axis=-1, keepdims=True) for v in (x, y))
    size = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.where(size > 0, (x * y).sum(-1) / np.where(size > 0, size, 1.0), 0.0)


def _skewness(values: np.ndarray) -> np.ndarray:
    """Skewness along the last axis; zero where replicates of small counts happen to be all the same."""
    differ = np.ptp(values, axis=-1, keepdims=True) > 1e-12 * (1 + np.abs(values).max(axis=-1, keepdims=True))
    skewness = stats.skew(np.where(differ, values, np.arange(values.shape[-1])), axis=-1)
    return np.where(differ[..., 0], skewness, 0.0)
