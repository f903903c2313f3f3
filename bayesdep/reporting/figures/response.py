"""Figures of a biomarker as a predictor: its ROC curve, and its decision curve."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayesdep.inference.fit import Fit
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, RED, derives, serves, styled_figure
from bayesdep.reporting.ranges import limits


@serves("roc", "one biomarker as a predictor", derives("roc"))
def plot_roc(fit: Fit) -> Figure:
    """Draw the ROC curve of a marker.

    Parameters
    ----------
    fit
        A fit that derives ``roc`` along ``false_positive_rate``.

    Returns
    -------
    matplotlib.figure.Figure
        Line and band: posterior median and pointwise 95% interval of the sensitivity. Point: sensitivity and
        specificity of the cutoff, with 95% intervals, where one was set.

    Examples
    --------
    >>> import bayesdep as bd
    >>> panel = bd.simulate("kiraly2017", seed=1).table  # synthetic
    >>> people = panel.query("group == 'TRD' and time == 0 and analyte == 'FGF-2'").dropna(subset=["responder"])
    >>> columns = {"outcome": "responder", "censored": "censored", "lod": "lod", "uloq": "uloq", "unit": "unit"}
    >>> model = bd.Response(cutoff=34, predicts_when="below", plate="plate", **columns)
    >>> fit = bd.fit(model, people)  # doctest: +SKIP
    >>> figure = bd.plot_roc(fit)  # doctest: +SKIP
    """
    estimands = fit.estimands
    rate = estimands["roc"]["false_positive_rate"].values.astype(float)

    lower, median, upper = _interval(estimands["roc"])
    closed = np.concatenate([[0.0], rate, [1.0]])
    with styled_figure(fit, 4.4, 4.4) as figure:
        axes = figure.add_subplot(aspect="equal")
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--")
        axes.fill_between(rate, lower, upper, color=BLUE, alpha=0.25, lw=0, label="95% band")
        axes.plot(closed, [0.0, *median, 1.0], color=BLUE, lw=1.8, label="ROC curve")
        if {"sensitivity", "specificity"} <= set(estimands.data_vars):
            y, x = _interval(estimands["sensitivity"]), 1 - _interval(estimands["specificity"])[::-1]
            error = [[[v[1] - v[0]], [v[2] - v[1]]] for v in (x, y)]
            axes.errorbar(
                [x[1]], [y[1]], xerr=error[0], yerr=error[1], fmt="o", ms=5, color=INK, lw=1.1, label="cutoff"
            )
        if "auc" in estimands:
            area = _interval(estimands["auc"])
            axes.set_title(f"AUC {area[1]:.2f} (95% interval {area[0]:.2f} to {area[2]:.2f})")
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        axes.set_xlabel("false-positive rate (1 - specificity)")
        axes.set_ylabel("sensitivity")
        axes.legend(loc="lower right")
    return figure


@serves("decision_curve", "one biomarker as a predictor", derives("net_benefit"))
def plot_decision_curve(fit: Fit) -> Figure:
    """Draw the decision curve of a marker: what it is worth to decide by it, against treating everybody or nobody.

    Parameters
    ----------
    fit
        A fit that derives ``net_benefit`` along ``threshold``.

    Returns
    -------
    matplotlib.figure.Figure
        Along the chance of the outcome at which one would just treat: posterior median and pointwise 95% interval of
        the net benefit of treating by the marker, and of treating everybody; that of treating nobody is zero. Below,
        the probability that the marker does better than both.

    Examples
    --------
    >>> import bayesdep as bd
    >>> panel = bd.simulate("kiraly2017", seed=1).table  # synthetic
    >>> people = panel.query("group == 'TRD' and time == 0 and analyte == 'FGF-2'").dropna(subset=["responder"])
    >>> columns = {"outcome": "responder", "censored": "censored", "lod": "lod", "uloq": "uloq", "unit": "unit"}
    >>> model = bd.Response(cutoff=34, predicts_when="below", plate="plate", **columns)
    >>> fit = bd.fit(model, people)  # doctest: +SKIP
    >>> figure = bd.plot_decision_curve(fit)  # doctest: +SKIP
    """
    benefit, gain = fit.estimands["net_benefit"], fit.estimands["net_benefit_gain"]
    at = benefit["threshold"].values.astype(float)
    better = (gain > 0).mean(("chain", "draw")).values
    with styled_figure(fit, 5.2, 5.0) as figure:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        ends: list[np.ndarray] = []
        for (decision, values), ink in zip(benefit.groupby("decision", squeeze=False), (BLUE, RED), strict=True):
            lower, median, upper = _interval(values.squeeze("decision"))
            axes.fill_between(at, lower, upper, color=ink, alpha=0.2, lw=0)
            axes.plot(at, median, color=ink, lw=1.8, label=f"treat {decision}")
            ends.append(upper)
        axes.axhline(0, color=GREY, lw=1.2, ls="--", label="treat nobody")
        top = limits(0.0, *ends)[1]
        axes.set_ylim(-0.25 * top, 1.05 * top)  # treating everybody falls without end
        axes.set_ylabel("net benefit,\ntrue positives per person")
        axes.legend(loc="upper right")
        below.plot(at, better, color=BLUE, lw=1.8)
        below.axhline(0.5, color=GREY, lw=0.8, ls="--")
        below.set_ylim(0, 1.02)
        below.set_ylabel("P(marker\nis best)")
        below.set_xlabel("chance of the outcome at which one would just treat")
        below.set_xlim(0, 1)
    return figure


def _interval(values: xr.DataArray) -> np.ndarray:
    """Lower end, median and upper end of draws, shape (3, ...)."""
    return np.quantile(values.transpose("chain", "draw", ...).values, [0.025, 0.5, 0.975], axis=(0, 1))
