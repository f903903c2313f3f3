"""The exact posterior of cells that are not pooled: Betas, and integrals over pairs of them."""

from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.counts.settings import CountsSettings
from bayesdep.models.model import ExactPosterior
from bayesdep.numerics.betas import BetaMarginal, difference, odds_ratio, ratio
from bayesdep.numerics.marginals import Marginal


def exact(settings: CountsSettings, data: xr.Dataset) -> ExactPosterior | None:
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
