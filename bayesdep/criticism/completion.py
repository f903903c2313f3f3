"""A trial with every missed visit replaced by what is expected there, draw by draw, and its analysis."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.inference.fit import Fit
from bayesdep.models.model import CompletesVisits

Method = Literal["missing-at-random", "delta", "jump-to-reference", "copy-reference", "copy-increments"]
METHODS: tuple[Method, ...] = get_args(Method)
_AT_ONCE = 4_000_000  # outcomes completed at a time, all draws together: 32 MB an array


def methods_of(trial: CompletesVisits) -> tuple[Method, ...]:
    """Return the methods that a trial can be asked for.

    The reference-based ones take the arms to share one covariance: where each has its own, which of them a dropout then
    has is unsettled.

    Parameters
    ----------
    trial
        The model.

    Returns
    -------
    tuple of str
        Some of :data:`METHODS`.
    """
    return METHODS[:2] if trial.by_arm else METHODS


@dataclass(frozen=True)
class Regression:
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
class Completed:
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
    regression: Regression

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


def complete(trial: CompletesVisits, fit: Fit, method: Method, draws: int | None) -> Completed:
    """Complete the outcomes in every draw and regress them visit by visit.

    Parameters
    ----------
    trial, fit
        The model and its fit.
    method
        What is assumed of those who dropped out: see :func:`bayesdep.check_dropout`.
    draws
        How many draws to use, or None for all.

    Returns
    -------
    Completed
        The completed trial.

    Raises
    ------
    BadInput
        When the regression cannot tell the arms apart, there are too few patients, or ``draws`` is no number.
    """
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
        own = trial.expected(part, data)
        assumed = _assumed_means(trial, part, data, own, dropped, method)
        completed, variance = trial.completed(part, data, own, assumed, dropped)
        estimate.append(regression.weights @ completed)
        mean = mean + completed.sum(axis=0) / count
        noise = noise + regression.weights**2 @ variance.sum(axis=0) / count
        left = (regression.residuals(completed) ** 2).sum(axis=(0, 1)) + kept @ variance.sum(axis=0)
        squares = squares + left / count
    return Completed(
        mean=np.where(seen, outcome, mean),  # an average over draws would round what was observed
        dropped=dropped,
        estimate=np.concatenate(estimate),
        noise=noise,
        squares=squares,
        regression=regression,
    )


def _assumed_means(
    trial: CompletesVisits,
    posterior: xr.Dataset,
    data: xr.Dataset,
    own: np.ndarray,
    dropped: np.ndarray,
    method: Method,
) -> np.ndarray:
    """Means that the imputation after dropping out starts from, shape (draws, subjects, visits)."""
    if method in ("missing-at-random", "delta"):
        return own
    code, arm_of = data["arm_code"].values, data["arm_of"].values
    as_reference = np.broadcast_to(code[arm_of == 0][0], code.shape)
    reference = trial.expected(posterior, data.assign(arm_code=(data["arm_code"].dims, as_reference)))
    after = reference
    if method == "copy-increments":
        stayed = (~dropped).sum(axis=1)
        last = np.where(stayed > 0, stayed - 1, 0)[None, :, None]
        gained = np.take_along_axis(own - reference, last, axis=2)
        after = reference + np.where(stayed > 0, 1.0, 0.0)[:, None] * gained
    elsewhere = reference if method == "copy-reference" else own
    return np.where((arm_of > 0)[:, None], np.where(dropped, after, elsewhere), own)


def _regression(trial: CompletesVisits, data: xr.Dataset) -> Regression:
    """Design of the model's regression at one visit."""
    arms = np.eye(data.sizes["arm"])[data["arm_of"].values, 1:]
    others = trial.regressors(data)
    rest = np.column_stack([np.ones(len(arms)), *others.values()])
    whole = np.column_stack([arms, rest])
    rank = int(np.linalg.matrix_rank(whole))
    if rank < arms.shape[1] + np.linalg.matrix_rank(rest):
        raise BadInput(
            f"arms are told apart by {_listed(others)} alone, so completed data cannot compare them; leave some of "
            "these out"
        )
    if len(arms) <= rank:
        raise BadInput(
            f"{len(arms)} patients are too few for a regression on {rank} terms at each visit, with {_listed(others)}; "
            "leave some of these out"
        )
    # the least-squares solution of least length, so that columns that repeat others change nothing
    weights = np.linalg.pinv(whole)[: arms.shape[1]]
    basis = np.linalg.svd(whole, full_matrices=False)[0][:, :rank]
    return Regression(weights, (weights**2).sum(axis=1), basis)


def _listed(words: Iterable[str]) -> str:
    """Join words by commas, the last one by "or"."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


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
