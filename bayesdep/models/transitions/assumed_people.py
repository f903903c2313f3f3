"""How much published shares say if they are of fewer people than the table names."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayesdep.models.transitions.estimands import estimands
from bayesdep.models.transitions.exact import exact
from bayesdep.models.transitions.settings import TransitionsSettings

FRACTIONS = (1.0, 0.75, 0.5, 0.25, 0.125)
_DRAWS = 10_000


def occupancy_of_fewer(
    settings: TransitionsSettings, data: xr.Dataset, fractions: Sequence[float] = FRACTIONS, seed: int = 0
) -> xr.DataArray:
    """Return the posterior of the share in each state, if the same shares were of fewer people.

    A source that prints shares alone bounds the number of people from above at best. Of ``fraction`` of the people the
    shares have ``fraction`` of the counts, which need not be whole numbers: the log likelihood of all is multiplied by
    it. The posterior is the exact one of each.

    Parameters
    ----------
    settings
        The model's settings, with ``input = "shares"``.
    data
        The prepared data.
    fractions
        Shares of the people that the table names, above 0 and at most 1.
    seed
        Of the draws, the same for every fraction.

    Returns
    -------
    xarray.DataArray
        Dims (fraction, draw, arm, time, state).

    Examples
    --------
    >>> import bayesdep as bd
    >>> cohort = bd.load("trd_cohort_europe").dropna(subset=["before"])
    >>> states = ["remission", "response", "no response"]
    >>> columns = {"share": "percent", "n": "people", "start": "no response", "horizon": 2}
    >>> model = bd.Transitions(states=states, input="shares", **columns)
    >>> found = occupancy_of_fewer(model, model.prepare(cohort), [1.0, 0.25])
    >>> found.sel(time="1", state="remission", arm="everybody").std("draw").round(3).values.tolist()
    [0.019, 0.037]
    """
    found = []
    for fraction in fractions:
        known = exact(settings, data.assign(transition_count=data["transition_count"] * fraction))
        assert known is not None  # whether it is known does not depend on the counts
        row = known.draw(_DRAWS, np.random.default_rng(seed))["row"]
        dims = ("chain", "draw", *(("arm",) if settings.reference is not None else ()), "before", "after")
        coords = {dim: data[dim].values for dim in dims[2:]}
        posterior = xr.Dataset({"row": (dims, row[None])}, coords)
        found.append(estimands(settings, posterior, data)["occupancy"].isel(chain=0, drop=True))
    return xr.concat(found, xr.Variable("fraction", list(fractions))).transpose(
        "fraction", "draw", "arm", "time", "state"
    )
