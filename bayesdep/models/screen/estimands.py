"""The accuracy of a test: from draws of sensitivity and specificity, and by counting."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.model import OwnPrior, estimand
from bayesdep.models.screen.settings import ScreenSettings


def estimands(posterior: xr.Dataset) -> xr.Dataset:
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
                u / (1 - v), "positive likelihood ratio of the test", "ratio", null=1.0
            ),
            "likelihood_ratio_negative": estimand(
                (1 - u) / v, "negative likelihood ratio of the test", "ratio", null=1.0
            ),
            "diagnostic_odds_ratio": estimand(
                u * v / ((1 - u) * (1 - v)), "odds ratio of a positive test", "odds ratio", null=1.0
            ),
            "youden": estimand(u + v - 1, "Youden index (sensitivity + specificity - 1)", "probability"),
        }
    )


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


def own_prior(settings: ScreenSettings, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
    """Return the prior of an estimand that is a parameter with a prior of its own, or why there is none, as a clause.

    Parameters
    ----------
    settings
        The model's settings.
    name, at
        The estimand and its coordinates.
    data
        The prepared data.

    Returns
    -------
    OwnPrior or str
        None of them has one.
    """
    del settings, name, at, data
    return "a test that is right by chance is no model without one of these parameters"
