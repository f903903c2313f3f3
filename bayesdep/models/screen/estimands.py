"""The accuracy of a test: from draws of sensitivity and specificity, exactly, and by counting."""

import numpy as np
import xarray as xr

from bayesdep.models.model import ExactPosterior, estimand
from bayesdep.models.screen.settings import ScreenSettings
from bayesdep.numerics.betas import BetaMarginal, difference, odds_ratio, ratio
from bayesdep.numerics.marginals import Marginal


def accuracy(posterior: xr.Dataset) -> xr.Dataset:
    """Derive the accuracy measures from draws.

    Parameters
    ----------
    posterior
        Draws of ``sensitivity`` and ``specificity``.

    Returns
    -------
    xarray.Dataset
        As :meth:`bayesdep.models.screen.model.Screen.estimands` returns it.
    """
    u, v = posterior["sensitivity"], posterior["specificity"]
    return xr.Dataset(
        {
            "sensitivity": estimand(u, "probability of a positive test with the condition", "probability", null=0.5),
            "specificity": estimand(v, "probability of a negative test without it", "probability", null=0.5),
            "likelihood_ratio_positive": estimand(
                u / (1 - v), "odds of the condition multiplied by a positive test", "ratio", null=1.0
            ),
            "likelihood_ratio_negative": estimand(
                (1 - u) / v, "odds of the condition multiplied by a negative test", "ratio", null=1.0
            ),
            "diagnostic_odds_ratio": estimand(
                u * v / ((1 - u) * (1 - v)), "odds ratio of a positive test", "odds ratio", null=1.0
            ),
            "youden": estimand(u + v - 1, "Youden index: sensitivity + specificity - 1", "probability"),
        }
    )


def exact_accuracy(settings: ScreenSettings, data: xr.Dataset) -> ExactPosterior:
    """Return the posterior of the accuracy measures: Betas, and one-dimensional integrals over them.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    ExactPosterior
        With a marginal for every estimand.
    """
    (hits, false_alarms), (n1, n0) = data["positives"].values, data["n"].values
    u_prior, v_prior = settings.priors["sensitivity"], settings.priors["specificity"]
    hits, false_alarms, n1, n0 = int(hits), int(false_alarms), int(n1), int(n0)
    sensitivity = BetaMarginal(u_prior["alpha"] + hits, u_prior["beta"] + n1 - hits, (hits, n1))
    negative = n0 - false_alarms
    specificity = BetaMarginal(v_prior["alpha"] + negative, v_prior["beta"] + false_alarms, (negative, n0))
    miss, alarm = sensitivity.complement, specificity.complement
    marginals: dict[str, Marginal] = {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "likelihood_ratio_positive": ratio(sensitivity, alarm),
        "likelihood_ratio_negative": ratio(miss, specificity),
        "diagnostic_odds_ratio": odds_ratio(sensitivity, alarm),
        "youden": difference(sensitivity, alarm),
    }

    def draw(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {
            "sensitivity": rng.beta(sensitivity.a, sensitivity.b, size),
            "specificity": rng.beta(specificity.a, specificity.b, size),
        }

    return ExactPosterior({(name, ()): marginal for name, marginal in marginals.items()}, draw)


def crude_accuracy(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return sensitivity, specificity and Youden's index as counted, without standard errors.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        The three numbers; and NaN, because a normal interval so near 1 would leave the scale.
    """
    hit, alarm = (data["positives"] / data["n"]).values
    return np.array([hit, 1 - alarm, hit - alarm]), np.full(3, np.nan)
