r"""Events of patients in several studies: who had them, their logistic model, and each study's probability.

Patients alike in study, arm and columns (one, baseline, moderators) count together, as binomials. A study's own level
and effect are reparametrised by their approximate conditional posterior, as in
:mod:`~bayesdep.models.parts.adaptive_effects`, both at once. With y a study's empirical log odds by arm, c those of the
typical study, L the root of the covariance between studies and W the information of its counts on level and effect,

    M = I + L' W L = C C'      u = L C'^-1 (C^-1 L' g + z)      g = sum over arms of U' i (y - c)

U is one and -1/2 for the reference, one and 1/2 for the treatment. z is standard normal to the extent that counts are
Gaussian; its density is such that u has ``N(0, L L')`` exactly.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.data.errors import BadInput
from bayesdep.models.patient_meta.products import columns_of, names_of_columns
from bayesdep.numerics.types import Tensor

NAME = "events"
NODES = 5  # around the mode, on either axis
_NEWTON_STEPS = 12


def as_events(outcome: np.ndarray, *, at_least: float | None, at_most: float | None) -> np.ndarray:
    """Return who had the event: 1, 0, or NaN where the outcome is missing.

    Parameters
    ----------
    outcome
        Outcomes.
    at_least, at_most
        The limit that makes an outcome an event; one of the two is None.

    Returns
    -------
    numpy.ndarray
        With the outcome's shape.
    """
    had = outcome >= at_least if at_least is not None else outcome <= at_most
    return np.where(np.isnan(outcome), np.nan, had)


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
        by study and arm ``study_events``, ``study_n`` and ``study_z`` (mean columns; of all patients where an arm
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


def add_events(data: xr.Dataset, gamma: Tensor, root: Tensor) -> None:
    """Add studies' own deviations and the events to a PyMC model, inside its context.

    Parameters
    ----------
    data
        The prepared data.
    gamma
        Coefficients: (arm, column, time).
    root
        L, (2, 2), lower triangular.
    """
    import pymc as pm

    deviation = _study_deviations(data, gamma, root)
    pm.Deterministic("deviation", deviation[:, None, :], dims=("study", "time", "which"))
    study, arm = (pm.Data(name, data[name].values, dims="cell") for name in ("cell_study", "cell_arm"))
    z = pm.Data("z", data["z"].values, dims=("cell", "column"))
    log_odds = (z * gamma[:, :, 0][arm]).sum(axis=-1) + deviation[study, 0] + (arm - 0.5) * deviation[study, 1]
    number = pm.Data("n", data["n"].values, dims="cell")
    pm.Binomial(NAME, n=number, logit_p=log_odds, observed=pm.Data("events_data", data["events"].values), dims="cell")


def _study_deviations(data: xr.Dataset, gamma: Tensor, root: Tensor) -> Tensor:
    """Every study's level and effect less the typical ones: (study, which), sampled as the module's formulas say."""
    import pymc as pm
    import pytensor.tensor as pt

    e, n = data["study_events"].values + 0.5, data["study_n"].values + 1.0
    y = pm.Data("rough_log_odds", special.logit(e / n), dims=("study", "arm"))
    i = pm.Data("rough_information", e * (n - e) / n, dims=("study", "arm"))
    middle = pm.Data("study_z", data["study_z"].values, dims=("study", "arm", "column"))
    away = i * (y - (middle * gamma[:, :, 0]).sum(axis=-1))
    g0, g1 = away.sum(axis=-1), (away[:, 1] - away[:, 0]) / 2
    w00, w01, w11 = i.sum(axis=-1), (i[:, 1] - i[:, 0]) / 2, i.sum(axis=-1) / 4
    # L' g, M and C by their entries
    l00, l10, l11 = root[0, 0], root[1, 0], root[1, 1]
    h0, h1 = l00 * g0 + l10 * g1, l11 * g1
    m00 = 1 + l00**2 * w00 + 2 * l00 * l10 * w01 + l10**2 * w11
    m01, m11 = l11 * (l00 * w01 + l10 * w11), 1 + l11**2 * w11
    c00 = pt.sqrt(m00)
    c10 = m01 / c00
    c11 = pt.sqrt(m11 - c10**2)
    # C^-1 L' g, then C'^-1 (C^-1 L' g + z): u is L times this
    t0 = h0 / c00
    t1 = (h1 - c10 * t0) / c11
    second = (t1 + pm.Normal("effect_latent", -t1, c11, dims="study")) / c11
    shift = c10 * second - t0
    first = (pm.Normal("level_latent", shift, c00, dims="study") - shift) / c00
    return pt.stack([l00 * first, l10 * first + l11 * second], axis=-1)


@dataclass(frozen=True)
class _Events:
    """Events of all studies at many draws, given two standard normals a and b that a study's deviations are made of.

    Parameters
    ----------
    events, n, study
        By cell: events, patients, and the study.
    first
        By study, its first cell; cells are in the order of the studies.
    fixed, by_a, by_b
        (sample, cell): log odds where a and b are zero, and what they change by one of a and of b.
    constant
        By study, the log of the binomial coefficients.
    """

    events: np.ndarray
    n: np.ndarray
    study: np.ndarray
    first: np.ndarray
    fixed: np.ndarray
    by_a: np.ndarray
    by_b: np.ndarray
    constant: np.ndarray

    @classmethod
    def of(cls, gamma: np.ndarray, root: np.ndarray, data: xr.Dataset) -> "_Events":
        study, arm, z = (data[v].values for v in ("cell_study", "cell_arm", "z"))
        events, n = data["events"].values, data["n"].values
        first = np.searchsorted(study, np.arange(data.sizes["study"]))
        by_arm = np.einsum("cz,saz->sac", z, gamma[..., 0])
        fixed = np.where(arm, by_arm[:, 1], by_arm[:, 0])
        code = arm - 0.5
        by_a, by_b = root[:, 0, :1] + code * root[:, 1, :1], code * root[:, 1, 1:]
        binomial = special.gammaln(n + 1) - special.gammaln(events + 1) - special.gammaln(n - events + 1)
        return cls(events, n, study, first, fixed, by_a, by_b, np.add.reduceat(binomial, first))

    def log_odds(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(sample, cell), of a and b by sample and study."""
        return self.fixed + self.by_a * a[:, self.study] + self.by_b * b[:, self.study]

    def log_joint(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The log of the probability of a study's events times the density of a and b, without 2 pi."""
        x = self.log_odds(a, b)
        inside = self.events * x - self.n * np.logaddexp(0, x)
        return np.asarray(np.add.reduceat(inside, self.first, axis=1) - (a**2 + b**2) / 2 + self.constant)

    def slopes(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
        """Its first derivatives by a and b, and minus the second ones: by a twice, by both, by b twice."""
        p = special.expit(self.log_odds(a, b))
        residual, weight = self.events - self.n * p, self.n * p * (1 - p)
        by_cell = (
            self.by_a * residual, self.by_b * residual,
            self.by_a**2 * weight, self.by_a * self.by_b * weight, self.by_b**2 * weight,
        )  # fmt: skip
        s0, s1, w00, w01, w11 = (np.add.reduceat(x, self.first, axis=1) for x in by_cell)
        return s0 - a, s1 - b, 1 + w00, w01, 1 + w11

    def mode(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the joint density is highest, by Newton's method: it is log-concave."""
        a = b = np.zeros((len(self.fixed), len(self.first)))
        height = self.log_joint(a, b)
        for _ in range(_NEWTON_STEPS):
            s0, s1, w00, w01, w11 = self.slopes(a, b)
            size = w00 * w11 - w01**2
            da, db = (w11 * s0 - w01 * s1) / size, (w00 * s1 - w01 * s0) / size
            if max(np.abs(da).max(), np.abs(db).max()) < 1e-4:
                break
            share = np.ones_like(a)
            for _ in range(8):  # a step that does not ascend is halved
                tried = self.log_joint(a + share * da, b + share * db)
                if (worse := tried < height - 1e-9).any():
                    share = np.where(worse, share / 2, share)
                else:
                    break
            a, b = a + share * da, b + share * db
            height = self.log_joint(a, b)
        return a, b


def log_probability_of_studies(gamma: np.ndarray, root: np.ndarray, data: xr.Dataset, *, nodes: int) -> np.ndarray:
    """Return the log probability of every study's events, its own level and effect integrated out.

    By Gauss-Hermite quadrature around the mode, scaled by the curvature there (Liu and Pierce 1994,
    doi:10.1093/biomet/81.3.624).

    Parameters
    ----------
    gamma
        Coefficients, draw by draw: (sample, arm, column, time).
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
    observed = _Events.of(gamma, root, data)
    a, b = observed.mode()
    _, _, w00, w01, w11 = observed.slopes(a, b)
    # a root R of the inverse of the curvature: R R' W = I
    r00 = 1 / np.sqrt(w00 - w01**2 / w11)
    r10, r11 = -w01 / w11 * r00, 1 / np.sqrt(w11)
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    terms = []
    for p, wp in zip(points, weights, strict=True):
        for q, wq in zip(points, weights, strict=True):
            value = observed.log_joint(a + r00 * p, b + r10 * p + r11 * q)
            terms.append(value + (p**2 + q**2) / 2 + np.log(wp * wq / (2 * np.pi)))
    return np.asarray(special.logsumexp(np.stack(terms), axis=0) + np.log(r00 * r11))
