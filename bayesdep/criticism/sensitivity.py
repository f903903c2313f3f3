"""How much does each conclusion depend on the prior?"""

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats import psense

from bayesdep.inference.diagnostics import chains_of
from bayesdep.inference.fit import Fit, once_per_fit
from bayesdep.models.model import variable_of
from bayesdep.models.parts.contrasts import is_term_of_slot

THRESHOLD = 0.05
DEPENDS, ROBUST = "depends on its prior", "robust"


@once_per_fit
def check_prior_sensitivity(fit: Fit) -> pd.DataFrame:
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
        One row per estimand and coordinates: ``estimand``, ``at``, ``prior``, ``likelihood`` (sensitivities) and
        ``diagnosis``: "robust" or "depends on its prior", as it always does where data are few. Whether one conflicts
        with its prior is another question, which ``fit.verdict`` answers. Probabilities of zeros and ones are left
        out: what they are of is in the table.
    """
    drawn = fit.estimands
    chains = chains_of(drawn[[name for name, values in drawn.data_vars.items() if "probability" not in values.attrs]])
    log_prior = fit.tree["log_prior"].to_dataset()
    likelihood_of = _apart(_total(fit.tree["log_likelihood"].to_dataset()), fit.tables)
    priors = {variable_of(fit.model, slot) for slot in fit.model.slots}
    scaled = [name for name in log_prior.data_vars if is_term_of_slot(str(name), priors)]
    # Only sums over priors and over units matter; one variable for all estimands, or hundreds cost ten seconds.
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {"estimand": (("chain", "draw", "row"), np.stack([draws for _, _, draws in chains], axis=2))},
                {d: fit.posterior[d] for d in ("chain", "draw")},
            ),
            "log_prior": xr.Dataset({"total": _total(log_prior[scaled])}),
            "log_likelihood": xr.Dataset({"total": likelihood_of}),
        }
    )
    prior, likelihood = (psense(tree, group=group)["estimand"].to_numpy() for group in ("prior", "likelihood"))
    return pd.DataFrame(
        {
            "estimand": [name for name, _, _ in chains],
            "at": [label.strip("[]") for _, label, _ in chains],
            "prior": prior,
            "likelihood": likelihood,
            "diagnosis": [DEPENDS if p > THRESHOLD else ROBUST for p in prior],
        }
    )


def _total(terms: xr.Dataset) -> xr.DataArray:
    """Add up everything but the draws."""
    return sum(
        (term.sum([d for d in term.dims if d not in ("chain", "draw")]) for term in terms.data_vars.values()),
        start=xr.DataArray(0.0),
    )


def _apart(total: xr.DataArray, tables: int) -> xr.DataArray:
    """Take from each version of the data its mean: a version's likelihood weighs its draws, not it against others."""
    of = np.repeat(np.arange(tables), total.sizes["chain"] // tables)
    means = np.array([float(total.isel(chain=of == k).mean()) for k in range(tables)])
    return total - xr.DataArray(means[of], dims="chain") if tables > 1 else total
