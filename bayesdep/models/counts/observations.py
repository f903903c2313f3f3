"""Each person's outcome: the event, or none."""

import numpy as np
import xarray as xr

from bayesdep.models.parts.observations import Observations, of_people
from bayesdep.numerics.draws import draws_of, stack_draws


def observations(posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Give the distribution of every person's outcome.

    Parameters
    ----------
    posterior
        Draws of ``risk``.
    data
        The prepared data.

    Returns
    -------
    dict of Observations
        Of ``event``, 1 where it happened; those to whom it did come first within each cell.
    """
    risk = draws_of(stack_draws(posterior), "risk", "subgroup", "arm")
    subgroup, arm = np.indices(risk.shape[1:]).reshape(2, -1)
    labels = {"subgroup": data["subgroup"].values[subgroup], "arm": data["arm"].values[arm]}
    events, n = (data[name].transpose("subgroup", "arm").values.ravel() for name in ("events", "n"))
    return {"event": of_people(risk.reshape(len(risk), -1), events, n, labels)}
