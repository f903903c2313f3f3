"""Test quantities for posterior predictive checks of published results."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.meta import checks as meta_checks
from bayesdep.models.model import Check
from bayesdep.models.small_studies.settings import SmallStudiesSettings


def checks(settings: SmallStudiesSettings, data: xr.Dataset) -> Sequence[Check]:
    """Name the test quantities of a model of published effects.

    Parameters
    ----------
    settings
        The settings.
    data
        As the model prepared it.

    Returns
    -------
    list of Check
        Those of a meta-analysis, the share of results below the first step, and the correlation of effects with
        standard errors.
    """
    se, sign = data["se"].values, settings.sign
    cut, centred_se = special.ndtri(1 - settings.steps[0]), se - se.mean()

    def share_below(y: np.ndarray) -> np.ndarray:
        return np.asarray((sign * y / se > cut).mean(-1))

    def correlation(y: np.ndarray) -> np.ndarray:
        centred = y - y.mean(axis=-1, keepdims=True)
        return np.asarray((centred @ centred_se) / np.sqrt((centred**2).sum(axis=-1) * (centred_se**2).sum()))

    return [
        *meta_checks.checks(settings.meta_settings, data),
        Check(f"share with one-sided P < {settings.steps[0]:g}", "effect", share_below, ""),
        Check("correlation of effect and standard error", "effect", correlation, ""),
    ]
