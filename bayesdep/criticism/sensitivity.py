"""How much does each conclusion depend on the prior?"""

import logging

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats import psense_summary

from bayesdep.inference.diagnostics import chains_of
from bayesdep.inference.fit import Fit, once_per_fit

THRESHOLD = 0.05
_DIAGNOSES = {
    (False, False): "robust",
    (True, False): "strong prior or weak data",
    (True, True): "potential prior-data conflict",
    (False, True): "robust",
}


@once_per_fit
def sensitivity(fit: Fit) -> pd.DataFrame:
    """Power-scale the prior and the likelihood and see which estimands move.

    The posterior is reweighted, without a refit, as if the priors (or the likelihood) had been raised to a
    power near one; the value is the rate of change of the distribution (Kallioinen et al. 2024,
    doi:10.1007/s11222-023-10366-5). Above 0.05 it matters. The priors scaled are those that a plan can
    replace, not the hierarchy's own distributions.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    pandas.DataFrame
        One row per estimand and coordinates: ``estimand``, ``at``, ``prior``, ``likelihood`` (sensitivities)
        and ``diagnosis``.
    """
    chains = chains_of(fit.estimands)
    log_prior = fit.tree["log_prior"].to_dataset()
    scaled = [name for name in log_prior.data_vars if name in fit.model.slots]
    sample = {d: fit.posterior[d] for d in ("chain", "draw")}
    flat = {f"e{i}": (("chain", "draw"), np.asarray(draws)) for i, (_, _, draws) in enumerate(chains)}
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(flat, sample),
            "log_prior": log_prior[scaled],
            "log_likelihood": fit.tree["log_likelihood"].to_dataset(),
        }
    )
    logger = logging.getLogger("arviz_stats.psense")
    level, logger.level = logger.level, logging.ERROR  # its advice to read on is the column `diagnosis` here
    try:
        table = psense_summary(tree, round_to=12)
    finally:
        logger.level = level
    prior, likelihood = (table[c].astype(float).to_numpy() for c in ("prior", "likelihood"))
    return pd.DataFrame(
        {
            "estimand": [name for name, _, _ in chains],
            "at": [label.strip("[]") for _, label, _ in chains],
            "prior": prior,
            "likelihood": likelihood,
            "diagnosis": [
                _DIAGNOSES[bool(p > THRESHOLD), bool(q > THRESHOLD)] for p, q in zip(prior, likelihood, strict=True)
            ],
        }
    )
