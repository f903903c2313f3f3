"""What counts are asked for: risks and their contrasts against control, from draws, and by counting."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.counts.settings import CountsSettings
from bayesdep.models.model import OwnPrior, estimand


def estimands(settings: CountsSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive risks and their contrasts against control, by subgroup and over all patients.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of ``risk``.
    data
        The prepared data.

    Returns
    -------
    xarray.Dataset
        As :meth:`bayesdep.models.counts.model.Counts.estimands` returns it.
    """
    risk = posterior["risk"]
    treated = risk.isel(arm=slice(1, None)).rename(arm="treatment")
    control = risk.isel(arm=0, drop=True)
    difference = treated - control
    weights = data["n"].sum("arm") / data["n"].sum()
    overall = (difference * weights).sum("subgroup")
    against = f"against {settings.control}"
    derived = {
        "risk": estimand(risk, "probability of the event", "probability"),
        "risk_difference": estimand(difference, f"risk difference {against}", "risk difference"),
        "risk_ratio": estimand(treated / control, f"risk ratio {against}", "risk ratio", null=1.0),
        "odds_ratio": estimand(
            treated * (1 - control) / (control * (1 - treated)),
            f"odds ratio {against}",
            "odds ratio",
            null=1.0,
        ),
        "nnt": estimand(
            1 / difference,
            f"number needed to treat (above 0) or harm (below 0) {against}",
            "patients",
            reciprocal_of="risk_difference",
        ),
        "risk_difference_overall": estimand(
            overall, f"risk difference {against}, standardised to the mix of subgroups", "risk difference"
        ),
        "nnt_overall": estimand(
            1 / overall,
            f"number needed to treat (above 0) or harm (below 0) {against}, standardised",
            "patients",
            reciprocal_of="risk_difference_overall",
        ),
    }
    if settings.pooling == "partial":
        derived["effect_sd"] = estimand(
            posterior["effect_sd"], "spread of the treatment effect between subgroups", "log odds ratio"
        )
    return xr.Dataset(derived)


def crude_differences(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return each subgroup's risk differences as counted, with their standard errors.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Shapes (subgroup x treatment,).
    """
    share = (data["events"] / data["n"]).values
    variance = share * (1 - share) / data["n"].values
    return (share[:, 1:] - share[:, :1]).ravel(), np.sqrt(variance[:, 1:] + variance[:, :1]).ravel()


def own_prior(settings: CountsSettings, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
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
    del at, data
    if settings.pooling == "none":
        return (
            "the two risks have priors of their own: with one risk for both, its prior would have to be another, and "
            "with Jeffreys' prior the density at no difference is infinite"
        )
    if name in ("risk_difference", "risk_ratio", "odds_ratio", "nnt") and settings.pooling == "partial":
        return (
            "effects of subgroups are pooled: without an effect in one, the others would have another prior than in a "
            "model without it"
        )
    return "it is a function of several parameters"
