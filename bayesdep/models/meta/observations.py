"""Each arm's number of events, the control group's first and each treated arm's given those before it."""

import numpy as np
import xarray as xr

from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.binomial_arms import log_marginal_of_studies, one_arm_after_another
from bayesdep.models.meta.binomial_pair import log_marginal_single
from bayesdep.models.meta.scores import midpoints_of, parameters_of
from bayesdep.models.meta.settings import MetaSettings
from bayesdep.models.parts.observations import Binomials, Law, Observations, of_groups
from bayesdep.numerics.types import Draws


def observations(settings: MetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Give the distribution of every number of events, the study's own level and effects integrated out.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    data
        The prepared data.

    Returns
    -------
    dict of Observations
        Of ``events``; none of a Gaussian likelihood, whose own density of the effects serves.
    """
    if settings.likelihood != "binomial":
        return {}
    _, tau, mean = parameters_of(settings, posterior, data)
    if settings.has_midpoints:
        return {"events": _of_arms(settings, posterior, data, mean, tau)}
    events, n = data["events"].values, data["n"].values
    location = np.broadcast_to(mean if mean.ndim == 2 else mean[:, None], (len(tau), len(events)))
    law = Binomials(location[None], tau[None, :, None], np.ones((1, 1, 1)), n)
    labels = {settings.unit: data[settings.unit].values}
    return {"events": Observations(labels, events, events, law, log_marginal_single(events, n, mean, tau))}


def _of_arms(
    settings: MetaSettings, posterior: xr.Dataset, data: xr.Dataset, mean: Draws, tau: np.ndarray
) -> Observations:
    """Every arm of every study given the study's earlier arms."""
    arms, (baseline, rho) = Arms.of(data), midpoints_of(posterior)
    whole = log_marginal_of_studies(arms, mean, tau, baseline, rho)
    by_effect = np.broadcast_to(mean if mean.ndim == 2 else mean[:, None], (len(tau), len(arms.group)))
    rows_of_arms = np.arange(len(arms.events))
    if data["events"].ndim == 2:  # studies by control and treated
        rows_of_arms = rows_of_arms.reshape(-1, 2).T.ravel()
    groups: list[tuple[np.ndarray, Law, Draws]] = []
    for g in range(arms.groups):
        members = np.flatnonzero(arms.group == g)
        rows = np.concatenate([[g], arms.groups + members])
        events, n = arms.events[rows], arms.n[rows]
        steps = one_arm_after_another(events, n, by_effect[:, members], tau, baseline, rho)
        for row, people, step in zip(rows, n, steps, strict=True):
            law = Binomials(
                step.location.T[..., None], step.scale[None, :, None], step.weight.T[..., None], np.array([people])
            )
            groups.append((rows_of_arms[[row]], law, (whole[:, g] - step.before)[:, None]))
    arm, shape = data["arm"].values, data["events"].shape
    if len(shape) == 2:
        labels = {settings.unit: np.repeat(data[settings.unit].values, shape[1]), "arm": np.tile(arm, shape[0])}
    else:
        of_row = np.concatenate([np.arange(arms.groups), arms.group])
        labels = {"control_group": data["control_group"].values[of_row], "arm": arm}
    events = data["events"].values.ravel()
    return of_groups(labels, events, events, groups)
