"""The exact posterior of rows of their own, where every state followed one step after the one before: Dirichlet."""

import numpy as np
import xarray as xr

from bayesdep.models.model import ExactPosterior
from bayesdep.models.transitions.estimands import count_single_steps
from bayesdep.models.transitions.settings import TransitionsSettings
from bayesdep.numerics.betas import BetaMarginal
from bayesdep.numerics.marginals import Marginal


def exact(settings: TransitionsSettings, data: xr.Dataset) -> ExactPosterior | None:
    """Return the posterior of independent rows: Dirichlet distributions, whose elements are Betas.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    ExactPosterior or None
        None where arms or covariates shift rows, steps were missed, or states were not told apart. What follows after
        several steps has no marginal and comes from the draws.
    """
    counts = count_single_steps(data)
    if not settings.has_own_rows or data["gap"].values.max() > 1 or np.isnan(counts).any():
        return None
    a = counts[:, settings.left] + settings.concentration
    marginals: dict[tuple[str, tuple[tuple[str, str], ...]], Marginal] = {}
    for index, value in np.ndenumerate(a):
        labels = tuple(str(data[dim].values[k]) for dim, k in zip(("arm", "before", "after"), index, strict=True))
        where = tuple(zip(("arm", "before", "after"), labels, strict=True))
        marginals["transition", where] = BetaMarginal(float(value), float(a[index[:2]].sum() - value))

    def draw(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        gammas = rng.standard_gamma(a, (size, *a.shape))
        row = gammas / gammas.sum(axis=-1, keepdims=True)
        return {"row": row if settings.reference is not None else row[:, 0]}

    return ExactPosterior(marginals, draw)
