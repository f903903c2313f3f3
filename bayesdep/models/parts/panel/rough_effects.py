"""What each analyte's own data say of its effects, roughly: for the coordinates in which they are sampled, only.

Non-detects count as values at their limit. That shrinks differences and spreads alike, by about the share detected, so
both are divided by it. A posterior does not depend on what comes out here, only how fast it is sampled.
"""

import numpy as np
import xarray as xr

_NOTHING_KNOWN = 100.0  # an error on the log scale, beside which any spread is small


def rough_effects(data: xr.Dataset, word: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rough estimates and standard errors of effects by analyte, from its own values at baseline.

    Parameters
    ----------
    data
        A completed panel.
    word
        ``"level"``, ``"group"`` or ``"residual"`` (the log residual sd).

    Returns
    -------
    tuple of numpy.ndarray
        On the log scale, shape (analyte,), for groups (analyte, comparison); 0 with an error of 100 where there is
        nothing to go by.
    """
    baseline = np.flatnonzero(data["time_of"].values == 0)
    analyte, group, kind = (data[name].values[baseline] for name in ("analyte_of", "group_of", "kind"))
    upper, lower = (data[name].values[baseline] for name in ("upper", "lower"))
    sizes = data.sizes["analyte"], data.sizes["group"]
    value, cell = np.where(np.isfinite(upper), upper, lower), analyte * sizes[1] + group

    def tally(weight: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(cell, weight, minlength=sizes[0] * sizes[1]).reshape(sizes)

    n, seen = tally(), tally(kind == 0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # groups without a value, analytes never detected
        mean, share = tally(value) / n, seen / n.sum(axis=1)
        left = tally((value - mean.ravel()[cell]) ** 2).sum(axis=1)
        sd = np.sqrt(left / (n.sum(axis=1) - (n > 0).sum(axis=1))) / share
        estimate, error = {
            "level": (tally(value).sum(axis=1) / n.sum(axis=1) - data["centre"].values, sd / np.sqrt(n.sum(axis=1))),
            "group": (
                (mean[:, 1:] - mean[:, :1]) / share[:, None],
                sd[:, None] * np.sqrt(1 / n[:, 1:] + 1 / n[:, :1]),
            ),
            "residual": (np.log(sd), 1 / np.sqrt(2.0 * seen)),
        }[word]
    is_known = np.isfinite(estimate) & np.isfinite(error) & (error > 0)
    return np.where(is_known, estimate, 0.0), np.where(is_known, error, _NOTHING_KNOWN)
