"""What counts are asked for: risks and their contrasts against control, from draws, exactly, and by counting."""

from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.counts.settings import CountsSettings
from bayesdep.models.model import ExactPosterior, estimand
from bayesdep.numerics.betas import BetaMarginal, difference, odds_ratio, ratio
from bayesdep.numerics.marginals import Marginal


def risks_and_contrasts(settings: CountsSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
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
    estimands = {
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
        estimands["effect_sd"] = estimand(
            posterior["effect_sd"], "spread of the treatment effect between subgroups", "log odds ratio"
        )
    return xr.Dataset(estimands)


def exact_posterior(settings: CountsSettings, data: xr.Dataset) -> ExactPosterior | None:
    """Return the posterior of independent cells: Betas, and integrals over pairs of them.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    ExactPosterior or None
        None when anything is pooled. Contrasts over all subgroups have no marginal and come from the draws.
    """
    if settings.pooling != "none":
        return None
    alpha, beta = settings.priors["risk"]["alpha"], settings.priors["risk"]["beta"]
    a = (data["events"] + alpha).transpose("subgroup", "arm")
    b = (data["n"] - data["events"] + beta).transpose("subgroup", "arm")
    marginals: dict[Any, Marginal] = {}
    for i, g in enumerate(data["subgroup"].values):
        counts = zip(a.values[i], b.values[i], data["events"].values[i], data["n"].values[i], strict=True)
        cells = [BetaMarginal(float(x), float(y), (int(k), int(n))) for x, y, k, n in counts]
        for arm, cell in zip(data["arm"].values, cells, strict=True):
            marginals["risk", (("subgroup", str(g)), ("arm", str(arm)))] = cell
        for treatment, cell in zip(data["treatment"].values, cells[1:], strict=True):
            where = (("subgroup", str(g)), ("treatment", str(treatment)))
            marginals["risk_difference", where] = difference(cell, cells[0])
            marginals["risk_ratio", where] = ratio(cell, cells[0])
            marginals["odds_ratio", where] = odds_ratio(cell, cells[0])

    def draw(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"risk": rng.beta(a.values, b.values, (size, *a.shape))}

    return ExactPosterior(marginals, draw)


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
