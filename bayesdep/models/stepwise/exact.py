"""The exact posterior of stepwise remission: Betas, and mixtures of them where a count is known as an interval."""

from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from bayesdep.models.model import ExactPosterior
from bayesdep.models.stepwise.settings import StepwiseSettings
from bayesdep.numerics.betas import BetaMarginal, difference
from bayesdep.numerics.marginals import Marginal


def exact(settings: StepwiseSettings, data: xr.Dataset) -> ExactPosterior:
    """Return the posterior of the steps' probabilities.

    With a count known to lie between two numbers, the posterior is a mixture of the Betas that each of them gives,
    weighted by its prior predictive probability (beta-binomial).

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    ExactPosterior
        With a marginal for every probability whose count is known, and for differences of such ones; all other
        estimands come from the draws.
    """
    prior = settings.priors["remission"]
    a, b = prior["alpha"], prior["beta"]
    n, fewest, most = (data[w].values for w in ("entered", "remitted", "remitted_at_most"))
    cells = [BetaMarginal(a + x, b + m - x, (int(x), int(m))) for x, m in zip(fewest, n, strict=True)]
    known = fewest == most
    marginals: dict[Any, Marginal] = {
        ("remission", (("cell", str(name)),)): cells[i] for i, name in enumerate(data["cell"].values) if known[i]
    }
    pairs = zip(data["contrast"].values, data["cell_of"].values, data["other_of"].values, strict=True)
    for label, i, j in pairs:
        if known[i] and known[j]:
            marginals["difference", (("contrast", str(label)),)] = difference(cells[i], cells[j])

    def draw(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        drawn = np.empty((size, len(n)))
        for i in range(len(n)):
            counts = np.arange(fewest[i], most[i] + 1)
            weight = stats.betabinom.pmf(counts, n[i], a, b)
            x = rng.choice(counts, size, p=weight / weight.sum())
            drawn[:, i] = rng.beta(a + x, b + n[i] - x)
        return {"remission": drawn}

    return ExactPosterior(marginals, draw)
