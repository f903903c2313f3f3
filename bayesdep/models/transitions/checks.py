"""The predictive checks of states: the Markov assumption, constancy over time, and effects that are shared."""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from bayesdep.models.model import Check
from bayesdep.models.transitions.settings import TransitionsSettings


def checks(settings: TransitionsSettings, data: xr.Dataset) -> Sequence[Check]:
    """Name the test quantities.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    list of Check
        As :meth:`bayesdep.models.transitions.model.Transitions.checks` says; those for which the data have nothing are
        left out.
    """
    return _of_patients(settings, data) if settings.input == "patients" else _of_counts(data)


def _of_patients(settings: TransitionsSettings, data: xr.Dataset) -> list[Check]:
    gap, previous, arm = (data[name].values for name in ("gap", "previous", "arm_of"))
    patient, visit = np.nonzero(gap > 0)
    earlier = previous[patient, visit]

    def check(name: str, statistic: Callable[[np.ndarray], np.ndarray], units: str) -> Check:
        return Check(name, "state_at_visit", statistic, units)

    def pairs(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return states[..., patient, earlier], states[..., patient, visit]

    def share_better(states: np.ndarray) -> np.ndarray:
        before, after = pairs(states)
        return np.asarray((after < before).mean(axis=-1))

    def share_best(states: np.ndarray) -> np.ndarray:
        return np.asarray((pairs(states)[1] == 0).mean(axis=-1))

    named = [
        check("share of changes for the better", share_better, "share of pairs of visits"),
        check("share in the best state", share_best, "share of visits"),
    ]
    third = previous[patient, earlier] >= 0  # three visits seen in a row
    if third.sum() > 1:
        named.append(_second_order(settings, check, patient[third], visit[third], earlier[third], previous))
    middle = float(np.median(visit))
    early, late = visit <= middle, visit > middle
    if early.any() and late.any():

        def drift(states: np.ndarray) -> np.ndarray:
            before, after = pairs(states)
            better = after < before
            return np.asarray(better[..., early].mean(axis=-1) - better[..., late].mean(axis=-1))

        named.append(check("changes for the better, early less late", drift, "difference in shares"))
    if data.sizes["arm"] > 1:
        own = arm[patient]

        def spread(states: np.ndarray) -> np.ndarray:
            before, after = pairs(states)
            return _spread_over_states(after < before, before, own, settings)

        named.append(check("spread of the arms' difference over states before", spread, "difference in shares"))
    return named


def _second_order(
    settings: TransitionsSettings,
    check: Callable[[str, Callable[[np.ndarray], np.ndarray], str], Check],
    patient: np.ndarray,
    visit: np.ndarray,
    middle: np.ndarray,
    previous: np.ndarray,
) -> Check:
    """Whether patients who stayed before stay again, more than the state itself says.

    For each state b in the middle, the share that stays among those who were in it before less that among those who
    came into it; weighted by the number of both. In a first-order chain with one matrix it is zero on average.
    """
    first = previous[patient, middle]

    def statistic(states: np.ndarray) -> np.ndarray:
        a, b, c = states[..., patient, first], states[..., patient, middle], states[..., patient, visit]
        total, weight = np.zeros(a.shape[:-1]), np.zeros(a.shape[:-1])
        for state in settings.left:
            stayed, came = (b == state) & (a == state), (b == state) & (a != state)
            n = [group.sum(axis=-1) for group in (stayed, came)]
            with np.errstate(invalid="ignore", divide="ignore"):
                difference = [
                    (group & (c == state)).sum(axis=-1) / k for group, k in zip((stayed, came), n, strict=True)
                ]
                share = np.where((n[0] > 0) & (n[1] > 0), n[0] * n[1] / np.maximum(n[0] + n[1], 1), 0.0)
            total += np.where(share > 0, share * (difference[0] - difference[1]), 0.0)
            weight += share
        return np.asarray(np.where(weight > 0, total / np.maximum(weight, 1e-12), 0.0))

    return check("staying again after staying (second order)", statistic, "difference in shares")


def _spread_over_states(
    better: np.ndarray, before: np.ndarray, arm: np.ndarray, settings: TransitionsSettings
) -> np.ndarray:
    """Range over states before of the difference in changes for the better, every other arm against the reference."""
    differences = []
    for state in settings.left[1:]:  # nothing is better than the first
        rate = []
        for group in (arm == 0, arm > 0):
            at = (before == state) & group
            with np.errstate(invalid="ignore", divide="ignore"):
                rate.append((at & better).sum(axis=-1) / at.sum(axis=-1))
        differences.append(rate[1] - rate[0])
    each = np.stack(differences) if differences else np.zeros((1, *better.shape[:-1]))
    known = np.isfinite(each)
    high, low = np.where(known, each, -np.inf).max(axis=0), np.where(known, each, np.inf).min(axis=0)
    return np.asarray(np.where(known.any(axis=0), np.where(known.any(axis=0), high - low, 0.0), 0.0))


def _of_counts(data: xr.Dataset) -> list[Check]:
    before, n = data["before_of"].values, data["people"].values
    states = np.arange(data.sizes["after"])
    better, same = states < before[:, None], states == before[:, None]

    def check(name: str, chosen: np.ndarray) -> Check:
        return Check(
            name, "transition_count", lambda counts: (counts * chosen).sum(axis=(-2, -1)) / n.sum(), "share of people"
        )

    return [check("share of changes for the better", better), check("share in the same state", same)]
