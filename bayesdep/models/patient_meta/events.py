r"""Events of patients in several studies: who had them, their logistic model, and the score of each study.

Patients alike in study, arm and columns (one, baseline, moderators) count together, as binomials. A study's own level
and effect are sampled as what is left to learn about them, as in :mod:`~bayesdep.models.parts.adaptive_effects`, for
two at once. With y a study's empirical log odds by arm, c those of the typical study, L the root of the covariance
between studies and W the information of its counts on level and effect,

    M = I + L' W L = C C'      u = L C'^-1 (C^-1 L' g + z)      g = sum over arms of U' i (y - c)

U is one and -1/2 for the reference, one and 1/2 for the treatment. z is standard normal to the extent that counts are
Gaussian; its density is such that u has ``N(0, L L')`` exactly.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.data.errors import BadInput
from bayesdep.models.patient_meta.products import columns_of, names_of_columns

if TYPE_CHECKING:
    from bayesdep.models.patient_meta.model import PatientMeta

NAME = "events"
NODES = 5  # around the mode, on either axis
_NEWTON_STEPS = 12
FREE_LEVEL_SD = 10.0  # log odds: a study without any event has no flat prior that leaves its density finite
_AT_ONCE = 2_000_000  # numbers in an array: bounds memory


def as_events(model: "PatientMeta", outcome: np.ndarray) -> np.ndarray:
    """Return who had the event: 1, 0, or NaN where the outcome is missing.

    Parameters
    ----------
    model
        The model, with ``at_least`` or ``at_most``.
    outcome
        Outcomes.

    Returns
    -------
    numpy.ndarray
        With the outcome's shape.
    """
    had = outcome >= model.at_least if model.at_least is not None else outcome <= model.at_most
    return np.where(np.isnan(outcome), np.nan, had)


def event_of(model: "PatientMeta") -> str:
    """Name the event, such as ``improvement >= 50``."""
    if model.at_least is not None:
        return f"{model.outcome} >= {model.at_least:g}"
    return f"{model.outcome} <= {model.at_most:g}"


def count_events(data: xr.Dataset) -> xr.Dataset:
    """Count events and patients by study, arm and columns.

    Parameters
    ----------
    data
        As :func:`~bayesdep.models.patient_meta.data.read_patients` returns it, its outcome being events, at one time.

    Returns
    -------
    xarray.Dataset
        By cell, in the order of the studies: ``events``, ``n``, ``cell_study``, ``cell_arm`` and ``z`` (cell, column);
        by study and arm ``study_events``, ``study_n`` and ``study_z`` (mean columns; those of the whole where an arm
        has nobody).

    Raises
    ------
    BadInput
        When there is one study only with an outcome.
    """
    y = data["outcome"].values[:, 0]
    seen = ~np.isnan(y)
    z, of, arm = columns_of(data)[seen], data["study_of"].values[seen], data["arm_of"].values[seen]
    if len(np.unique(of)) < data.sizes["study"]:
        gone = data["study"].values[np.setdiff1d(np.arange(data.sizes["study"]), of)[0]]
        raise BadInput(f"study '{gone}' has nobody with an outcome at this time; leave it out")
    rows, which = np.unique(np.column_stack([of, arm, z]), axis=0, return_inverse=True)
    which = which.ravel()
    shape = (data.sizes["study"], 2)
    group = of * 2 + arm
    n = np.bincount(group, minlength=np.prod(shape))
    sums = np.stack([np.bincount(group, c, len(n)) for c in z.T], axis=-1)
    mean = np.where(n[:, None] > 0, sums / np.maximum(n, 1)[:, None], z.mean(axis=0))
    return xr.Dataset(
        {
            "events": ("cell", np.bincount(which, y[seen]).astype(int)),
            "n": ("cell", np.bincount(which)),
            "cell_study": ("cell", rows[:, 0].astype(int)),
            "cell_arm": ("cell", rows[:, 1].astype(int)),
            "z": (("cell", "column"), rows[:, 2:]),
            "study_events": (("study", "arm"), np.bincount(group, y[seen], len(n)).reshape(shape)),
            "study_n": (("study", "arm"), n.reshape(shape)),
            "study_z": (("study", "arm", "column"), mean.reshape(*shape, -1)),
        },
        {"column": names_of_columns(data), "cell": np.arange(len(rows))},
    )


def build_events(data: xr.Dataset, gamma: Any, root: Any) -> None:
    """Add studies' own deviations and the events to a PyMC model, inside its context.

    Parameters
    ----------
    data
        The prepared data.
    gamma
        What columns count for: (arm, column, time).
    root
        L, (2, 2), lower triangular.
    """
    import pymc as pm
    import pytensor.tensor as pt

    e, n = data["study_events"].values + 0.5, data["study_n"].values + 1.0
    y = pm.Data("rough_log_odds", special.logit(e / n), dims=("study", "arm"))
    i = pm.Data("rough_information", e * (n - e) / n, dims=("study", "arm"))
    middle = pm.Data("study_z", data["study_z"].values, dims=("study", "arm", "column"))
    away = i * (y - (middle * gamma[:, :, 0]).sum(axis=-1))
    g0, g1 = away.sum(axis=-1), (away[:, 1] - away[:, 0]) / 2
    w00, w01, w11 = i.sum(axis=-1), (i[:, 1] - i[:, 0]) / 2, i.sum(axis=-1) / 4
    l00, l10, l11 = root[0, 0], root[1, 0], root[1, 1]
    h0, h1 = l00 * g0 + l10 * g1, l11 * g1
    m00 = 1 + l00**2 * w00 + 2 * l00 * l10 * w01 + l10**2 * w11
    m01, m11 = l11 * (l00 * w01 + l10 * w11), 1 + l11**2 * w11
    c00 = pt.sqrt(m00)
    c10 = m01 / c00
    c11 = pt.sqrt(m11 - c10**2)
    t0 = h0 / c00
    t1 = (h1 - c10 * t0) / c11
    second = (t1 + pm.Normal("effect_latent", -t1, c11, dims="study")) / c11
    shift = c10 * second - t0
    first = (pm.Normal("level_latent", shift, c00, dims="study") - shift) / c00
    own = pt.stack([l00 * first, l10 * first + l11 * second], axis=-1)
    pm.Deterministic("deviation", own[:, None, :], dims=("study", "time", "which"))
    study, arm = (pm.Data(name, data[name].values, dims="cell") for name in ("cell_study", "cell_arm"))
    z = pm.Data("z", data["z"].values, dims=("cell", "column"))
    log_odds = (z * gamma[:, :, 0][arm]).sum(axis=-1) + own[study, 0] + (arm - 0.5) * own[study, 1]
    number = pm.Data("n", data["n"].values, dims="cell")
    pm.Binomial(NAME, n=number, logit_p=log_odds, observed=pm.Data("events_data", data["events"].values), dims="cell")


def log_likelihood(gamma: np.ndarray, root: np.ndarray, data: xr.Dataset, *, nodes: int = NODES) -> np.ndarray:
    """Score every study by the probability of its events, its own level and effect integrated out.

    By Gauss-Hermite quadrature around the mode, scaled by the curvature there (Liu and Pierce 1994,
    doi:10.1093/biomet/81.3.624).

    Parameters
    ----------
    gamma
        What columns count for, draw by draw: (sample, arm, column, time).
    root
        Root of the covariance between studies: (sample, 2, 2).
    data
        The prepared data.
    nodes
        On either axis.

    Returns
    -------
    numpy.ndarray
        Shape (sample, study).
    """
    step = max(1, _AT_ONCE // data.sizes["cell"])
    parts = [_score(gamma[i : i + step], root[i : i + step], data, nodes) for i in range(0, len(gamma), step)]
    return np.concatenate(parts)


def _score(gamma: np.ndarray, root: np.ndarray, data: xr.Dataset, nodes: int) -> np.ndarray:
    study, arm, z = (data[v].values for v in ("cell_study", "cell_arm", "z"))
    events, n = data["events"].values, data["n"].values
    first = np.searchsorted(study, np.arange(data.sizes["study"]))  # cells are in the order of the studies
    by_arm = np.einsum("cz,saz->sac", z, gamma[..., 0])
    fixed = np.where(arm, by_arm[:, 1], by_arm[:, 0])
    # a cell's log odds move by the first of two standard normals by `one`, by the second by `other`
    code = arm - 0.5
    one, other = root[:, 0, :1] + code * root[:, 1, :1], code * root[:, 1, 1:]
    constant = special.gammaln(n + 1) - special.gammaln(events + 1) - special.gammaln(n - events + 1)
    by_study = np.add.reduceat(constant, first)

    def log_joint(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        x = fixed + one * a[:, study] + other * b[:, study]
        inside = events * x - n * np.logaddexp(0, x)
        return np.asarray(np.add.reduceat(inside, first, axis=1) - (a**2 + b**2) / 2 + by_study)

    def curvature(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
        p = special.expit(fixed + one * a[:, study] + other * b[:, study])
        left, weight = events - n * p, n * p * (1 - p)
        slopes = (one * left, other * left, one**2 * weight, one * other * weight, other**2 * weight)
        s0, s1, w00, w01, w11 = (np.add.reduceat(x, first, axis=1) for x in slopes)
        return s0 - a, s1 - b, 1 + w00, w01, 1 + w11

    a = b = np.zeros((len(gamma), len(first)))
    height = log_joint(a, b)
    for _ in range(_NEWTON_STEPS):  # the integrand is log-concave; a step that does not ascend is halved
        s0, s1, w00, w01, w11 = curvature(a, b)
        size = w00 * w11 - w01**2
        da, db = (w11 * s0 - w01 * s1) / size, (w00 * s1 - w01 * s0) / size
        if max(np.abs(da).max(), np.abs(db).max()) < 1e-4:
            break
        share = np.ones_like(a)
        for _ in range(8):
            tried = log_joint(a + share * da, b + share * db)
            if (worse := tried < height - 1e-9).any():
                share = np.where(worse, share / 2, share)
            else:
                break
        a, b = a + share * da, b + share * db
        height = log_joint(a, b)
    _, _, w00, w01, w11 = curvature(a, b)
    # a root R of the inverse of the curvature: R R' W = I
    r00 = 1 / np.sqrt(w00 - w01**2 / w11)
    r10, r11 = -w01 / w11 * r00, 1 / np.sqrt(w11)
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    terms = []
    for p, wp in zip(points, weights, strict=True):
        for q, wq in zip(points, weights, strict=True):
            value = log_joint(a + r00 * p, b + r10 * p + r11 * q)
            terms.append(value + (p**2 + q**2) / 2 + np.log(wp * wq / (2 * np.pi)))
    return np.asarray(special.logsumexp(np.stack(terms), axis=0) + np.log(r00 * r11))
