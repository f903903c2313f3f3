"""The slopes of several analytes inside the model: unrelated, normal, Student-t, or a regularised horseshoe."""

import xarray as xr

from bayesdep.models.response.settings import STUDENT_NU, ResponseSettings
from bayesdep.numerics.types import Tensor


def slopes(settings: ResponseSettings, data: xr.Dataset) -> Tensor:
    """Return the slopes per standard deviation, inside a PyMC model context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        ``slope``, shape (analyte,).
    """
    import pymc as pm

    prior = settings.priors
    if settings.effects == "none":
        return prior["slope"].rv("slope", dims="analyte")
    if settings.effects == "horseshoe":
        return _horseshoe_slopes(settings, data)
    spread = prior["slope_sd"].rv("slope_sd")
    raw = (
        pm.Normal("slope_raw", 0.0, 1.0, dims="analyte")
        if settings.effects == "normal"
        else pm.StudentT("slope_raw", nu=STUDENT_NU, mu=0.0, sigma=1.0, dims="analyte")
    )
    return pm.Deterministic("slope", spread * raw, dims="analyte")


def _horseshoe_slopes(settings: ResponseSettings, data: xr.Dataset) -> Tensor:
    """Slopes ``N(0, tau^2 c^2 local^2 / (c^2 + tau^2 local^2))`` with ``1 / c^2`` the slab's precision."""
    import pymc as pm
    import pytensor.tensor as pt

    prior = settings.priors
    assert settings.expected_nonzero is not None  # refused when the model was made
    p0, p = settings.expected_nonzero, data.sizes["analyte"]
    tau0 = pm.Data("tau0", p0 / (p - p0) * data["slope_se"].values, dims="analyte")
    tau = prior["global_scale"].rv("global_scale") * tau0
    local = prior["local_scale"].rv("local_scale", dims="analyte")
    slab_precision = prior["slab_precision"].rv("slab_precision")
    raw = pm.Normal("slope_raw", 0.0, 1.0, dims="analyte")
    unshrunk = tau * local
    return pm.Deterministic("slope", raw * unshrunk / pt.sqrt(1 + slab_precision * unshrunk**2), dims="analyte")
