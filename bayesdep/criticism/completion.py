"""A trial whose missed visits are filled with what is expected there, draw by draw, and its analysis."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.inference.fit import Fit
from bayesdep.models.model import CompletesVisits
from bayesdep.numerics.draws import chunks_of_draws, stack_draws
from bayesdep.numerics.types import Draws

Method = Literal["missing-at-random", "delta", "jump-to-reference", "copy-reference", "copy-increments"]
METHODS: tuple[Method, ...] = get_args(Method)


def methods_of(trial: CompletesVisits) -> tuple[Method, ...]:
    """Return the methods that a trial can be asked for.

    The reference-based methods need one covariance for all arms: where each arm has its own, it is not settled which
    of them a patient has after dropping out.

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

    ``weights @ y`` is the difference between an arm and the reference, ``weights`` of shape (comparison, subject);
    ``unscaled`` (comparison,) is its variance over the residual variance; ``basis`` (subject, term) is an orthonormal
    basis of the design.
    """

    weights: np.ndarray
    unscaled: np.ndarray
    basis: np.ndarray

    @property
    def df(self) -> int:
        """Residual degrees of freedom."""
        return self.basis.shape[0] - self.basis.shape[1]

    def residuals(self, y: np.ndarray) -> np.ndarray:
        """The regression's residuals of ``y``, shape (..., subject, visit)."""
        return np.asarray(y - self.basis @ (self.basis.T @ y))


@dataclass(frozen=True)
class Completed:
    """The trial with every missed visit filled with its conditional mean, and the uncertainty of filling it.

    Arrays by subject and visit: ``mean``, the completed outcome averaged over draws, and ``dropped``, whether a visit
    was missed after the last one observed. By visit: ``squares``, the expected sum of squared residuals of the
    regression. By (draw, comparison, visit): ``estimate``, each draw's expected difference. By (comparison, visit):
    ``noise``, the variance that imputing instead of knowing gives it, averaged over draws.
    """

    mean: np.ndarray
    dropped: np.ndarray
    estimate: Draws
    noise: np.ndarray
    squares: np.ndarray
    regression: Regression

    @property
    def between(self) -> np.ndarray:
        """Variance of the difference between imputations: that of the draws, and that of imputing given a draw."""
        return np.asarray(self.estimate.var(axis=0, ddof=1) + self.noise)

    def within(self, shift: np.ndarray) -> np.ndarray:
        """Expected sampling variance of the difference with ``shift`` (subject, visit) added to what was imputed."""
        regression = self.regression
        residual, shifted = regression.residuals(self.mean), regression.residuals(shift)
        squares = self.squares + (2 * residual * shifted + shifted**2).sum(axis=0)
        return np.asarray(regression.unscaled[:, None] * squares / regression.df)

    def by_rubins_rules(self, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Combine the imputations: mean, sd and degrees of freedom, each of shape (comparison, visit)."""
        total = self.within(shift) + self.between
        df = self.regression.df
        # Barnard and Rubin 1999, equation 3, for infinitely many imputations
        # at a baseline that everybody has, both variances are zero
        share = np.divide(self.between, total, out=np.zeros_like(total), where=total > 0)
        df_of_total = (df + 1) / (df + 3) * df * (1 - share)
        return self.estimate.mean(axis=0) + self.regression.weights @ shift, np.sqrt(total), df_of_total


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
    is_observed = ~np.isnan(outcome)
    dropped = ~np.maximum.accumulate(is_observed[:, ::-1], axis=1)[:, ::-1]
    # 1 - h, the share of a patient's own variance that reaches the sum of squared residuals
    share_in_squares = 1 - (regression.basis**2).sum(axis=1)
    count = posterior.sizes["sample"]
    estimate: list[Draws] = []
    mean, noise, squares = np.zeros(1), np.zeros(1), np.zeros(1)
    for part in chunks_of_draws(posterior, outcome.size):
        means = trial.expected(part, data)
        assumed = _assumed_means(trial, part, data, means, dropped, method)
        completed, variance = trial.completed(part, data, means, assumed, dropped)
        estimate.append(regression.weights @ completed)
        mean = mean + completed.sum(axis=0) / count
        noise = noise + regression.weights**2 @ variance.sum(axis=0) / count
        of_means = (regression.residuals(completed) ** 2).sum(axis=(0, 1))
        squares = squares + (of_means + share_in_squares @ variance.sum(axis=0)) / count
    return Completed(
        mean=np.where(is_observed, outcome, mean),  # an average over draws would round what was observed
        dropped=dropped,
        estimate=np.concatenate(estimate),
        noise=noise,
        squares=squares,
        regression=regression,
    )


def _assumed_means(
    trial: CompletesVisits, posterior: xr.Dataset, data: xr.Dataset, means: Draws, dropped: np.ndarray, method: Method
) -> Draws:
    """Means from which imputation after dropping out starts, shape (draws, subjects, visits).

    ``means`` are those of every patient in the arm the patient was in.
    """
    if method in ("missing-at-random", "delta"):
        return means
    code, arm_of = data["arm_code"].values, data["arm_of"].values
    code_of_reference = np.broadcast_to(code[arm_of == 0][0], code.shape)
    in_reference = trial.expected(posterior, data.assign(arm_code=(data["arm_code"].dims, code_of_reference)))
    after = in_reference
    if method == "copy-increments":
        stayed = (~dropped).sum(axis=1)
        last = np.where(stayed > 0, stayed - 1, 0)[None, :, None]
        gained = np.take_along_axis(means - in_reference, last, axis=2)
        after = in_reference + np.where(stayed > 0, 1.0, 0.0)[:, None] * gained
    before = in_reference if method == "copy-reference" else means
    is_treated = (arm_of > 0)[:, None]
    return np.where(is_treated, np.where(dropped, after, before), means)


def _regression(trial: CompletesVisits, data: xr.Dataset) -> Regression:
    """Design of the model's regression at one visit."""
    arms = np.eye(data.sizes["arm"])[data["arm_of"].values, 1:]
    others = trial.regressors(data)
    adjusted_for = np.column_stack([np.ones(len(arms)), *others.values()])
    design = np.column_stack([arms, adjusted_for])
    rank = int(np.linalg.matrix_rank(design))
    if rank < arms.shape[1] + np.linalg.matrix_rank(adjusted_for):
        raise BadInput(
            f"arms are told apart by {_listed(others)} alone, so completed data cannot compare them; leave some of "
            "these out"
        )
    if len(arms) <= rank:
        with_others = f", with {_listed(others)}; leave some of these out" if others else "; add patients"
        raise BadInput(f"{len(arms)} patients are too few for a regression on {rank} terms at each visit{with_others}")
    # the least-squares solution of least length, so that columns that repeat others change nothing
    weights = np.linalg.pinv(design)[: arms.shape[1]]
    basis = np.linalg.svd(design, full_matrices=False)[0][:, :rank]
    return Regression(weights, (weights**2).sum(axis=1), basis)


def _listed(names: Iterable[str]) -> str:
    """Join names by commas, the last one by "or"."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def _thinned(fit: Fit, draws: int | None) -> xr.Dataset:
    """Evenly spaced draws of all chains, with ``sample`` as their first dim."""
    stacked = stack_draws(fit.joint)
    if draws is None:
        return stacked
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 2:
        raise BadInput(f"draws = {draws!r}, but a whole number of two or more is needed")
    count = stacked.sizes["sample"]
    used = min(int(draws), count)
    return stacked.isel(sample=np.arange(used) * count // used)
