"""Figures of an individual-patient meta-analysis: studies' effects, moderators alone and jointly, M*."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesdep.inference.fit import Fit
from bayesdep.models.patient_meta.combined import CROSS_VALIDATED, IN_SAMPLE, leave_one_out
from bayesdep.models.patient_meta.data import ONLY_TIME
from bayesdep.models.patient_meta.likelihood import log_sds_of_studies
from bayesdep.models.patient_meta.quadratic import rough_interactions
from bayesdep.models.patient_meta.settings import PatientMetaSettings
from bayesdep.numerics.rounding import number
from bayesdep.reporting.estimands import summarise
from bayesdep.reporting.figures.common import ratio_axis
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, RED, chosen, serves, settings_of_kind, styled_figure
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.ranges import shown_of

_GROUPS = 5  # of patients by their combined moderator


def has_two_times(fit: Fit) -> bool:
    """Whether patients were observed at two times, whose studies the forest plot cannot show side by side."""
    return fit.data.sizes["time"] > 1


@serves("study_effects", "pooled patients of several studies")
def plot_study_effects(fit: Fit) -> Figure:
    """Draw the effect of the treatment in every study, on its own and in the model, a panel per time.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.PatientMeta`.

    Returns
    -------
    matplotlib.figure.Figure
        Grey: the study's own difference of means with Welch's 95% interval. Blue: posterior median and 95% interval.
        Diamond: the pooled effect; bar: 95% prediction interval for a new study.

    Examples
    --------
    >>> import bayesdep as bd
    >>> patients = bd.simulate("price2022", seed=1).table  # synthetic
    >>> columns = {"outcome": "improvement", "baseline": "madrs_baseline", "units": "% improvement"}
    >>> moderators = {"moderators": ["age", "female"], "study_levels": "random"}
    >>> model = bd.PatientMeta(reference="control", times=["rapid"], **moderators, **columns)
    >>> fit = bd.fit(model, patients)  # doctest: +SKIP
    >>> figure = bd.plot_study_effects(fit)  # doctest: +SKIP
    """
    settings, table = settings_of_kind(fit, PatientMetaSettings), summarise(fit)
    times, studies = fit.data["time"].values, fit.data["study"].values
    crude, se = (x.reshape(len(times), -1) for x in fit.model.forest.crude(fit.data))
    wanted, when = chosen("study", studies), chosen("time", times)
    times, crude, se = times[when], crude[when], se[when]
    shown = wanted[shown_of(len(wanted))]
    y = np.arange(len(shown))[::-1] + 2.6
    with styled_figure(fit, 3.0 * len(times) + 1.2, 1.5 + 0.24 * len(shown)) as figure:
        figure.says_shown(len(shown), len(wanted), "studies are shown: the first and the last of the table")
        panels = figure.subplots(1, len(times), sharey=True, sharex=True, squeeze=False)[0]
        for t, axes in enumerate(panels):
            here = table[table["time"] == times[t]]
            rows = here[here["estimand"] == "study_effect"].iloc[shown]
            axes.axvline(0, color=GREY, lw=0.8, zorder=0)
            own: dict[str, Any] = {"fmt": "o", "ms": 3, "color": GREY, "lw": 1, "label": "on its own"}
            axes.errorbar(crude[t, shown], y + 0.16, xerr=1.96 * se[t, shown], **own)
            axes.hlines(y - 0.16, rows["lower"], rows["upper"], color=BLUE, lw=1.6)
            axes.plot(rows["median"], y - 0.16, "o", ms=4, color=BLUE, label="in the model")
            pooled, new = (here[here["estimand"] == name].iloc[0] for name in ("effect", "effect_new"))
            ends = [pooled["lower"], pooled["median"], pooled["upper"], pooled["median"]]
            axes.fill(ends, [1, 1.3, 1, 0.7], color=BLUE)
            axes.plot([new["lower"], new["upper"]], [0, 0], color=BLUE, lw=4, alpha=0.35, solid_capstyle="butt")
            axes.plot(new["median"], 0, "|", color=BLUE, ms=9)
            axes.set_title(_at(times[t]), fontsize=9)
            if settings.is_binary:
                ratio_axis(axes)
        panels[0].set_yticks([*y, 1, 0], [*studies[shown], "overall", "new study"])
        panels[0].set_ylim(-0.7, y[0] + 0.8)
        for axes in panels:
            axes.tick_params(axis="y", length=0)
        units = "odds ratio" if settings.is_binary else "sd"
        arm = fit.data["arm"].values[1]
        _say_below(panels, f"effect of {arm}, less {settings.reference}, {units} (95% intervals)")
        legend_below(figure, panels[0].get_legend_handles_labels(), 2)
    return figure


@serves("moderators", "pooled patients with moderators")
def plot_moderators(fit: Fit, sequential: pd.DataFrame | None = None) -> Figure:
    """Draw how the effect changes along every moderator: jointly, and where they are given, one at a time.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.PatientMeta` with moderators.
    sequential
        What :func:`~bayesdep.criticism.sequential.fit_each_moderator` returned of the same moderators.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per time. Blue: the joint fit's posterior median and 95% interval. Grey: the fit with that moderator
        alone; or, where interactions are pooled and no such fits are given, all moderators jointly without pooling (of
        outcomes, by generalised least squares). Band: what is too small to matter.

    Examples
    --------
    >>> import bayesdep as bd
    >>> patients = bd.simulate("price2022", seed=1).table  # synthetic
    >>> columns = {"outcome": "improvement", "baseline": "madrs_baseline", "units": "% improvement"}
    >>> moderators = {"moderators": ["age", "female"], "study_levels": "random"}
    >>> model = bd.PatientMeta(reference="control", times=["rapid"], **moderators, **columns)
    >>> fit = bd.fit(model, patients)  # doctest: +SKIP
    >>> figure = bd.plot_moderators(fit)  # doctest: +SKIP
    """
    settings, data = settings_of_kind(fit, PatientMetaSettings), fit.data
    table = summarise(fit)
    rows = table[table["estimand"] == "interaction"]
    when = chosen("time", data["time"].values)
    times, parts = data["time"].values[when], data["part"].values
    y = np.arange(len(parts))[::-1].astype(float)
    unpooled = sequential is None and settings.effects != "none" and not settings.is_binary
    shift = 0.16 if sequential is not None or unpooled else 0.0
    with styled_figure(fit, 2.6 * len(times) + 2.0, 1.5 + 0.3 * len(parts)) as figure:
        panels = figure.subplots(1, len(times), sharey=True, sharex=True, squeeze=False)[0]
        for t, (time, axes) in enumerate(zip(times, panels, strict=True)):
            axes.axvspan(
                -settings.margin, settings.margin, color=GREY, alpha=0.18, lw=0, zorder=0, label="too small to matter"
            )
            axes.axvline(0, color=INK, lw=0.7, zorder=0)
            if sequential is not None:
                _alone(axes, sequential, data, str(time), y + shift)
            if unpooled:
                estimate, se = (x[:, when[t]] for x in rough_interactions(data, log_sds_of_studies(data)[0]))
                axes.hlines(y + shift, estimate - 1.96 * se, estimate + 1.96 * se, color=GREY, lw=1)
                axes.plot(estimate, y + shift, "o", ms=3, color=GREY, label="jointly, not pooled")
            here = rows[rows["time"] == time]
            axes.hlines(y - shift, here["lower"], here["upper"], color=BLUE, lw=1.6)
            pooled = "" if settings.effects == "none" else f", pooled ({settings.effects})"
            axes.plot(here["median"], y - shift, "o", ms=4, color=BLUE, label=f"jointly{pooled}")
            axes.set_title(_at(time), fontsize=9)
            axes.tick_params(axis="y", length=0)
        panels[0].set_yticks(y, [str(p) for p in parts])
        panels[0].set_ylim(-0.7, len(parts) - 0.3)
        units = "log odds ratio" if settings.is_binary else "effect, sd"
        _say_below(panels, f"change of the {units} per sd of the moderator, or yes against no (95% intervals)")
        legend_below(figure, panels[0].get_legend_handles_labels(), 3)
    return figure


def _alone(axes: Axes, sequential: pd.DataFrame, data: Any, time: str, y: np.ndarray) -> None:
    """Rows of the fits with one moderator, at the heights of the parts they are of."""
    keys = list(zip(data["moderator_of"].values, data["level"].values, strict=True))
    here = sequential[sequential["time"] == time].set_index(["moderator", "level"])
    found = [(y[i], here.loc[key]) for i, key in enumerate(keys) if key in here.index]
    at = [height for height, _ in found]
    axes.hlines(at, [r["lower"] for _, r in found], [r["upper"] for _, r in found], color=GREY, lw=1)
    axes.plot([r["estimate"] for _, r in found], at, "o", ms=3, color=GREY, label="one at a time")


@serves("combined", "pooled patients with a combined moderator")
def plot_combined(fit: Fit) -> Figure:
    """Draw the effect of the treatment along the combined moderator M*, as the rule's own patients have it and others.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.PatientMeta` with a combined moderator.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per time. Line and band: the effect that the model expects along M*, posterior mean and 95% interval.
        Points: differences of means between the arms in fifths of the patients by M*; filled by the rule that they
        helped to make, open by the rules that the other studies make, which is how well it does elsewhere.

    Examples
    --------
    >>> import bayesdep as bd
    >>> patients = bd.simulate("price2022", seed=1).table  # synthetic
    >>> columns = {"outcome": "improvement", "baseline": "madrs_baseline", "units": "% improvement"}
    >>> moderators = {"moderators": ["age", "female"], "combined": ["age", "female"]}
    >>> model = bd.PatientMeta(reference="control", times=["rapid"], study_levels="random", **moderators, **columns)
    >>> fit = bd.fit(model, patients)  # doctest: +SKIP
    >>> figure = bd.plot_combined(fit)  # doctest: +SKIP
    """
    settings, data = settings_of_kind(fit, PatientMetaSettings), fit.data
    here = np.isin(data["moderator_of"].values, settings.combined)
    x = data["parts"].values[:, here]
    posterior = fit.tree["posterior"].to_dataset()
    w = posterior["interaction"].transpose("chain", "draw", "part", "time").values[:, :, here]
    w = w.reshape(-1, *w.shape[2:])
    effect = posterior["effect"].transpose("chain", "draw", "time").values.reshape(-1, w.shape[-1])
    others = leave_one_out(settings, posterior, data).interaction[data["study_of"].values][:, here]
    treated = data["arm_of"].values.astype(bool)
    y = (data["outcome"].values - data["outcome_mean"].values) / data["outcome_sd"].values
    r = fit.estimands["m_star_r"]
    when = chosen("time", data["time"].values)
    times = data["time"].values
    with styled_figure(fit, 3.3 * len(when) + 0.6, 3.9) as figure:
        panels = figure.subplots(1, len(when), sharey=True, squeeze=False)[0]
        for t, axes in zip(when, panels, strict=True):
            score = x @ w[:, :, t].mean(axis=0)
            elsewhere = (x * others[:, :, t]).sum(axis=1)
            first, last = np.quantile(score, [0.01, 0.99])
            at = np.linspace(first, last, 60)
            # what each draw says of the effect along the score: the least-squares line over patients
            moved = score - score.mean()
            slope = (x.T @ moved / (moved @ moved)) @ w[:, :, t].T
            level = effect[:, t] + (w[:, :, t] @ x.mean(axis=0))
            lines = level[:, None] + slope[:, None] * (at - score.mean())
            lower, upper = np.quantile(lines, [0.025, 0.975], axis=0)
            axes.fill_between(at, lower, upper, color=BLUE, alpha=0.18, lw=0)
            axes.plot(at, lines.mean(axis=0), color=BLUE, lw=1.6, label="in the model")
            axes.axhline(0, color=GREY, lw=0.8, zorder=0)
            for values, fill, color, word in (
                (score, BLUE, BLUE, "by the rule they made"),
                (elsewhere, "white", RED, "by the rules of the other studies"),
            ):
                _fifths(axes, values, y[:, t], treated, fill, color, word)
            said = [_said(r.sel(evaluation=e).isel(time=t).values) for e in (IN_SAMPLE, CROSS_VALIDATED)]
            title = f"{_at(times[t], ': ')}r = {said[0]} in-sample, {said[1]} cross-validated"
            axes.set_title(title, fontsize=8.5)
            axes.set_xlabel("M*, sd of the effect", fontsize=8.5)
        panels[0].set_ylabel(f"effect of {data['arm'].values[1]}, less {settings.reference}, sd", fontsize=8.5)
        legend_below(figure, panels[0].get_legend_handles_labels(), 3)
    return figure


def _say_below(panels: np.ndarray, text: str) -> None:
    """Label the axis under each panel of a row: one label for the whole figure would overlap the legend."""
    for axes in panels:
        axes.set_xlabel(text, fontsize=8.5)


def _at(time: object, then: str = "") -> str:
    """A time as a heading; nothing where the table has no other."""
    return "" if time == ONLY_TIME else f"{time}{then}"


def _said(draws: np.ndarray) -> str:
    if np.isnan(draws).any():
        return "unknown"
    lower, median, upper = (number(end, 2) for end in np.quantile(draws, [0.025, 0.5, 0.975]))
    return f"{median} ({lower} to {upper})"


def _fifths(
    axes: Axes, score: np.ndarray, y: np.ndarray, treated: np.ndarray, fill: str, color: str, word: str
) -> None:
    """Differences of means between the arms, and their 95% intervals, in fifths of the patients by a score."""
    seen = ~np.isnan(y)
    score, y, treated = score[seen], y[seen], treated[seen]
    group = np.minimum((np.argsort(np.argsort(score)) * _GROUPS) // len(score), _GROUPS - 1)
    at, middle, half = [], [], []
    for g in range(_GROUPS):
        one, other = (y[(group == g) & (treated == arm)] for arm in (True, False))
        if min(len(one), len(other)) < 2:
            continue
        at.append(score[group == g].mean())
        middle.append(one.mean() - other.mean())
        half.append(1.96 * np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)))
    axes.errorbar(at, middle, yerr=half, fmt="o", ms=4.5, mfc=fill, mec=color, ecolor=color, elinewidth=0.8, label=word)
