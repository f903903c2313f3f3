"""How the slopes of several analytes go together: not at all, normal, Student-t, or a regularised horseshoe."""

from typing import TYPE_CHECKING, Any

import xarray as xr

from bayesdep.models.parts.priors import Slot
from bayesdep.models.parts.unit_spreads import GLOBAL_SCALE
from bayesdep.numerics.distributions import Prior

if TYPE_CHECKING:
    from bayesdep.models.response.model import Response

STUDENT_NU = 4.0
_UNITS = "log odds per sd of the log"


def slope_slots(effects: str) -> dict[str, Slot]:
    """Return the places for priors of slopes.

    Parameters
    ----------
    effects
        As :class:`~bayesdep.models.response.model.Response` takes it.

    Returns
    -------
    dict of Slot
        ``slope``; or ``slope_sd``; or the horseshoe's ``global_scale``, ``local_scale`` and ``slab_precision``.
    """
    if effects == "none":
        default = Prior("StudentT", nu=4, mu=0, sigma=2.5)
        return {"slope": Slot(default, "real", "the effect of an analyte", _UNITS)}
    if effects != "horseshoe":
        default = Prior("HalfNormal", sigma=1)
        return {"slope_sd": Slot(default, "positive", "the spread of effects between analytes", _UNITS)}
    cauchy, slab = Prior("HalfCauchy", beta=1), Prior("Gamma", alpha=2, beta=8)
    whole, of_one = "times that expected of the non-zero ones", "times the global scale"
    squared = "one over the squared scale of the slopes that are not shrunk"
    return {
        "global_scale": Slot(GLOBAL_SCALE, "positive", "the scale of all slopes", whole),
        "local_scale": Slot(cauchy, "positive", "the scale of an analyte's slope", of_one),
        "slab_precision": Slot(slab, "positive", squared, "per squared log odds"),
    }


def slope_lines(effects: str, expected_nonzero: float | None) -> list[str]:
    """Return what the model's formula says of slopes beyond their priors.

    Parameters
    ----------
    effects, expected_nonzero
        As :class:`~bayesdep.models.response.model.Response` takes them.

    Returns
    -------
    list of str
        Lines.
    """
    if effects == "none":
        return []
    if effects != "horseshoe":
        raw = "Normal(0, 1)" if effects == "normal" else f"StudentT({STUDENT_NU:g}, 0, 1)"
        return [f"slope[k] = slope_sd raw[k],  raw[k] ~ {raw}"]
    return [
        "slope[k] ~ Normal(0, tau[k] c local_scale[k] / sqrt(c^2 + tau[k]^2 local_scale[k]^2))",
        f"tau[k] = global_scale {expected_nonzero:g} / (p - {expected_nonzero:g}) se[k], c = 1 / sqrt(slab_precision)",
    ]


def slopes(model: "Response", data: xr.Dataset) -> Any:
    """Return the slopes per standard deviation, inside the model context.

    Parameters
    ----------
    model
        The model.
    data
        As its ``prepare`` returns it.

    Returns
    -------
    pytensor.tensor.TensorVariable
        ``slope``, shape (analyte,).
    """
    import pymc as pm
    import pytensor.tensor as pt

    prior = model.priors
    if model.effects == "none":
        return prior["slope"].rv("slope", dims="analyte")
    if model.effects != "horseshoe":
        spread = prior["slope_sd"].rv("slope_sd")
        made = (
            pm.Normal("slope_raw", 0.0, 1.0, dims="analyte")
            if model.effects == "normal"
            else pm.StudentT("slope_raw", nu=STUDENT_NU, mu=0.0, sigma=1.0, dims="analyte")
        )
        return pm.Deterministic("slope", spread * made, dims="analyte")
    assert model.expected_nonzero is not None  # refused when the model was made
    p0, p = model.expected_nonzero, data.sizes["analyte"]
    tau0 = pm.Data("tau0", p0 / (p - p0) * data["slope_se"].values, dims="analyte")
    tau = prior["global_scale"].rv("global_scale") * tau0
    local = prior["local_scale"].rv("local_scale", dims="analyte")
    precision = prior["slab_precision"].rv("slab_precision")
    raw = pm.Normal("slope_raw", 0.0, 1.0, dims="analyte")
    wide = tau * local
    return pm.Deterministic("slope", raw * wide / pt.sqrt(1 + precision * wide**2), dims="analyte")
