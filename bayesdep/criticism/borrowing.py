"""How much the data left of each component of a prior that is a mixture."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special

from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import chains_of
from bayesdep.inference.fit import Fit
from bayesdep.models.model import variable_of
from bayesdep.models.parts.scale import priors_of
from bayesdep.numerics.distributions import Prior, is_mixture


def check_borrowing(fit: Fit) -> pd.DataFrame:
    """Return the weights of the components of priors that are mixtures, before the data and after.

    A value theta belongs to component k with probability ``w_k N(theta; mu_k, sigma_k) / p(theta)``, whatever the data
    are; the weight after the data is the mean of that over the posterior. So the vague component of a robust prior ends
    near one where the data conflict with the others: then nothing was borrowed.

    Parameters
    ----------
    fit
        A fit with such a prior.

    Returns
    -------
    pandas.DataFrame
        One row for each component of each parameter: ``parameter``, ``mu``, ``sigma``, ``before`` and ``after``.

    Raises
    ------
    BadInput
        When no prior of the fit is a mixture.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> robust = bd.Prior("NormalMixture", weights=[0.8, 0.2], mu=[8, 0], sigma=[2, 50])
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school", priors={"mu": robust})
    >>> fit = bd.fit(model, schools, seed=1)  # doctest: +SKIP
    >>> table = bd.check_borrowing(fit)  # doctest: +SKIP
    """
    mixtures = {name: p for name, p in priors_of(fit.model, fit.data).items() if is_mixture(p.dist)}
    if not mixtures:
        raise BadInput("no prior of this fit is a mixture; give one as bd.as_prior makes it")
    draws = xr.Dataset({name: fit.posterior[variable_of(fit.model, name)] for name in mixtures})
    return pd.DataFrame(
        [row for name, labels, values in chains_of(draws) for row in _weights(name, labels, values, mixtures[name])]
    )


def _weights(name: str, labels: str, values: np.ndarray, prior: Prior) -> list[dict[str, Any]]:
    """The components of one parameter's prior, with the mean of each one's share at its draws."""
    before, mu, sigma = (np.array(prior[k]) for k in ("weights", "mu", "sigma"))
    terms = np.log(before / sigma) - ((values[..., None] - mu) / sigma) ** 2 / 2
    after = special.softmax(terms, axis=-1).mean(axis=(0, 1))
    columns = {"mu": mu, "sigma": sigma, "before": before, "after": after}
    return [{"parameter": f"{name}{labels}", **{k: float(v[j]) for k, v in columns.items()}} for j in range(len(mu))]
