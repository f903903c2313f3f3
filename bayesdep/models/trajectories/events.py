r"""An event in intervals that are the same for all: remission, relapse or dropout, by discrete-time hazards.

A patient has a row for every interval at risk: 0 for an interval without the event, 1 for that in which it came, none
after it. With :math:`h_i(t)` the probability of the event in the interval that ends at t, given none before, the
likelihood of a patient is the product of h or 1 - h over the rows (Singer and Willett 1993,
doi:10.3102/10769986018002155), so the rows are those of yes-no responses given a patient's deviations, which are then
what patients differ by in their hazards. Whoever is not followed to the end is censored, independently of the event.
"""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.model import estimand
from bayesdep.models.parts.contrasts import less_first_arm
from bayesdep.models.trajectories.paths import labelled, mean_outcomes
from bayesdep.models.trajectories.scores import NODES, covariance_of_effects, quadrature
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.numerics.draws import over_draws


def estimands_of_events(
    settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset
) -> dict[str, xr.DataArray]:
    """Return the probability of the event by the end of each interval, by arm, and its differences.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of the parameters.
    data
        The prepared data.

    Returns
    -------
    dict of xarray.DataArray
        ``event_probability`` (arm, visit), over patients whose deviations, and those of their markers, are distributed
        as the model says; ``event_difference`` (comparison, visit).
    """
    size = data.sizes["arm"] * data.sizes["visit"] * NODES ** len(settings.powers)
    by_arm = over_draws(posterior, lambda draws: _probabilities(settings, draws, data), size)
    by_arm = by_arm.transpose("chain", "draw", "arm", "visit")
    what = "probability of the event by the end of an interval"
    found = {"event_probability": estimand(by_arm, what, "probability", null=np.nan)}
    if settings.arm is not None:
        found["event_difference"] = estimand(
            less_first_arm(by_arm), f"{what}, less {settings.reference}", "risk difference"
        )
    return found


def _probabilities(settings: TrajectoriesSettings, draws: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """One less the mean, over patients' deviations, of the product of what is not the hazard."""
    mean = mean_outcomes(settings, draws, data, data["time"].values[0])  # planned: the same for all
    root = np.linalg.cholesky(covariance_of_effects(settings, draws, data))
    nodes, weights = quadrature(len(settings.powers))
    apart = np.einsum("sapk,nk,jp->sanj", root, nodes, data["deviation_columns"].values[0])
    none = np.cumsum(special.log_expit(-(mean[:, :, None, :] + apart)), axis=-1)
    return labelled(1 - np.einsum("n,sanj->saj", np.exp(weights), np.exp(none)), ("arm", "visit"), data)
