"""What if patients who dropped out did otherwise than those who stayed? Answers from the draws of a trial's fit."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import xarray as xr
from scipy.optimize import brentq
from scipy.special import stdtrit

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.inference.fit import Fit
from bayesdep.models.parts import trial_estimands
from bayesdep.models.trial import Trial

Method = Literal["missing-at-random", "delta", "jump-to-reference", "copy-reference", "copy-increments"]
METHODS: tuple[Method, ...] = get_args(Method)
_LEVEL = 0.95
_AT_ONCE = 4_000_000  # outcomes completed at a time, all draws together: 32 MB an array
_FARTHEST = 2.0**40  # sds of the outcome within which a tipping point is sought


@dataclass(frozen=True)
class _Regression:
    """Analysis of covariance of the completed outcome at a visit: the same patients, so one design for all visits.

    ``weights @ y`` (comparison, subject) is the difference between an arm and the reference, ``unscaled``
    (comparison,) its variance over the residual variance, ``basis`` (subject, term) spans the design orthonormally.
    """

    weights: np.ndarray
    unscaled: np.ndarray
    basis: np.ndarray

    @property
    def df(self) -> int:
        """Residual degrees of freedom."""
        return self.basis.shape[0] - self.basis.shape[1]

    def residuals(self, y: np.ndarray) -> np.ndarray:
        """What the design leaves of ``y``, shape (..., subject, visit)."""
        return np.asarray(y - self.basis @ (self.basis.T @ y))


@dataclass(frozen=True)
class _Completed:
    """The trial with every missed visit replaced by its conditional mean, and what that leaves uncertain.

    Arrays by subject and visit: ``mean``, the completed outcome averaged over draws, and ``dropped``, whether a visit
    was missed after the last one observed. By visit: ``squares``, the expected sum of squared residuals of the
    regression. By (draw, comparison, visit): ``estimate``, each draw's expected difference. By (comparison, visit):
    ``noise``, the variance that imputing instead of knowing gives it, averaged over draws.
    """

    mean: np.ndarray
    dropped: np.ndarray
    estimate: np.ndarray
    noise: np.ndarray
    squares: np.ndarray
    regression: _Regression

    @property
    def between(self) -> np.ndarray:
        """Variance of the difference between imputations; that of the draws and that of imputing given a draw."""
        return np.asarray(self.estimate.var(axis=0, ddof=1) + self.noise)

    def within(self, shift: np.ndarray) -> np.ndarray:
        """Expected sampling variance of the difference with ``shift`` (subject, visit) added to what was imputed."""
        model = self.regression
        left, moved = model.residuals(self.mean), model.residuals(shift)
        squares = self.squares + (2 * left * moved + moved**2).sum(axis=0)
        return np.asarray(model.unscaled[:, None] * squares / model.df)

    def pooled(self, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pool by Rubin's rules: mean, sd and degrees of freedom, each of shape (comparison, visit)."""
        total = self.within(shift) + self.between
        df = self.regression.df
        # Barnard and Rubin 1999, equation 3, for infinitely many imputations
        known = (df + 1) / (df + 3) * df * (1 - self.between / total)
        return self.estimate.mean(axis=0) + self.regression.weights @ shift, np.sqrt(total), known


def dropout(
    fit: Fit, method: Method, *, delta: float | Mapping[str, float] = 0.0, draws: int | None = None
) -> xr.Dataset:
    """Compare a trial's arms under an assumption about the patients who dropped out, without a refit.

    A mixed model takes missed visits as missing at random: after dropping out, patients do as those of their arm with
    the same past who stayed. The data cannot tell; the other methods say what else may have happened. What a patient
    would have had at missed visits is normal given the visits observed, with the residual covariance S of the draw and
    means m; o are the visits observed, u those missed::

        y[u] | y[o] ~ MVN(m[u] + K (y[o] - m[o]), S[u, u] - K S[o, u])        K = S[u, o] S[o, o]^-1

    For a patient who was last observed at visit l, ``own`` being the mean of the patient's arm and ``ref`` the mean
    which the same patient (baseline, covariates, moderator) would have in the reference arm, m is

    ======================= ================================== =========================================
    method                  at visits up to l                  after l
    ======================= ================================== =========================================
    ``"missing-at-random"`` own                                own
    ``"delta"``             own                                own; delta is added to what was imputed
    ``"jump-to-reference"`` own                                ref
    ``"copy-reference"``    ref                                ref
    ``"copy-increments"``   own                                own[l] + ref - ref[l]
    ======================= ================================== =========================================

    (Carpenter, Roger and Kenward 2013, doi:10.1080/10543406.2013.834911; the arms share one covariance here, so what
    they say of combining two does not arise). Patients of the reference arm, and visits missed before a later one was
    observed, stay missing at random. Whoever was never observed has no l: ref throughout, except where missing at
    random (and with ``"delta"``).

    The completed data are analysed visit by visit by the story's own regression: arms, baseline, covariates, and the
    moderator with its interactions at its mean. The difference is linear in the outcomes, and the expected squares of
    residuals are known, so nothing is drawn: the result is that of Rubin's rules for infinitely many imputations::

        mean     = E[difference]                       over draws and imputations
        sd^2     = E[its squared standard error] + Var(E[difference | draw]) + E[Var(difference | draw)]
        interval = mean +- t sd, t on the degrees of freedom of Barnard and Rubin 1999 (doi:10.1093/biomet/86.4.948)

    Rubin's variance is that of the multiple-imputation analysis that the reference-based methods were proposed with.
    It keeps about the variance found under missing at random, although the reference-based methods borrow from the
    reference arm; over repeated trials their estimates scatter less than it says (the debate is in Bartlett 2021,
    doi:10.1080/19466315.2021.1983455).

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.Trial`.
    method
        The assumption, one of the table's.
    delta
        Points of the outcome's scale added to every visit missed after dropping out, the same at each: one number for
        every arm but the reference, or numbers by arm (also the reference; arms not named get none). For ``"delta"``
        and, added to what they impute, the reference-based methods.
    draws
        How many draws of the posterior to use, evenly spaced; all of them unless fewer are asked for.

    Returns
    -------
    xarray.Dataset
        By (comparison, visit), the arm less the reference, in the outcome's units: ``mean``, ``sd``, ``lower`` and
        ``upper`` (95%); ``within`` and ``between``, the parts of ``sd`` squared; ``df``. By (draw, comparison, visit):
        ``estimate``, each draw's expected difference. By (subject, visit): ``outcome``, observed or expected, and
        ``dropped``, whether it was missed after the last observed one. By (arm, visit): ``dropouts``, how many such.
        ``attrs`` hold ``method``, ``delta`` by arm in words, ``gate`` and ``synthetic``.

    Raises
    ------
    BadInput
        When the fit is not of a trial, a method or an arm is unknown, a delta is no number or contradicts missing at
        random, or there are too few patients for the regression.

    Examples
    --------
    >>> METHODS[2:]
    ('jump-to-reference', 'copy-reference', 'copy-increments')
    """
    trial = _trial_of(fit, "dropout")
    by_arm = _deltas(fit, method, delta)
    completed = _complete(trial, fit, method, draws)
    data = fit.data
    shift = np.array([by_arm[str(a)] for a in data["arm"].values])[data["arm_of"].values, None] * completed.dropped
    mean, sd, df = completed.pooled(shift)
    half = stdtrit(df, (1 + _LEVEL) / 2) * sd
    cells, units = ("comparison", "visit"), {"units": trial.units}
    squared = {"units": f"{trial.units} squared"}
    member = np.eye(data.sizes["arm"])[:, data["arm_of"].values]
    return xr.Dataset(
        {
            "mean": (cells, mean, units),
            "sd": (cells, sd, units),
            "lower": (cells, mean - half, units),
            "upper": (cells, mean + half, units),
            "within": (cells, completed.within(shift), squared),
            "between": (cells, completed.between, squared),
            "df": (cells, df),
            "estimate": (("draw", *cells), completed.estimate + completed.regression.weights @ shift, units),
            "outcome": (("subject", "visit"), completed.mean + shift, units),
            "dropped": (("subject", "visit"), completed.dropped),
            "dropouts": (("arm", "visit"), (member @ completed.dropped).astype(int), {"units": "patients"}),
        },
        {name: data[name].values for name in ("comparison", "visit", "subject", "arm")},
        {
            "method": method,
            "delta": ", ".join(f"{arm} {points:+g}" for arm, points in by_arm.items() if points) or "none",
            "reference": trial.reference,
            "gate": fit.gate.sentence,
            "synthetic": int(fit.synthetic),
        },
    )


def tipping_point(
    fit: Fit,
    arm: str | None = None,
    visit: str | float | None = None,
    *,
    method: Method = "delta",
    draws: int | None = None,
) -> float | None:
    """Find how much worse an arm's dropouts must have done for its advantage to become uncertain.

    The mean is a line in delta and its variance a parabola, so the bound of the interval is one function of delta,
    convex but for the degrees of freedom, and is solved for zero.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.Trial`.
    arm
        The arm whose dropouts get the delta; may be left out where there is only one beside the reference.
    visit
        The visit at which arms are compared; the last unless named.
    method
        To what the delta is added: ``"delta"``, or a reference-based method, as in :func:`dropout`.
    draws
        As in :func:`dropout`.

    Returns
    -------
    float or None
        The smallest delta (points; above zero where lower outcomes are better, below zero where higher ones are) with
        which the 95% interval of the difference at the visit includes zero. None when there is no advantage to lose:
        the interval without delta includes zero already, or lies on the worse side of it.

    Raises
    ------
    BadInput
        As :func:`dropout`, and when there is no such visit or nobody of the arm had dropped out by then.
    """
    trial = _trial_of(fit, "tipping_point")
    _check_method(method)
    if method == "missing-at-random":
        raise BadInput("a delta is not missing at random; use method = 'delta' for a tipping point")
    k, j = _comparison(fit, arm), _visit(fit, visit)
    completed = _complete(trial, fit, method, draws)
    left = np.where((fit.data["arm_of"].values == k + 1)[:, None], completed.dropped, 0.0)
    if not left[:, j].any():
        raise BadInput(
            f"nobody in arm '{fit.data['comparison'].values[k]}' had dropped out by visit "
            f"{fit.data['visit'].values[j]}, so no delta moves the difference there; name a later visit"
        )
    worse = 1.0 if trial.better == "lower" else -1.0

    def bound(distance: float) -> float:
        """The end of the interval nearest to zero, below zero as long as the arm is better."""
        mean, sd, df = (x[k, j] for x in completed.pooled(worse * distance * left))
        return float(worse * mean + stdtrit(df, (1 + _LEVEL) / 2) * sd)

    if bound(0.0) >= 0:
        return None
    scale = float(np.nanstd(fit.data["outcome"].values))
    far = scale
    while bound(far) < 0:
        far *= 2
        if far > _FARTHEST * scale:  # only where the regression gives the dropouts no weight
            raise BadInput(
                f"no delta moves the difference at visit {fit.data['visit'].values[j]}: those who dropped out are told "
                "from the others by baseline, covariates or moderator alone; leave some of these out"
            )
    return float(worse * brentq(bound, 0.0, far, xtol=1e-10 * scale))


def _complete(trial: Trial, fit: Fit, method: Method, draws: int | None) -> _Completed:
    """Complete the outcomes in every draw and regress them visit by visit."""
    data, outcome = fit.data, fit.data["outcome"].values
    posterior = _thinned(fit, draws)
    regression = _regression(trial, data)
    seen = ~np.isnan(outcome)
    dropped = ~np.maximum.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
    # 1 - h, the share of a patient's own variance that reaches the sum of squared residuals
    kept = 1 - (regression.basis**2).sum(axis=1)
    count = posterior.sizes["sample"]
    estimate: list[np.ndarray] = []
    mean, noise, squares = np.zeros(1), np.zeros(1), np.zeros(1)
    step = max(1, _AT_ONCE // outcome.size)
    for start in range(0, count, step):
        part = posterior.isel(sample=slice(start, start + step))
        own = trial_estimands.expected(trial, part, data)
        assumed = _assumed_means(trial, part, data, own, dropped, method)
        completed, variance = _conditional(trial, part, data, own, assumed, dropped)
        estimate.append(regression.weights @ completed)
        mean = mean + completed.sum(axis=0) / count
        noise = noise + regression.weights**2 @ variance.sum(axis=0) / count
        left = (regression.residuals(completed) ** 2).sum(axis=(0, 1)) + kept @ variance.sum(axis=0)
        squares = squares + left / count
    return _Completed(
        mean=np.where(seen, outcome, mean),  # an average over draws would round what was observed
        dropped=dropped,
        estimate=np.concatenate(estimate),
        noise=noise,
        squares=squares,
        regression=regression,
    )


def _assumed_means(
    trial: Trial, posterior: xr.Dataset, data: xr.Dataset, own: np.ndarray, dropped: np.ndarray, method: Method
) -> np.ndarray:
    """Means that the imputation after dropping out starts from, shape (draws, subjects, visits)."""
    if method in ("missing-at-random", "delta"):
        return own
    code, arm_of = data["arm_code"].values, data["arm_of"].values
    as_reference = np.broadcast_to(code[arm_of == 0][0], code.shape)
    reference = trial_estimands.expected(trial, posterior, data.assign(arm_code=(data["arm_code"].dims, as_reference)))
    after = reference
    if method == "copy-increments":
        stayed = (~dropped).sum(axis=1)
        last = np.where(stayed > 0, stayed - 1, 0)[None, :, None]
        gained = np.take_along_axis(own - reference, last, axis=2)
        after = reference + np.where(stayed > 0, 1.0, 0.0)[:, None] * gained
    elsewhere = reference if method == "copy-reference" else own
    return np.where((arm_of > 0)[:, None], np.where(dropped, after, elsewhere), own)


def _conditional(
    trial: Trial, posterior: xr.Dataset, data: xr.Dataset, own: np.ndarray, assumed: np.ndarray, dropped: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of every outcome given the observed ones of its patient, shape (draws, subjects, visits).

    Visits are analysed one by one, so covariances between imputed visits are not needed.
    """
    outcome, days = data["outcome"].values, data["day"].values
    seen = ~np.isnan(outcome)
    completed = np.where(seen, outcome, own)
    variance = np.zeros_like(completed)
    sd = posterior["residual_sd"].values.reshape(len(own), -1) * np.ones(outcome.shape[1])
    patterns: dict[bytes, list[int]] = {}
    for i in np.flatnonzero(~seen.all(axis=1)):  # who misses the same visits, and on the same days if these matter
        by_day = days[i].tobytes() if trial.covariance == "spatial-power" else b""
        patterns.setdefault(seen[i].tobytes() + by_day, []).append(int(i))
    for rows in patterns.values():
        known, missed = np.flatnonzero(seen[rows[0]]), np.flatnonzero(~seen[rows[0]])
        matrix = trial_estimands.correlations(trial, posterior, days[rows[0]]) * sd[:, :, None] * sd[:, None, :]
        across = matrix[:, known][:, :, missed]
        slopes = np.linalg.solve(matrix[:, known][:, :, known], across)
        spread = np.diagonal(matrix, axis1=1, axis2=2)[:, missed] - (slopes * across).sum(axis=1)
        variance[np.ix_(range(len(own)), rows, missed)] = spread[:, None, :]
        guesses = [
            mean[:, rows][:, :, missed] + (outcome[rows][:, known] - mean[:, rows][:, :, known]) @ slopes
            for mean in (assumed, own)
        ]
        gone = dropped[rows][:, missed]  # a gap before the last visit is filled from the patient's own arm
        completed[np.ix_(range(len(own)), rows, missed)] = np.where(gone, *guesses)
    return completed, variance


def _regression(trial: Trial, data: xr.Dataset) -> _Regression:
    """Design of the story's regression at one visit; the arms are compared at the moderator's mean."""
    arms = np.eye(data.sizes["arm"])[data["arm_of"].values, 1:]
    others = [np.ones((len(arms), 1)), data["baseline"].values[:, None]]
    if trial.covariates is not None:
        others.append(data["covariates"].values)
    if trial.moderator is not None:
        terms = data["moderator_terms"].values
        terms = terms - terms.mean(axis=0)
        others += [terms, *(arms[:, [k]] * terms for k in range(arms.shape[1]))]
    rest = np.column_stack(others)
    whole = np.column_stack([arms, rest])
    rank = int(np.linalg.matrix_rank(whole))
    if rank < arms.shape[1] + np.linalg.matrix_rank(rest):
        raise BadInput(
            "arms are told apart by baseline, covariates or moderator alone, so completed data cannot compare them; "
            "leave some of these out"
        )
    if len(arms) <= rank:
        raise BadInput(
            f"{len(arms)} patients are too few for a regression on {rank} terms at each visit; leave out covariates"
        )
    # the least-squares solution of least length, so that columns that repeat others change nothing
    weights = np.linalg.pinv(whole)[: arms.shape[1]]
    basis = np.linalg.svd(whole, full_matrices=False)[0][:, :rank]
    return _Regression(weights, (weights**2).sum(axis=1), basis)


def _thinned(fit: Fit, draws: int | None) -> xr.Dataset:
    """Evenly spaced draws of all chains, with ``sample`` as their first dim."""
    flat = fit.posterior.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
    if draws is None:
        return flat
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 2:
        raise BadInput(f"draws = {draws!r}, but a whole number of two or more is needed")
    count = flat.sizes["sample"]
    used = min(int(draws), count)
    return flat.isel(sample=np.arange(used) * count // used)


def _trial_of(fit: Fit, asked: str) -> Trial:
    if not isinstance(fit.model, Trial):
        raise BadInput(
            f"{asked} is about patients who leave a trial, but this is a fit of {type(fit.model).__name__}; "
            "give a fit of bd.Trial"
        )
    return fit.model


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise BadInput(f"there is no method '{method}'; {did_you_mean(method, METHODS)}")


def _deltas(fit: Fit, method: Method, delta: float | Mapping[str, float]) -> dict[str, float]:
    """Points by arm, the reference first."""
    _check_method(method)
    reference, *others = (str(a) for a in fit.data["arm"].values)
    given = dict(delta) if isinstance(delta, Mapping) else dict.fromkeys(others, delta)
    for arm, points in given.items():
        if arm not in (reference, *others):
            raise BadInput(f"delta names arm '{arm}', which the fit has not; {did_you_mean(arm, [reference, *others])}")
        if isinstance(points, bool) or not isinstance(points, int | float | np.number) or not math.isfinite(points):
            raise BadInput(f"delta = {points!r} for arm '{arm}', but a number of points is needed")
        if points and method == "missing-at-random":
            raise BadInput(f"delta = {points:g} is not missing at random; use method = 'delta', or leave delta out")
    return {reference: 0.0, **dict.fromkeys(others, 0.0), **{arm: float(x) for arm, x in given.items()}}


def _comparison(fit: Fit, arm: str | None) -> int:
    """Which comparison an arm is."""
    names = [str(a) for a in fit.data["comparison"].values]
    if arm is None and len(names) > 1:
        raise BadInput(f"there are {len(names)} arms beside the reference; name one of {', '.join(map(repr, names))}")
    if arm is not None and arm not in names:
        raise BadInput(f"there is no arm '{arm}' beside the reference; {did_you_mean(arm, names)}")
    return 0 if arm is None else names.index(arm)


def _visit(fit: Fit, visit: str | float | None) -> int:
    """Which visit a label or number is."""
    names = [str(v) for v in fit.data["visit"].values]
    if visit is None:
        return len(names) - 1
    label = visit if isinstance(visit, str) else f"{visit:g}"
    if label not in names:
        raise BadInput(f"there is no visit '{label}'; {did_you_mean(label, names)}")
    return names.index(label)
