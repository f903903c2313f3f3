"""What a paper prints of a meta-analysis: pooled effects, and studies with their weights."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr

from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.settings import MetaSettings
from bayesdep.models.model import estimand
from bayesdep.models.parts.paper import Estimates, Facts, Grid, Layout, Listing, of_n
from bayesdep.numerics.draws import draws_of, over_draws


def tables(settings: MetaSettings, data: xr.Dataset) -> Mapping[str, Layout]:
    """Declare the tables.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    mapping of Layout
        By name.
    """
    main = Listing("Pooled effect.", _ASKED, unsigned=("tau", "tau_cluster", "i2", "risk", "risk_new", "risk_treated"))
    return {"main": main, "studies": studies(settings, data)}


# what is asked of all studies together, in the order of print
_ASKED = {
    "mu": "Pooled effect",
    "ratio": "Pooled ratio",
    "risk": "Pooled probability",
    "theta_new": "Effect in a new study",
    "ratio_new": "Ratio in a new study",
    "risk_new": "Probability in a new study",
    "tau": "Standard deviation between studies",
    "tau_cluster": "Standard deviation between clusters",
    "i2": "I squared",
    "slope": "Change of the effect per unit",
    "risk_treated": "Risk if treated, at the stated control risk",
    "risk_difference": "Risk difference, at the stated control risk",
    "risk_ratio": "Risk ratio, at the stated control risk",
    "nnt": "Number needed to treat",
}


def studies(settings: MetaSettings, data: xr.Dataset) -> Grid:
    """Return the table of studies: what was published, the weight where it is known, and the effect in the model.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    Grid
        A row for every unit of the meta-analysis.
    """
    unit = settings.unit
    # of normal true effects round one mean: elsewhere a study has no weight that is the same for all values
    weighs = settings.likelihood == "gaussian" and settings.covariates is None and settings.heterogeneity == "normal"
    notes = ("Weights are posterior means of the share of each in the pooled effect.",) if weighs else ()
    scale = "ratio" if settings.measure.startswith("log-") and settings.measure != "log-odds" else ""
    scale = "risk" if settings.measure == "log-odds" else scale
    return Grid(
        f"Effects by {unit}, {settings.effect_units}.",
        (unit,),
        (
            *_published(settings, data),
            *((Estimates("weight", "Weight, %", interval=False),) if weighs else ()),
            Estimates("theta", "In the model"),
            *((Estimates(f"{scale}_theta", f"As a {scale}"),) if scale else ()),
        ),
        notes,
        partial(weights, settings, data=data) if weighs else None,
    )


def _published(settings: MetaSettings, data: xr.Dataset) -> list[Facts]:
    """Effects and standard errors, or counts."""
    if settings.likelihood == "gaussian":
        return [Facts("effect", "Effect", data["effect"], decimals=2), Facts("se", "SE", data["se"], decimals=2)]
    if settings.measure == "log-odds":
        return [Facts("events_of_n", "Events / people", of_n(data["events"], data["n"]))]
    arms, labels = Arms.of(data), data[settings.unit].values
    events, n = arms.pairs(arms.events), arms.pairs(arms.n)
    of_arm = [xr.DataArray([f"{int(a)} / {int(b)}" for a, b in zip(events[:, k], n[:, k], strict=True)],
                           {settings.unit: labels}, (settings.unit,)) for k in (1, 0)]  # fmt: skip
    return [Facts("treated", "Treated: events / people", of_arm[0]), Facts("control", "Control", of_arm[1])]


_MOST_DRAWS = 1000  # whose weights are averaged: each is one inverse of a small matrix


def weights(settings: MetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Return each unit's weight in the pooled effect, in percent, given the draws of the spreads.

    With V the covariance of the observed effects (sampling covariance, tau squared on the diagonal, and what units of a
    cluster share), the weights are ``V^-1 1 / (1' V^-1 1)``, as of the generalised least squares estimate.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    data
        The prepared data.

    Returns
    -------
    xarray.Dataset
        ``weight`` (chain, draw, unit), of every so many draws.
    """
    unit, count = settings.unit, data.sizes[settings.unit]
    sampling = data["covariance"].values if "covariance" in data else np.diag(data["se"].values ** 2)
    same = None
    if "tau_cluster" in posterior and "cluster_of" in data:
        of = data["cluster_of"].values
        same = (of[:, None] == of).astype(float)

    def of_draws(draws: xr.Dataset) -> xr.DataArray:
        v = sampling + draws_of(draws, "tau")[:, None, None] ** 2 * np.eye(count)
        if same is not None:
            v = v + draws_of(draws, "tau_cluster")[:, None, None] ** 2 * same
        w = np.linalg.solve(v, np.ones((len(v), count, 1)))[:, :, 0]
        return xr.DataArray(100 * w / w.sum(axis=1, keepdims=True), {unit: data[unit].values}, ("sample", unit))

    every = max(1, posterior.sizes["draw"] * posterior.sizes["chain"] // _MOST_DRAWS)
    thinned = posterior.isel(draw=slice(None, None, every))
    found = over_draws(thinned, of_draws, count**2)
    return xr.Dataset({"weight": estimand(found, "weight in the pooled effect", "%", null=np.nan)})
