"""Sensitivity of each estimand to the prior and to the likelihood, by power-scaling."""

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats import psense

from bayesdep.inference.diagnostics import chains_of
from bayesdep.inference.fit import Fit, cached_on_fit
from bayesdep.models.model import variable_of
from bayesdep.models.parts.contrasts import is_term_of_slot

THRESHOLD = 0.05
_TOGETHER = 200  # estimands whose sensitivity is computed at once: of thousands, it would take much memory
_FLAT = 1e-10  # relative range of a log density that is the same at all draws but for rounding
DEPENDS, ROBUST = "depends on its prior", "robust"


@cached_on_fit
def check_prior_sensitivity(fit: Fit) -> pd.DataFrame:
    """Power-scale the prior and the likelihood, and measure the change of each estimand.

    The posterior is reweighted, without a refit, as if the priors (or the likelihood) had been raised to a
    power near one; the value is the rate of change of the distribution (Kallioinen et al. 2024,
    doi:10.1007/s11222-023-10366-5). Values above 0.05 matter. The scaled priors are those that a plan
    can replace, not the distributions of the hierarchy.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    pandas.DataFrame
        One row per estimand and coordinates: ``estimand``, ``at``, ``prior``, ``likelihood`` (sensitivities) and
        ``diagnosis``: "robust" or "depends on its prior", which is usual where data are few. Whether an estimand
        conflicts with its prior is another question, which ``fit.verdict`` answers. Estimands whose draws are zeros and
        ones are left out; the estimands from which they are computed are in the table.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> bd.check_prior_sensitivity(fit).query("estimand == 'mu'")["diagnosis"].item()
    'robust'
    """
    drawn = fit.estimands
    chains = chains_of(drawn[[name for name, values in drawn.data_vars.items() if "probability" not in values.attrs]])
    log_prior = fit.tree["log_prior"].to_dataset()
    scores = fit.tree["log_likelihood"].to_dataset()
    likelihood = _centred_by_version(total_density(scores), fit.tables)
    priors = {variable_of(fit.model, slot) for slot in fit.model.slots}
    scaled = [name for name in log_prior.data_vars if is_term_of_slot(str(name), priors)]
    # Only sums over priors and units matter.
    values = np.stack([draws for _, _, draws in chains], axis=2)
    prior = power_scaling_sensitivity(values, _by_draw(total_density(log_prior[scaled])))
    # of large data some draws are scored
    at = np.flatnonzero(np.isin(fit.posterior["draw"].values, scores["draw"].values))
    by_likelihood = power_scaling_sensitivity(values[:, at], _by_draw(likelihood))
    return pd.DataFrame(
        {
            "estimand": [name for name, _, _ in chains],
            "at": [label.strip("[]") for _, label, _ in chains],
            "prior": prior,
            "likelihood": by_likelihood,
            "diagnosis": [diagnose_sensitivity(p) for p in prior],
        }
    )


def diagnose_sensitivity(value: float) -> str:
    """Return what a sensitivity to a prior says: ``"robust"`` or ``"depends on its prior"``."""
    return DEPENDS if value > THRESHOLD else ROBUST


def power_scaling_sensitivity(values: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Measure how fast distributions change as a part of the posterior's density is raised to a power.

    Parameters
    ----------
    values
        Draws, shape (chain, draw, estimand).
    density
        The logarithm of that part, up to a constant: shape (chain, draw).

    Returns
    -------
    numpy.ndarray
        By estimand; zero where the density is the same at all draws, as of flat priors, which a power leaves flat.
    """
    if np.ptp(density) <= _FLAT * max(1.0, float(np.abs(density).max())):
        return np.zeros(values.shape[2])
    coords = {"chain": np.arange(values.shape[0]), "draw": np.arange(values.shape[1])}
    log_prior = xr.Dataset({"scaled": (("chain", "draw"), density)}, coords)
    found = []
    for start in range(0, values.shape[2], _TOGETHER):
        # Many estimands go into one variable: hundreds one by one would take ten seconds.
        some = xr.Dataset({"estimand": (("chain", "draw", "row"), values[..., start : start + _TOGETHER])}, coords)
        tree = xr.DataTree.from_dict({"posterior": some, "log_prior": log_prior})
        found.append(psense(tree, group="prior")["estimand"].to_numpy())
    return np.concatenate(found)


def total_density(terms: xr.Dataset) -> xr.DataArray:
    """Return the sum of log densities over all dims except chain and draw."""
    return sum(map(_total_of_term, terms.data_vars.values()), start=xr.DataArray(0.0))


def _total_of_term(term: xr.DataArray) -> xr.DataArray:
    others = [d for d in term.dims if d not in ("chain", "draw")]
    if "chain" not in term.dims or not others:
        return term.sum(others)
    # chain by chain: xarray sums a copy, and scores of units are large
    return xr.concat([term.isel(chain=[k]).sum(others) for k in range(term.sizes["chain"])], "chain")


def _by_draw(total: xr.DataArray) -> np.ndarray:
    return np.asarray(total.transpose("chain", "draw", missing_dims="ignore").values)


def _centred_by_version(total: xr.DataArray, tables: int) -> xr.DataArray:
    """Subtract each version's mean: likelihoods compare draws within a version of the data, not versions."""
    version_of = np.repeat(np.arange(tables), total.sizes["chain"] // tables)
    means = np.array([float(total.isel(chain=version_of == k).mean()) for k in range(tables)])
    return total - xr.DataArray(means[version_of], dims="chain") if tables > 1 else total
