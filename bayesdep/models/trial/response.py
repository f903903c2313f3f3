"""Response and remission in a trial over visits: probabilities of whole trajectories, arm by arm."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.times import label_of_time
from bayesdep.models.trial.means import expected
from bayesdep.models.trial.residuals import correlations, residual_sds

if TYPE_CHECKING:
    from bayesdep.models.trial.model import Trial

_PATHS = 2000  # paths per draw and arm, over all patients together; at least two a patient
_AT_ONCE = 2_000_000  # paths x draws followed at a time: a few arrays of 16 MB


def rates(model: "Trial", posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
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
    model
        The model, with ``response`` or ``remission``.
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
    flat = posterior.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
    count, patients = flat.sizes["sample"], data.sizes["subject"]
    each = 2 * max(1, _PATHS // (2 * patients))
    member = np.ones((1, patients), bool)
    groups = ["all"]
    if model.subgroups:
        member = np.vstack([member, data["subgroup_member"].values])
        groups += [str(g) for g in data["subgroup"].values]
    weights = member / member.sum(axis=1, keepdims=True)
    asked = [name for name in ("response", "remission") if getattr(model, name) is not None]
    found = {name: np.zeros((count, data.sizes["arm"], len(groups))) for name in asked}
    rng = np.random.default_rng(0)  # the same posterior has the same rates
    step = max(1, _AT_ONCE // (patients * each))
    for start in range(0, count, step):
        rows = slice(start, start + step)
        part = flat.isel(sample=rows)
        for arm in range(data.sizes["arm"]):
            by_patient = _of_patients(model, part, data, arm, each, rng)
            for name in asked:
                found[name][rows, arm] = by_patient[name] @ weights.T
    sample = {d: posterior[d] for d in ("chain", "draw")}
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], data.sizes["arm"], len(groups))
    coords = {**sample, "arm": data["arm"].values, "group": groups}
    dims = ("chain", "draw", "arm", "group")
    return xr.Dataset({name: (dims, values.reshape(shape)) for name, values in found.items()}, coords)


def _of_patients(
    model: "Trial", posterior: xr.Dataset, data: xr.Dataset, arm: int, each: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Each patient's probabilities in one arm, shape (samples, patients)."""
    code = data["arm_code"].values[np.flatnonzero(data["arm_of"].values == arm)[0]]
    everybody = data.assign(arm_code=data["arm_code"].copy(data=np.broadcast_to(code, data["arm_code"].shape)))
    at_baseline = None
    if model.baseline is not None:
        at_baseline = (data["baseline"].values + data["baseline"].attrs["mean"])[:, None]
    mean = expected(model, posterior, everybody)
    if model.change:
        assert at_baseline is not None  # a trial without baseline asks no rates of its changes
        mean = mean + at_baseline
    sd = residual_sds(posterior, data)[:, arm]
    scale = np.ones((*mean.shape[:2], each))  # of a path's residuals
    if model.robust:
        nu = posterior["nu"].values[:, None, None]
        scale = 1 / np.sqrt(rng.gamma(np.broadcast_to(nu / 2, scale.shape)) / (nu / 2))
    found, root = {}, None
    for name in ("remission", "response"):
        if getattr(model, name) is None:
            continue
        score: Any = model.remission
        if name == "response":
            score = (1 - (model.response or 0.0)) * np.asarray(at_baseline)
        limit = (score - mean) / sd[:, None, :]
        when = visit_of(getattr(model, f"{name}_when"), data, f"{name}_when")
        if when is not None:
            found[name] = special.ndtr(limit[:, :, when, None] / scale).mean(axis=-1)
            continue
        if root is None:
            root = np.linalg.cholesky(correlations(model, posterior, np.median(data["day"].values, axis=0), arm))
        found[name] = 1 - _all_above(limit, scale, root, rng)
    return found


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
    place = visit_of(when, data, "response_when")
    if place is None:
        return "at any visit"
    return "at the last visit" if when == "last" else f"at visit {data['visit'].values[place]}"


def _all_above(limit: np.ndarray, scale: np.ndarray, root: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Probability that every visit's residual lies above its limit: (samples, patients) from (..., visits)."""
    samples, patients, visits = limit.shape
    each = scale.shape[-1]
    path = np.empty((visits, samples, patients, each))
    stays = np.ones((samples, patients, each))
    for j in range(visits):
        past = np.einsum("sk,kspe->spe", root[:, j, :j], path[:j])
        above = (limit[:, :, j, None] / scale - past) / root[:, j, j, None, None]
        tail = special.ndtr(-above)
        stays = stays * tail
        if j + 1 < visits:
            half = rng.random((samples, patients, each // 2))
            share = np.concatenate([half, 1 - half], axis=-1)
            # a tail of no mass has nowhere to go, and its path no weight
            path[j] = -special.ndtri(np.maximum(share * tail, 1e-300))
    return np.asarray(stays.mean(axis=-1))
