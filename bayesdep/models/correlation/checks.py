"""The predictive checks of a correlation: of concentrations given the scores, and of the scores."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayesdep.models.model import Check
from bayesdep.models.parts.people import share_below


def checks(data: xr.Dataset, *, units: str) -> Sequence[Check]:
    """Name the test quantities.

    Parameters
    ----------
    data
        The prepared data.
    units
        Units of the score.

    Returns
    -------
    list of Check
        As :meth:`bayesdep.models.correlation.model.Correlation.checks` returns them.
    """
    score = data["score"].values
    lod, uloq = data["log_lod"].values[:, 0], data["log_uloq"].values[:, 0]

    def correlation(x: np.ndarray) -> np.ndarray:
        """Pearson's among the values within their limits."""
        within = (~((x <= lod) | (x >= uloq))).astype(float)
        n = np.maximum(within.sum(axis=-1, keepdims=True), 1)
        a, b = ((v - (within * v).sum(axis=-1, keepdims=True) / n) * within for v in (x, score))
        size = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
        return (a * b).sum(axis=-1) / np.maximum(size, 1e-300)

    def share(x: np.ndarray) -> np.ndarray:
        return share_below(x[..., None], data)

    of_concentrations = [Check("correlation among the detected", "log_concentration", correlation, "correlation")]
    if np.isfinite(lod).any():
        of_concentrations.append(Check("share below the limit", "log_concentration", share, "probability"))
    return [
        *of_concentrations,
        Check("mean score", "score", lambda y: y.mean(axis=-1), units),
        Check("sd of the score", "score", lambda y: y.std(axis=-1, ddof=1), units),
    ]
