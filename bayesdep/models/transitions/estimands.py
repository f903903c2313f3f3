"""What a model of states is asked for: probabilities by arm and time, differences, time in states; odds ratios last."""

from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.model import estimand
from bayesdep.models.parts.contrasts import less_first_arm
from bayesdep.models.transitions.chains import log_one_step, powers
from bayesdep.models.transitions.dropouts import changes_by_delta
from bayesdep.models.transitions.settings import TransitionsSettings
from bayesdep.numerics.draws import over_draws

_P, _DIFFERENCE = "probability", "difference in probability"


def estimands(settings: TransitionsSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.models.transitions.model.Transitions`.

    All are of everybody at hand, had they been in that arm: starting from the states at the first visit and averaged
    over the patients' covariates. A patient has improved if the state is at least one better than at the first visit,
    and the share is of all patients, those included who cannot improve. Time in a state counts a step if the patient
    is in that state at its end, up to the last time.

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
    xarray.Dataset
        As :meth:`bayesdep.models.transitions.model.Transitions.estimands` returns it.
    """
    states, profiles, arms = len(settings.states), data.sizes["profile"], data.sizes["arm"]
    elements = 4 * arms * profiles * states**2 + arms * data.sizes["time"] * states
    found = over_draws(posterior, lambda part: _probabilities(settings, part, data), elements)
    named = {str(name): found[name] for name in found.data_vars}
    derived = {
        "transition": estimand(named["transition"], "probability of the state one step after", _P, null=np.nan),
    }
    if "improves_next" in named:
        derived["improves_next"] = estimand(
            named["improves_next"], "probability of a better state one step after", _P, null=np.nan
        )
    derived |= _named(settings, named, data, "", "")
    if settings.delta:
        assumed = f", with {settings.delta:+g} log odds a step after dropping out"
        with_delta = {name.removesuffix("_with_delta"): named[name] for name in named if name.endswith("_with_delta")}
        derived |= _named(settings, with_delta, data, "_with_delta", assumed)
    return xr.Dataset(derived | _odds_ratios(settings, posterior, data))


def _named(
    settings: TransitionsSettings, found: dict[str, xr.DataArray], data: xr.Dataset, suffix: str, assumed: str
) -> dict[str, xr.DataArray]:
    """Name probabilities by arm and time, and compare them with the reference."""
    units = str(data["step"].attrs["units"])
    remission = " or ".join(settings.in_remission)
    rest = {"null": np.nan}
    derived = {
        "improved": estimand(
            found["improved"], f"share at least one state better than at the start{assumed}", _P, **rest
        ),
        "occupancy": estimand(found["occupancy"], f"share in a state{assumed}", _P, **rest),
        "time_in": estimand(found["time_in"], f"expected time in a state{assumed}", units, **rest),
    }
    if "worsened" in found:
        derived["worsened"] = estimand(
            found["worsened"], "share at least one state worse than at the start", _P, **rest
        )
    in_remission = found["time_in"].sel(state=list(settings.in_remission)).sum("state")
    derived["time_in_remission"] = estimand(in_remission, f"expected time in {remission}{assumed}", units, **rest)
    if settings.reference is not None:
        against = f"against {settings.reference}{assumed}"
        difference = less_first_arm(derived["improved"])
        derived["improved_difference"] = estimand(
            difference, f"difference in the share that is at least one state better, {against}", _DIFFERENCE
        )
        derived["improved_nnt"] = estimand(
            1 / difference,
            f"number needed to treat for one more at least one state better (below 0: to harm), {against}",
            "patients",
            reciprocal_of=f"improved_difference{suffix}",
        )
        derived["occupancy_difference"] = estimand(
            less_first_arm(derived["occupancy"]), f"difference in the share in a state, {against}", _DIFFERENCE
        )
        derived["time_in_remission_difference"] = estimand(
            less_first_arm(derived["time_in_remission"]),
            f"difference in the expected time in {remission}, {against}",
            units,
        )
    return {f"{name}{suffix}": values for name, values in derived.items()}


def _odds_ratios(settings: TransitionsSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Odds ratios of a worse state, by arm and covariate."""
    found = {}
    if "effect" in posterior:
        effect = posterior["effect_by_state" if settings.effects == "by-state" else "effect"]
        told = f"odds ratio of a worse state against {settings.reference}"
        found["odds_ratio"] = estimand(xr.apply_ufunc(np.exp, effect), told, "odds ratio", null=1.0)
    if "covariate_effect" in posterior:
        per_unit = xr.apply_ufunc(np.exp, posterior["covariate_effect"] / data["covariate_sd"])
        found["covariate_odds_ratio"] = estimand(
            per_unit, "odds ratio of a worse state per unit", "odds ratio", null=1.0
        )
    return found


def _probabilities(settings: TransitionsSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Probabilities by arm, of draws with dim ``sample``."""
    one_step = np.exp(log_one_step(settings, posterior, data))
    start = data["start"].values
    weight = start.sum(axis=1)
    transition = np.einsum("p,dapsk->dask", weight, one_step)[:, :, settings.left]
    better, worse = (np.tri(len(settings.states), k=-1), 1 - np.tri(len(settings.states)))  # [before, after]
    occupancy, improved, worsened = [], [], []
    time_in = np.zeros((*one_step.shape[:2], len(settings.states)))
    elapsed, step = data["elapsed"].values, float(data["step"])
    for number, power in powers(one_step, int(elapsed.max())):
        joint = np.einsum("pb,dapbk->dabk", start, power)  # of the first state and the one now
        now = joint.sum(axis=2)
        time_in += step * now
        if number in elapsed:
            occupancy.append(now)
            improved.append((joint * better).sum(axis=(2, 3)))
            worsened.append((joint * worse).sum(axis=(2, 3)))
    by_time: dict[str, Any] = {
        "occupancy": np.stack(occupancy, axis=2), "improved": np.stack(improved, axis=2), "time_in": time_in,
    }  # fmt: skip
    if settings.delta:
        added = changes_by_delta(settings, posterior, data, one_step)
        by_time |= {f"{name}_with_delta": by_time[name] + added[name] for name in added}
    by_time["worsened"] = np.stack(worsened, axis=2)
    dims = {"occupancy": ("arm", "time", "state"), "improved": ("arm", "time"), "worsened": ("arm", "time"),
            "time_in": ("arm", "state")}  # fmt: skip
    variables = {
        name: (("sample", *dims[name.removesuffix("_with_delta")]), values) for name, values in by_time.items()
    }
    variables["transition"] = (("sample", "arm", "before", "after"), transition)
    coords = {dim: data[dim].values for dim in ("arm", "time", "before", "after")} | {"state": list(settings.states)}
    can_improve = [row for row, state in enumerate(settings.left) if state > 0]  # nothing is better than the best state
    if can_improve:
        improves = (transition * better[settings.left]).sum(axis=-1)[:, :, can_improve]
        variables["improves_next"] = (("sample", "arm", "from_state"), improves)
        coords["from_state"] = [settings.left_states[row] for row in can_improve]
    return xr.Dataset(variables, coords)


# Without the model


def crude_differences(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return differences in the shares that improved among those seen at the first visit and then.

    Parameters
    ----------
    data
        The prepared data, of patients.

    Returns
    -------
    tuple of numpy.ndarray
        Differences and standard errors, shape (comparison x time,); NaN where an arm has nobody, or no spread.
    """
    states, arm = data["state_at_visit"].values, data["arm_of"].values
    shares, errors = [], []
    for k in range(data.sizes["arm"]):
        of_arm = states[arm == k]
        both = (of_arm[:, :1] >= 0) & (of_arm[:, 1:] >= 0)
        n = both.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = (both & (of_arm[:, 1:] < of_arm[:, :1])).sum(axis=0) / n
            shares.append(share)
            errors.append(share * (1 - share) / n)
    found = [(shares[k] - shares[0], np.sqrt(errors[k] + errors[0])) for k in range(1, len(shares))]
    difference, error = (np.concatenate(x) for x in zip(*found, strict=True))
    return difference, np.where(error > 0, error, np.nan)


def crude_transitions(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return shares by arm, state before and state after, counted over single steps.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Shares and standard errors, shape (arm x before x after,); NaN where nobody was counted, or there is no spread.
    """
    counts = count_single_steps(data)
    left = [list(data["after"].values).index(state) for state in data["before"].values]
    n = counts.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = counts / n
        error = np.sqrt(share * (1 - share) / n)
    known = np.isfinite(share)
    return np.where(known, share, np.nan)[:, left].ravel(), np.where(error > 0, error, np.nan)[:, left].ravel()


def count_single_steps(data: xr.Dataset) -> np.ndarray:
    """Count transitions over one step; of counts, those of states after that were told apart.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    numpy.ndarray
        Shape (arms, states, states); NaN in rows of states before whose states after were not all told apart.
    """
    states = data.sizes["after"]
    counts = np.zeros((data.sizes["arm"], states, states))
    if "people" in data:
        for k in np.flatnonzero(data["gap"].values == 1):
            told = (data["group"].values[k] == np.arange(states)).all()
            row = data["transition_count"].values[k] if told else np.nan
            counts[data["arm_of"].values[k], data["before_of"].values[k]] += row
        return counts
    patient, visit = np.nonzero(data["gap"].values == 1)
    seen = data["state_at_visit"].values
    before = seen[patient, data["previous"].values[patient, visit]]
    np.add.at(counts, (data["arm_of"].values[patient], before, seen[patient, visit]), 1)
    return counts
