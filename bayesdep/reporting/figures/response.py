"""The figure of a biomarker as a predictor: its ROC curve."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayesdep.inference.fit import Fit
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, serves, styled_figure


def has_roc(fit: Fit) -> bool:
    """Whether a fit derives an ROC curve."""
    return "roc" in fit.estimands


@serves("roc", "one biomarker as a predictor", has_roc)
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

    def interval(values: xr.DataArray) -> np.ndarray:
        return np.quantile(values.transpose("chain", "draw", ...).values, [0.025, 0.5, 0.975], axis=(0, 1))

    lower, median, upper = interval(estimands["roc"])
    closed = np.concatenate([[0.0], rate, [1.0]])
    with styled_figure(fit, 4.4, 4.4) as figure:
        axes = figure.add_subplot(aspect="equal")
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--")
        axes.fill_between(rate, lower, upper, color=BLUE, alpha=0.25, lw=0, label="95% band")
        axes.plot(closed, [0.0, *median, 1.0], color=BLUE, lw=1.8, label="ROC curve")
        if {"sensitivity", "specificity"} <= set(estimands.data_vars):
            y, x = interval(estimands["sensitivity"]), 1 - interval(estimands["specificity"])[::-1]
            error = [[[v[1] - v[0]], [v[2] - v[1]]] for v in (x, y)]
            axes.errorbar(
                [x[1]], [y[1]], xerr=error[0], yerr=error[1], fmt="o", ms=5, color=INK, lw=1.1, label="cutoff"
            )
        if "auc" in estimands:
            area = interval(estimands["auc"])
            axes.set_title(f"AUC {area[1]:.2f} (95% interval {area[0]:.2f} to {area[2]:.2f})")
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        axes.set_xlabel("false-positive rate (1 - specificity)")
        axes.set_ylabel("sensitivity")
        axes.legend(loc="lower right")
    return figure
