"""Figure of a trial's difference under each assumption about those who dropped out, with the tipping point."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import stdtrit

from bayesdep.criticism.completion import methods_of
from bayesdep.criticism.dropout import check_dropout, find_tipping_point, trial_of
from bayesdep.inference.fit import Fit
from bayesdep.models.model import CompletesVisits
from bayesdep.reporting.figures.composing import BLUE, GREY, RED, serves, styled_figure

_STEPS = 101  # of a curve


@serves("dropout", "trials of which patients dropped out", lambda fit: has_dropout(fit))
def plot_dropout(fit: Fit, arm: str | None = None) -> Figure:
    """Draw the difference at the last visit under each assumption, and against delta.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.model.Trial`, or of scores by :class:`~bayesdep.Trajectories`.
    arm
        The arm compared with the reference, whose dropouts get the delta; may be left out where there is only one.

    Returns
    -------
    matplotlib.figure.Figure
        Left: mean and 95% interval by method of :func:`~bayesdep.criticism.dropout.check_dropout`. Right: the same with
        points added in the worse direction to what the arm's dropouts would have had, and the tipping point where there
        is one.

    Raises
    ------
    BadInput
        As :func:`~bayesdep.criticism.dropout.find_tipping_point`.

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("raison2013", seed=1).table.query("week in [6, 12]")  # synthetic
    >>> columns = {"outcome": "hamd", "baseline": "hamd_baseline", "visit": "week", "day": "day"}
    >>> model = bd.Trial(reference="placebo", covariance="ar1", units="HAM-D points", **columns)
    >>> fit = bd.fit(model, visits, draws=50, tune=200, chains=2, seed=1)  # a real fit has more draws
    >>> figure = bd.plot_dropout(fit)
    """
    tip = find_tipping_point(fit, arm)
    trial = trial_of(fit, "plot_dropout")
    arm = str(fit.data["comparison"].values[0]) if arm is None else arm
    last = str(fit.data["visit"].values[-1])
    with styled_figure(fit, 6.8, 2.9) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        _by_method(left, fit, trial, arm)
        _by_delta(right, fit, trial, arm, tip)
        for axes in (left, right):
            axes.title.set_fontsize(8.5)
        left.set_xlabel(f"{arm} less {trial.reference}, {trial.units}")
        left.set_title(f"Visit {last}: mean and 95% interval")
        right.set_ylabel(f"{arm} less {trial.reference}, {trial.units}")
        right.set_xlabel(f"delta, {trial.units}")
        where = "no tipping point" if tip is None else f"tipping point: {tip:+.2f} {trial.units}"
        right.set_title(f"Visit {last}, {where}")
    return figure


def has_dropout(fit: Fit) -> bool:
    """Tell whether a trial has two arms and a patient of the treated dropped out.

    Parameters
    ----------
    fit
        A fit whose model lists this figure.

    Returns
    -------
    bool
        Whether :func:`plot_dropout` has something to show without an arm being named.
    """
    if fit.data.sizes["comparison"] != 1 or "moderator_lower" in fit.data:  # see the model's regressors
        return False
    if "time" in fit.data and (fit.data["time"].values != fit.data["time"].values[0]).any():  # no planned visits
        return False
    return bool(np.isnan(fit.data["outcome"].values[fit.data["arm_of"].values == 1, -1]).any())


def _by_method(axes: Axes, fit: Fit, trial: CompletesVisits, arm: str) -> None:
    """One row a method; delta has a panel of its own."""
    methods = [m for m in methods_of(trial) if m != "delta"]
    rows = np.arange(len(methods))[::-1]
    for y, method in zip(rows, methods, strict=True):
        difference = check_dropout(fit, method).sel(comparison=arm).isel(visit=-1)
        axes.hlines(y, float(difference["lower"]), float(difference["upper"]), color=BLUE, lw=1.6)
        axes.plot(float(difference["mean"]), y, "o", ms=4.5, color=BLUE)
    axes.axvline(0, color=GREY, lw=0.8, zorder=0)
    axes.set_yticks(rows, [m.replace("-", " ") for m in methods])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(methods) - 0.4)


def _by_delta(axes: Axes, fit: Fit, trial: CompletesVisits, arm: str, tip: float | None) -> None:
    """Mean and interval against delta.

    Three deltas determine the curves: the mean is linear in delta, the variance within imputations quadratic; the
    variance between them, and the degrees of freedom over the share within, are constant (see
    :func:`~bayesdep.criticism.dropout.check_dropout`).
    """
    worse = 1.0 if trial.better == "lower" else -1.0
    end = worse * float(np.nanstd(fit.data["outcome"].values)) if tip is None else 1.8 * tip
    knots, deltas = end * np.array([0, 0.5, 1]), np.linspace(0, end, _STEPS)
    at_knots = [check_dropout(fit, "delta", delta={arm: float(d)}).sel(comparison=arm).isel(visit=-1) for d in knots]
    mean = np.polyval(np.polyfit(knots, [float(one["mean"]) for one in at_knots], 1), deltas)
    within = np.polyval(np.polyfit(knots, [float(one["within"]) for one in at_knots], 2), deltas)
    without = at_knots[0]
    total = within + float(without["between"])
    df = float(without["df"] * without["sd"] ** 2 / without["within"]) * within / total
    half = stdtrit(df, 0.975) * np.sqrt(total)
    axes.fill_between(deltas, mean - half, mean + half, color=BLUE, alpha=0.18, lw=0)
    axes.plot(deltas, mean, color=BLUE, lw=1.6)
    axes.axhline(0, color=GREY, lw=0.8, zorder=0)
    if tip is not None:
        axes.axvline(tip, color=RED, lw=1, ls="--")
        axes.plot(tip, 0, "o", ms=4.5, color=RED)
    axes.margins(x=0)
