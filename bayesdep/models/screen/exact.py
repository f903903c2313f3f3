"""The exact posterior of a screen: Betas, and one-dimensional integrals over them."""

import numpy as np
import xarray as xr

from bayesdep.models.model import ExactPosterior
from bayesdep.models.screen.settings import ScreenSettings
from bayesdep.numerics.betas import BetaMarginal, difference, odds_ratio, ratio
from bayesdep.numerics.marginals import Marginal


def exact(settings: ScreenSettings, data: xr.Dataset) -> ExactPosterior:
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
