"""The predictive checks of counts: what pooling over subgroups could get wrong."""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from bayesdep.models.model import Check


def checks(data: xr.Dataset) -> Sequence[Check]:
    """Name the test quantities.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    list of Check
        The overall share of events, the highest and the lowest risk difference (with its sign); with several subgroups
        also the range of risk differences.
    """
    n = data["n"].values

    def differences(y: np.ndarray) -> np.ndarray:
        share = y / n
        against_control = share[..., 1:] - share[..., :1]
        return np.asarray(against_control.reshape(*against_control.shape[:-2], -1))

    def check(name: str, statistic: Callable[[np.ndarray], np.ndarray]) -> Check:
        return Check(name, "events", statistic, "probability")

    named = [
        check("share with the event", lambda y: y.sum((-2, -1)) / n.sum()),
        check("highest risk difference", lambda y: differences(y).max(-1)),
        check("lowest risk difference", lambda y: differences(y).min(-1)),
    ]
    if data.sizes["subgroup"] > 1:
        named.append(check("range of risk differences", lambda y: np.ptp(differences(y), axis=-1)))
    return named
