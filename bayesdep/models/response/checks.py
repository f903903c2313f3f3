"""The predictive checks of a response model: of outcomes given concentrations, and of concentrations."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from bayesdep.models.model import Check
from bayesdep.models.parts.people import is_detected, largest_detected, recorded, share_below


def checks(data: xr.Dataset) -> Sequence[Check]:
    """Name the test quantities.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    list of Check
        As :meth:`bayesdep.models.response.model.Response.checks` returns them.
    """
    several = data.sizes["analyte"] > 1
    unit = "sd" if several else "log"
    named = [
        Check("share of responders", "outcome", lambda y: y.mean(axis=-1), "probability"),
        Check("mean log, responders less others", "outcome", partial(_difference_of_groups, data=data), unit),
    ]
    if np.isinf(data["log_lower"].values).any():
        for name, outcome in (("responders", 1), ("others", 0)):
            share = partial(_share_below_in_group, outcome=outcome, data=data)
            named.append(Check(f"share below the limit, {name}", "outcome", share, "probability"))
    if np.isfinite(data["log_lod"].values).any():
        share = partial(share_below, data=data)
        named.append(Check("share below the limit", "log_concentration", share, "probability"))
    if is_detected(data).any():
        largest = partial(largest_detected, data=data)
        named.append(Check("largest detected, less the centre", "log_concentration", largest, unit))
    return named


def _difference_of_groups(y: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """Mean log of responders less that of others; over several analytes the root mean square, in sds."""
    several = data.sizes["analyte"] > 1
    logs = recorded(data) / (data["log_sd"].values if several else 1.0)
    yes, no = y[..., None], 1 - y[..., None]
    of_yes, of_no = ((w * logs).sum(axis=-2) / np.maximum(w.sum(axis=-2), 1) for w in (yes, no))
    # a replicate in which all respond, or nobody, has no difference
    has_both = (yes.sum(axis=-2) > 0) & (no.sum(axis=-2) > 0)
    difference = np.where(has_both, of_yes - of_no, 0.0)
    return np.sqrt((difference**2).mean(axis=-1)) if several else difference[..., 0]


def _share_below_in_group(y: np.ndarray, outcome: int, data: xr.Dataset) -> np.ndarray:
    """Share of values below their limits among people with an outcome."""
    below = np.isinf(data["log_lower"].values)
    in_group = y == outcome
    return np.asarray((in_group * below.sum(axis=1)).sum(-1) / np.maximum(in_group.sum(axis=-1) * below.shape[1], 1))
