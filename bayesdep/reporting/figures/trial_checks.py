"""Figures of what a trial's likelihood takes for granted: residuals of the shape it says, and visits that were had."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy import special

from bayesdep.data.errors import BadInput
from bayesdep.inference.fit import Fit
from bayesdep.models.trial.means import expected
from bayesdep.models.trial.model import Trial
from bayesdep.models.trial.residuals import NAME, correlations, pattern_key, residual_sds
from bayesdep.numerics.draws import stack_draws
from bayesdep.reporting.figures.common import BLUE, INK, house_figure, serves, settings_of_kind
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.figures.lettering import legend_word
from bayesdep.reporting.figures.trial import REFERENCE, positions, thinned

_DRAWS = 1000  # at most, evenly from all draws: enough to know how far one in twenty replicates strays
_NUMBERS = 4_000_000  # draws x residuals at most: an array of 32 MB; fewer draws of more residuals
_LEAST = 200  # draws, whatever the number of residuals
_POINTS = 400  # of a curve that has more; all of its ends
_ARMS = (REFERENCE, BLUE, "#b3701b", "#3f7d4e", "#7a4f9a", "#8a5a44")
_MARKERS = "so^vD<"
_ROOM = 20  # labels that find room along a panel


def whitened_residuals(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return every observed outcome's residual, independent and standard normal where the model is right.

    With the mean and the Cholesky factor L of the covariance of a patient's observed visits at one draw,
    ``z = L^-1 (y - mean)``: what a visit has that the patient's earlier ones did not foretell, in its own sd. A
    multivariate t foretells a visit, given j earlier ones whose squares sum to q, by a t distribution with nu + j
    degrees of freedom and ``sqrt((nu + q) / (nu + j))`` times the sd; its residuals are turned into normal ones by
    that distribution's probabilities (Rosenblatt 1952, doi:10.1214/aoms/1177729394; Dunn and Smyth 1996,
    doi:10.1080/10618600.1996.10474708). Parameters drawn from the posterior, not its means: those have been fitted to
    the data and leave residuals that are too small, while at a draw they have the distribution that was meant (Johnson
    2007, doi:10.1214/07-BA229).

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.model.Trial`.

    Returns
    -------
    numpy.ndarray
        Of the data, shape (samples, visits observed in all); a thousand samples at most.
    numpy.ndarray
        Of replicates from the posterior, each at the draw that made it, with the visits that the data have; likewise.

    Raises
    ------
    BadInput
        When no draw is finite.
    """
    model, data = settings_of_kind(fit, Trial), fit.data
    outcome, days, arm_of = data["outcome"].values, data["day"].values, data["arm_of"].values
    seen = ~np.isnan(outcome)
    flat = stack_draws(fit.posterior)
    usable = np.flatnonzero(_finite_draws(flat))
    if not usable.size:
        raise BadInput("no draw of this fit is finite, so its residuals have no scale; look at its gate")
    kept = usable[thinned(usable.size, int(np.clip(_NUMBERS // max(seen.sum(), 1), _LEAST, _DRAWS)))]
    draws = flat.isel(sample=kept)
    stacked = stack_draws(fit.tree["posterior_predictive"].to_dataset()[[NAME]])[NAME]
    replicates = stacked.isel(sample=kept).transpose("sample", "subject", "visit").values
    mean, sd = expected(model, draws, data), residual_sds(draws, data)
    alike: dict[Any, list[int]] = {}
    for i in np.flatnonzero(seen.any(axis=1)):
        alike.setdefault(pattern_key(model, seen[i], days[i], arm_of[i]), []).append(int(i))
    found = []
    for patients in alike.values():
        first, visits = patients[0], seen[patients[0]]
        scale = sd[:, arm_of[first]]
        matrix = correlations(model, draws, days[first], arm_of[first]) * scale[:, :, None] * scale[:, None, :]
        root = np.linalg.cholesky(matrix[:, visits][:, :, visits])
        own = mean[:, patients]
        both = np.stack([np.broadcast_to(outcome[patients], own.shape), replicates[:, patients]]) - own
        rest = np.moveaxis(both[..., visits], (0, 1, 2, 3), (2, 0, 3, 1))  # samples, visits, data or not, patients
        z = np.linalg.solve(root, rest.reshape(*rest.shape[:2], -1)).reshape(rest.shape)
        if model.robust:
            z = _normal_scores(z, draws["nu"].values[:, None, None])
        found.append(np.moveaxis(z, 2, 0).reshape(2, len(kept), -1))
    of_data, of_replicates = np.concatenate(found, axis=-1)
    return of_data, of_replicates


def _finite_draws(flat: xr.Dataset) -> np.ndarray:
    """Which samples have no infinite parameter, shape (samples,)."""
    each = [np.isfinite(v.values).reshape(flat.sizes["sample"], -1).all(axis=1) for v in flat.data_vars.values()]
    return np.asarray(np.all(each, axis=0))


def _normal_scores(z: np.ndarray, nu: np.ndarray) -> np.ndarray:
    """Turn a multivariate t's whitened residuals, visits in the second dim, into normal ones."""
    scores, squares = np.empty_like(z), np.zeros_like(z[:, 0])
    for j in range(z.shape[1]):
        t = z[:, j] * np.sqrt((nu + j) / (nu + squares))
        scores[:, j] = -np.sign(t) * special.ndtri(special.stdtr(nu + j, -np.abs(t)))  # by the tail, that is exact
        squares = squares + z[:, j] ** 2
    return scores


@serves("residuals", "trials")
def plot_residuals(fit: Fit) -> Figure:
    """Draw the normal quantile-quantile plot of the whitened residuals.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.model.Trial`.

    Returns
    -------
    matplotlib.figure.Figure
        Left: quantiles of the residuals of :func:`whitened_residuals`, means over the draws, against those that as many
        standard normals are expected to have (Blom 1958: at (k - 3/8) / (n + 1/4)). Band: 95% of replicates from the
        posterior, as many and missing the same visits, lie in it from end to end; means over the draws stray a little
        less than one draw's quantiles would. Right: the same, less the line.
    """
    x, points, lower, upper = _quantiles(fit)
    seen = ~np.isnan(fit.data["outcome"].values)
    with house_figure(fit, 6.6, 3.2) as figure:
        left, right = figure.subplots(1, 2)
        for axes, line in ((left, x), (right, np.zeros_like(x))):
            axes.fill_between(
                x, lower - x + line, upper - x + line, color=BLUE, alpha=0.25, lw=0, label="95% of replicates lie in it"
            )
            axes.plot(x, line, color=INK, lw=0.8, label="standard normal")
            axes.plot(x, points - x + line, "o", ms=2.6, color=BLUE, mew=0, label="residuals")
            axes.set_xlabel("standard normal quantile")
        left.set_ylabel("quantile of whitened residuals")
        left.set_title(f"{seen.sum()} outcomes of {seen.any(axis=1).sum()} patients")
        right.set_ylabel("the same, less the normal")
        legend_below(figure, left.get_legend_handles_labels(), 3)
    return figure


def _quantiles(fit: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Normal quantiles, those of the residuals, and the ends of their band."""
    data, replicates = (np.sort(z, axis=1) for z in whitened_residuals(fit))
    n = data.shape[1]
    shown = _ends_and_between(n)
    x = special.ndtri((shown + 1 - 3 / 8) / (n + 1 / 4))
    return x, data.mean(axis=0)[shown], *_band(replicates[:, shown], shown + 1, n)


def _band(replicates: np.ndarray, k: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the band that all but one in twenty replicates never leave, equally hard to leave at every place.

    The k-th smallest of n normals is one of uniforms, turned: ``Beta(k, n + 1 - k)``. The band runs between equal tails
    of those, so wide that the replicates stay in it (Aldor-Noiman et al. 2013, doi:10.1080/00031305.2013.847865).
    """
    tails = special.betainc(k, n + 1 - k, special.ndtr(replicates))
    others = special.betainc(n + 1 - k, k, special.ndtr(-replicates))
    level = np.quantile(np.minimum(tails, others).min(axis=1), 0.05)
    lower = special.ndtri(special.betaincinv(k, n + 1 - k, level))
    return lower, -special.ndtri(special.betaincinv(n + 1 - k, k, level))


def _ends_and_between(n: int) -> np.ndarray:
    """Which order statistics to show: all of few; of many the ends and, evenly, those between."""
    most = _POINTS // 4
    ends = [np.arange(min(most, n)), np.arange(max(n - most, 0), n)]
    return np.unique(np.concatenate([*ends, np.linspace(0, n - 1, min(n, _POINTS)).astype(int)]))


def misses_visits(fit: Fit) -> bool:
    """Whether somebody missed a visit of a trial."""
    return bool(np.isnan(fit.data["outcome"].values).any())


@serves("dropout_by_arm", "trials with missed visits", misses_visits)
def plot_dropout_by_arm(fit: Fit) -> Figure:
    """Draw who was still in the trial at each visit, and who was observed, by arm.

    Counts of those observed, as under the trajectories, cannot tell a patient who missed a visit and came back from
    one who dropped out, and only the latter is what assumptions about dropout are about.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.model.Trial`.

    Returns
    -------
    matplotlib.figure.Figure
        Line: share of an arm's patients who were observed at the visit or at a later one. Points: share observed at
        the visit itself.
    """
    model, data = settings_of_kind(fit, Trial), fit.data
    seen = ~np.isnan(data["outcome"].values)
    later = np.maximum.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
    visits = data["visit"].values
    x, scale = positions(visits, _ROOM)
    with house_figure(fit, 6.6, 2.25 + 0.22 * data.sizes["arm"]) as figure:
        axes = figure.add_subplot()
        for a, arm in enumerate(data["arm"].values):
            member = data["arm_of"].values == a
            colour, marker = _ARMS[a % len(_ARMS)], _MARKERS[a % len(_MARKERS)]
            aside = (a - (data.sizes["arm"] - 1) / 2) * 0.012 * np.ptp(x)  # equal shares would hide each other
            # the reference's line is dashed, and upon the others: equal ones are seen through its gaps
            line: dict[str, Any] = {"color": colour, "ls": "--" if a == 0 else "-", "lw": 1.6}
            axes.plot(x, later[member].mean(axis=0), zorder=2.5 if a == 0 else 2, **line)
            axes.plot(x + aside, seen[member].mean(axis=0), marker, ms=5, mfc=colour, mec="white", mew=0.8, zorder=3)
            stayed = f"{arm}: {seen[member, -1].sum()} of {member.sum()} at the last visit"
            axes.plot([], [], marker=marker, ms=5, label=legend_word(stayed), **line)
        axes.set_ylim(0, 1.04)
        axes.set_xticks(x, visits)
        axes.set_xlabel(f"{model.visit}{scale}")
        axes.set_ylabel("share of patients")
        axes.set_title("still in the trial (lines) and observed (points)")
        legend_below(figure, axes.get_legend_handles_labels(), 1)
    return figure
