"""Response and remission in a trial over visits: probabilities of whole trajectories, arm by arm."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.times import label_of_time
from bayesdep.models.trial.means import everybody_in, expected
from bayesdep.models.trial.residuals import correlations, residual_sds
from bayesdep.models.trial.settings import TrialSettings
from bayesdep.numerics.draws import over_draws
from bayesdep.numerics.types import Draws

# Paths per draw and arm, over all patients together; at least two a patient. They make a rate's sd larger by a quarter
# of a percent: their noise has an sd of 0.004 where the posterior's is 0.06 (60 patients at seven visits, response).
_PATHS = 400


def rates(settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive how many patients would respond and remit, had all been in one arm and missed no visit.

    A patient does not respond when the score stays above ``(1 - response)`` times the baseline's at every visit. That
    is a probability of a multivariate normal rectangle, taken visit by visit: given a path of earlier visits that all
    stayed above, the next visit's is a normal tail, and the path goes on with a draw from that tail (the GHK
    simulator: Geweke 1991, Keane 1994, doi:10.2307/2951475). The product of the tails has the right mean, and much
    less noise than counting simulated patients; paths come in antithetic pairs. Remission is a score of ``remission``
    or less. At one visit, the last or a named one, either is a normal tail itself. A robust model's paths each have a
    precision of their own.

    Parameters
    ----------
    settings
        The model's settings, with ``response`` or ``remission``.
    posterior
        Draws of its parameters, dims (chain, draw, ...).
    data
        The prepared trial.

    Returns
    -------
    xarray.Dataset
        ``response`` and ``remission``, whichever are asked for, by (chain, draw, arm, group): mean probabilities over
        the patients of each group, ``"all"`` and the subgroups.
    """
    patients, arms = data.sizes["subject"], data.sizes["arm"]
    paths = 2 * max(1, _PATHS // (2 * patients))  # of a patient in a draw
    groups, weights = _groups(settings, data)
    asked = [name for name in ("response", "remission") if getattr(settings, name) is not None]
    rng = np.random.default_rng(0)  # the same posterior has the same rates
    coords = {"arm": data["arm"].values, "group": groups}

    def rates_of(draws: xr.Dataset) -> xr.Dataset:
        by_arm = [_rates_of_patients(settings, draws, data, arm, paths, rng) for arm in range(arms)]
        mean = {name: np.stack([of_arm[name] @ weights.T for of_arm in by_arm], axis=1) for name in asked}
        return xr.Dataset({name: (("sample", "arm", "group"), values) for name, values in mean.items()}, coords)

    return over_draws(posterior, rates_of, 2 * patients * paths)


def _groups(settings: TrialSettings, data: xr.Dataset) -> tuple[list[str], np.ndarray]:
    """All patients and the subgroups: names, and weights of a mean over each, shape (groups, subjects)."""
    member = np.ones((1, data.sizes["subject"]), bool)
    groups = ["all"]
    if settings.subgroups:
        member = np.vstack([member, data["subgroup_member"].values])
        groups += [str(group) for group in data["subgroup"].values]
    return groups, member / member.sum(axis=1, keepdims=True)


def _rates_of_patients(
    settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset, arm: int, paths: int, rng: np.random.Generator
) -> dict[str, Draws]:
    """Each patient's probabilities in one arm, shape (samples, patients)."""
    mean = expected(settings, posterior, everybody_in(arm, data))
    at_baseline = None
    if settings.baseline is not None:
        at_baseline = (data["baseline"].values + data["baseline"].attrs["mean"])[:, None]
    if settings.change:
        assert at_baseline is not None  # the settings refuse rates of changes without a baseline
        mean = mean + at_baseline
    sd = residual_sds(posterior, data)[:, arm]
    scale = np.ones((*mean.shape[:2], paths))  # of a path's residuals
    if settings.robust:
        nu = posterior["nu"].values[:, None, None]
        scale = 1 / np.sqrt(rng.gamma(np.broadcast_to(nu / 2, scale.shape)) / (nu / 2))
    highest: dict[str, float | Draws | None] = {"remission": settings.remission}  # score
    if settings.response is not None:
        highest["response"] = (1 - settings.response) * np.asarray(at_baseline)
    rates_by_name: dict[str, Draws] = {}
    root = None
    for name, score in highest.items():
        if score is None:
            continue
        limit = (score - mean) / sd[:, None, :]
        visit = visit_of(getattr(settings, f"{name}_when"), data, f"{name}_when")
        if visit is not None:
            rates_by_name[name] = special.ndtr(limit[:, :, visit, None] / scale).mean(axis=-1)
            continue
        if root is None:
            days = np.median(data["day"].values, axis=0)
            root = np.linalg.cholesky(correlations(settings, posterior, days, arm))
        rates_by_name[name] = 1 - _stays_above(limit, scale, root, rng)
    return rates_by_name


def visit_of(when: str | float, data: xr.Dataset, setting: str) -> int | None:
    """Find the visit at which patients are asked whether they responded.

    Parameters
    ----------
    when
        ``"any"``, ``"last"`` or a visit's name or number.
    data
        The prepared trial.
    setting
        The setting's name, for messages.

    Returns
    -------
    int or None
        The visit's place; None for any visit.

    Raises
    ------
    BadInput
        When there is no such visit.
    """
    names = [str(v) for v in data["visit"].values]
    label = label_of_time(when)
    if label in ("any", "last") and label not in names:
        return None if label == "any" else len(names) - 1
    if label not in names:
        raise BadInput(
            f"{setting} = {when!r}, but there is no such visit; {did_you_mean(label, ['any', 'last', *names])}"
        )
    return names.index(label)


def time_in_words(when: str | float, data: xr.Dataset) -> str:
    """Say when it is asked: ``"at any visit"``, ``"at the last visit"``, ``"at visit 8"``."""
    visit = visit_of(when, data, "response_when")
    if visit is None:
        return "at any visit"
    return "at the last visit" if when == "last" else f"at visit {data['visit'].values[visit]}"


def _stays_above(limit: Draws, scale: Draws, root: Draws, rng: np.random.Generator) -> Draws:
    """Probability that the residuals of all visits lie above their limits.

    Shapes: ``limit`` (samples, patients, visits), ``scale`` (samples, patients, paths), ``root`` (samples, visits,
    visits), the result (samples, patients).
    """
    samples, patients, visits = limit.shape
    paths = scale.shape[-1]
    path = np.empty((visits, samples, patients, paths))
    probability = np.ones((samples, patients, paths))
    for j in range(visits):
        past = np.einsum("sk,kspe->spe", root[:, j, :j], path[:j])
        lowest = (limit[:, :, j, None] / scale - past) / root[:, j, j, None, None]
        tail = special.ndtr(-lowest)
        probability = probability * tail
        if j + 1 < visits:
            half = rng.random((samples, patients, paths // 2))
            share = np.concatenate([half, 1 - half], axis=-1)
            # where a tail's probability rounds to zero the path has no weight, but it must stay finite
            path[j] = -special.ndtri(np.maximum(share * tail, 1e-300))
    return np.asarray(probability.mean(axis=-1))
