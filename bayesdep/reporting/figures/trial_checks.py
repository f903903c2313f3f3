"""Figures of what a trial's likelihood assumes: the distribution of its residuals, and which visits were missed."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import special

from bayesdep.data.errors import BadInput
from bayesdep.inference.fit import Fit
from bayesdep.models.trial.means import expected
from bayesdep.models.trial.residuals import NAME, covariances, patterns_of_visits, residual_sds
from bayesdep.models.trial.settings import TrialSettings
from bayesdep.numerics.draws import stack_draws
from bayesdep.numerics.types import Draws
from bayesdep.reporting.figures.composing import BLUE, INK, chosen, serves, settings_of_kind, styled_figure
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.figures.lettering import legend_word
from bayesdep.reporting.figures.trial import REFERENCE, positions, thinned

_DRAWS = 1000  # at most, evenly from all draws: enough for the 95% quantile of how far replicates are from the line
_NUMBERS = 4_000_000  # draws x residuals at most: an array of 32 MB; fewer draws of more residuals
_LEAST = 200  # draws, whatever the number of residuals
_POINTS = 400  # of a curve that has more; all of its ends
_ARMS = (REFERENCE, BLUE, "#b3701b", "#3f7d4e", "#7a4f9a", "#8a5a44")
_MARKERS = "so^vD<"
_ROOM = 20  # labels that have room along a panel


def whitened_residuals(fit: Fit) -> tuple[Draws, Draws]:
    """Return every observed outcome's residual, independent and standard normal where the model is right.

    With the mean and the Cholesky factor L of the covariance of a patient's observed visits at one draw,
    ``z = L^-1 (y - mean)``: one-step-ahead residuals, each visit's outcome less its prediction from the patient's
    earlier ones, over the prediction's sd. Of a multivariate t, the prediction of a visit given j earlier ones whose
    squares sum to q is a t distribution with nu + j degrees of freedom and ``sqrt((nu + q) / (nu + j))`` times the sd;
    its residuals are turned into normal ones by that distribution's probabilities (Rosenblatt 1952,
    doi:10.1214/aoms/1177729394; Dunn and Smyth 1996, doi:10.1080/10618600.1996.10474708). Parameters are draws from
    the posterior, not its means: at the means, which have been fitted to the data, residuals are too small, while at a
    draw they have the intended distribution (Johnson 2007, doi:10.1214/07-BA229).

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
    model, data = settings_of_kind(fit, TrialSettings), fit.data
    outcome, days, arm_of = data["outcome"].values, data["day"].values, data["arm_of"].values
    is_observed = ~np.isnan(outcome)
    replicated = fit.tree["posterior_predictive"].to_dataset()[[NAME]]
    stacked = stack_draws(fit.posterior.sel({dim: replicated[dim] for dim in ("chain", "draw")}))
    finite = np.flatnonzero(_finite_draws(stacked))
    if not finite.size:
        raise BadInput("no draw of this fit is finite, so its residuals have no scale; look at its gate")
    most = int(np.clip(_NUMBERS // max(is_observed.sum(), 1), _LEAST, _DRAWS))
    kept = finite[thinned(finite.size, most)]
    draws = stacked.isel(sample=kept)
    predictive = stack_draws(replicated)[NAME].isel(sample=kept)
    replicates = predictive.transpose("sample", "subject", "visit").values
    mean, sds = expected(model, draws, data), residual_sds(draws, data)
    residuals = []
    for patients, visits in patterns_of_visits(model, data, np.flatnonzero(is_observed.any(axis=1))):
        matrix = covariances(model, draws, sds, days[patients[0]], arm_of[patients[0]])
        root = np.linalg.cholesky(matrix[:, visits][:, :, visits])
        means = mean[:, patients]
        outcomes = np.stack([np.broadcast_to(outcome[patients], means.shape), replicates[:, patients]])
        by_visit = np.moveaxis((outcomes - means)[..., visits], (0, 1, 2, 3), (2, 0, 3, 1))
        samples_and_visits = by_visit.shape[:2]  # then data or replicates, and patients
        z = np.linalg.solve(root, by_visit.reshape(*samples_and_visits, -1)).reshape(by_visit.shape)
        if model.robust:
            z = normal_scores_of_t(z, draws["nu"].values[:, None, None])
        residuals.append(np.moveaxis(z, 2, 0).reshape(2, len(kept), -1))
    of_data, of_replicates = np.concatenate(residuals, axis=-1)
    return of_data, of_replicates


def _finite_draws(stacked: xr.Dataset) -> np.ndarray:
    """Which samples have no infinite parameter, shape (samples,)."""
    samples = stacked.sizes["sample"]
    each = [np.isfinite(v.values).reshape(samples, -1).all(axis=1) for v in stacked.data_vars.values()]
    return np.asarray(np.all(each, axis=0))


def normal_scores_of_t(z: np.ndarray, nu: np.ndarray) -> np.ndarray:
    """Turn the whitened residuals of a multivariate t into normal ones.

    Parameters
    ----------
    z
        Shape (samples, visits, ...), visits in their order.
    nu
        Degrees of freedom, of a shape that broadcasts against (samples, ...).

    Returns
    -------
    numpy.ndarray
        Of the same shape: independent and standard normal where the residuals are of that t distribution.
    """
    scores, squares = np.empty_like(z), np.zeros_like(z[:, 0])
    for j in range(z.shape[1]):
        t = z[:, j] * np.sqrt((nu + j) / (nu + squares))
        scores[:, j] = -np.sign(t) * special.ndtri(special.stdtr(nu + j, -np.abs(t)))  # from the tail, which is exact
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

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("raison2013", seed=1).table.query("week > 0")  # synthetic
    >>> columns = {"outcome": "hamd", "baseline": "hamd_baseline", "visit": "week", "day": "day", "moderator": "crp"}
    >>> model = bd.Trial(reference="placebo", units="HAM-D points", subgroups=["> 5", "<= 5"], response=0.5, **columns)
    >>> fit = bd.fit(model, visits)  # doctest: +SKIP
    >>> figure = bd.plot_residuals(fit)  # doctest: +SKIP
    """
    x, points, lower, upper = quantiles_of_residuals(fit)
    is_observed = ~np.isnan(fit.data["outcome"].values)
    with styled_figure(fit, 6.6, 3.2) as figure:
        left, right = figure.subplots(1, 2)
        for axes, line in ((left, x), (right, np.zeros_like(x))):
            axes.fill_between(
                x, lower - x + line, upper - x + line, color=BLUE, alpha=0.25, lw=0, label="95% of replicates lie in it"
            )
            axes.plot(x, line, color=INK, lw=0.8, label="standard normal")
            axes.plot(x, points - x + line, "o", ms=2.6, color=BLUE, mew=0, label="residuals")
            axes.set_xlabel("standard normal quantile")
        left.set_ylabel("quantile of whitened residuals")
        left.set_title(f"{is_observed.sum()} outcomes of {is_observed.any(axis=1).sum()} patients")
        right.set_ylabel("the same, less the normal")
        legend_below(figure, left.get_legend_handles_labels(), 3)
    return figure


def quantiles_of_residuals(fit: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return what the normal quantile-quantile plot shows.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.model.Trial`.

    Returns
    -------
    tuple of numpy.ndarray
        The quantiles that as many standard normals are expected to have, those of the residuals, and the lower and
        upper ends of their band.
    """
    data, replicates = (np.sort(z, axis=1) for z in whitened_residuals(fit))
    n = data.shape[1]
    shown = shown_order_statistics(n)
    x = special.ndtri((shown + 1 - 3 / 8) / (n + 1 / 4))
    return x, data.mean(axis=0)[shown], *simultaneous_band(replicates[:, shown], shown + 1, n)


def simultaneous_band(replicates: Draws, k: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the band in which 95% of replicates lie from end to end, equally likely to be left at every place.

    The k-th order statistic of n uniforms is ``Beta(k, n + 1 - k)``, and a normal's probability is uniform. The band
    runs between equal tails of these distributions (Aldor-Noiman et al. 2013, doi:10.1080/00031305.2013.847865), so
    wide that the replicates stay in it.

    Parameters
    ----------
    replicates
        Order statistics of every replicate, shape (samples, places).
    k
        Which order statistics these are, the minimum being 1, shape (places,).
    n
        How many values there are in all.

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper ends, shape (places,).
    """
    lower_tails = special.betainc(k, n + 1 - k, special.ndtr(replicates))
    upper_tails = special.betainc(n + 1 - k, k, special.ndtr(-replicates))
    level = np.quantile(np.minimum(lower_tails, upper_tails).min(axis=1), 0.05)
    lower = special.ndtri(special.betaincinv(k, n + 1 - k, level))
    return lower, -special.ndtri(special.betaincinv(n + 1 - k, k, level))


def shown_order_statistics(n: int) -> np.ndarray:
    """Choose the order statistics to show: all of few; of many the ends and, evenly, those between.

    Parameters
    ----------
    n
        How many values there are.

    Returns
    -------
    numpy.ndarray
        Their places, rising from 0.
    """
    of_ends = _POINTS // 4
    ends = [np.arange(min(of_ends, n)), np.arange(max(n - of_ends, 0), n)]
    return np.unique(np.concatenate([*ends, np.linspace(0, n - 1, min(n, _POINTS)).astype(int)]))


def misses_visits(fit: Fit) -> bool:
    """Whether a patient of a trial missed a visit."""
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

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("raison2013", seed=1).table.query("week > 0")  # synthetic
    >>> columns = {"outcome": "hamd", "baseline": "hamd_baseline", "visit": "week", "day": "day", "moderator": "crp"}
    >>> model = bd.Trial(reference="placebo", units="HAM-D points", subgroups=["> 5", "<= 5"], response=0.5, **columns)
    >>> fit = bd.fit(model, visits)  # doctest: +SKIP
    >>> figure = bd.plot_dropout_by_arm(fit)  # doctest: +SKIP
    """
    model, data = settings_of_kind(fit, TrialSettings), fit.data
    x, scale = positions(data["visit"].values, _ROOM)
    with styled_figure(fit, 6.6, 2.25 + 0.22 * data.sizes["arm"]) as figure:
        axes = figure.add_subplot()
        for arm in chosen("arm", data["arm"].values):
            _shares_of_arm(axes, x, data, arm)
        axes.set_ylim(0, 1.04)
        axes.set_xticks(x, data["visit"].values)
        axes.set_xlabel(f"{model.visit}{scale}")
        axes.set_ylabel("share of patients")
        axes.set_title("still in the trial (lines) and observed (points)")
        legend_below(figure, axes.get_legend_handles_labels(), 1)
    return figure


def _shares_of_arm(axes: Axes, x: np.ndarray, data: xr.Dataset, arm: int) -> None:
    """Draw the shares of an arm's patients who were still in the trial, and who were observed."""
    is_observed = ~np.isnan(data["outcome"].values[data["arm_of"].values == arm])
    is_followed = np.maximum.accumulate(is_observed[:, ::-1], axis=1)[:, ::-1]
    colour, marker = _ARMS[arm % len(_ARMS)], _MARKERS[arm % len(_MARKERS)]
    aside = (arm - (data.sizes["arm"] - 1) / 2) * 0.012 * np.ptp(x)  # equal shares would hide each other
    # the reference's line is dashed and on top, so that an equal line shows in its gaps
    line: dict[str, Any] = {"color": colour, "ls": "--" if arm == 0 else "-", "lw": 1.6}
    axes.plot(x, is_followed.mean(axis=0), zorder=2.5 if arm == 0 else 2, **line)
    axes.plot(x + aside, is_observed.mean(axis=0), marker, ms=5, mfc=colour, mec="white", mew=0.8, zorder=3)
    name = str(data["arm"].values[arm])
    stayed = f"{name}: {is_observed[:, -1].sum()} of {len(is_observed)} at the last visit"
    axes.plot([], [], marker=marker, ms=5, label=legend_word(stayed), **line)
