"""The register of figures: name -> function and caption. A fit has the figures that its model lists."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy.spatial import cKDTree

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.inference.fit import Fit
from bayesdep.models.model import ListsFigures
from bayesdep.reporting.figures import common as plots
from bayesdep.reporting.figures import crossover as crossover_plots
from bayesdep.reporting.figures import cytokines as panel_plots
from bayesdep.reporting.figures import dropout as dropout_plots
from bayesdep.reporting.figures import equivalence as equivalence_plots
from bayesdep.reporting.figures import items as items_plots
from bayesdep.reporting.figures import meta as meta_plots
from bayesdep.reporting.figures import ordinal as ordinal_plots
from bayesdep.reporting.figures import patient_meta as patient_meta_plots
from bayesdep.reporting.figures import response as response_plots
from bayesdep.reporting.figures import scaled_priors as scaled_priors_plots
from bayesdep.reporting.figures import trajectories as trajectory_plots
from bayesdep.reporting.figures import trajectories_subgroups, trial_subgroups
from bayesdep.reporting.figures import transitions as transitions_plots
from bayesdep.reporting.figures import trial as trial_plots
from bayesdep.reporting.figures import trial_checks as trial_checks_plots
from bayesdep.reporting.figures.composing import RESOLUTION, STYLE, derives, has_figure
from bayesdep.reporting.figures.seen import describe


@dataclass(frozen=True)
class Entry:
    """A figure of the register.

    Parameters
    ----------
    draw
        Makes the figure from a fit.
    caption
        The caption.
    condition
        A further condition on a fit whose model lists it, by its data and estimands.
    """

    draw: Callable[[Fit], Figure]
    caption: str
    condition: Callable[[Fit], bool] = lambda _: True


FIGURES: dict[str, Entry] = {
    "forest": Entry(plots.plot_forest, "Estimates on their own (grey) and in the model (blue), with 95% intervals."),
    "equivalence": Entry(
        equivalence_plots.plot_equivalence,
        "Posterior medians with 50% (thick) and 95% intervals over the region in which an effect is too small to "
        "matter (grey), and the probabilities of lying below, inside and above it. Blue: absent; red: present; grey: "
        "undecided.",
        equivalence_plots.has_ropes,
    ),
    "bayes_factors": Entry(
        equivalence_plots.plot_bayes_factors,
        "Bayes factors for no effect over an effect, against the width of the effect's prior, with two Monte Carlo "
        "errors either way (filled: the model's own width). Above 1 the data speak for no effect; dotted: 3 and 10 "
        "either way.",
        equivalence_plots.has_bayes_factors,
    ),
    "changes": Entry(
        panel_plots.plot_changes,
        "Ratios to baseline with 95% intervals, ordered by their median at the last time.",
        derives("ratio_to_baseline"),
    ),
    "roc": Entry(
        response_plots.plot_roc,
        "ROC curve with its pointwise 95% band; the point, where a cutoff was set, is that cutoff's.",
        derives("roc"),
    ),
    "decision_curve": Entry(
        response_plots.plot_decision_curve,
        "Net benefit of treating by the marker (blue) and of treating everybody (red), with pointwise 95% bands, along "
        "the chance of the outcome at which one would just treat. Below: the probability that the marker does better "
        "than treating everybody and nobody.",
        derives("net_benefit"),
    ),
    "categories": Entry(
        ordinal_plots.plot_categories,
        "Probability of every category by arm and visit: posterior means, stacked from the best category at the foot "
        "to the worst. At each boundary the 95% interval of the probability of that category or better, and the "
        "share of those observed (points).",
    ),
    "items": Entry(
        items_plots.plot_items,
        "Differences between arms in every item's mean at the last visit, by value of the moderator where one is asked "
        "for (left), and odds ratios of a worse score beyond what severity explains (right): medians with 95% "
        "intervals.",
    ),
    "monotone": Entry(
        ordinal_plots.plot_monotone,
        "Monotone effects of ordered predictors: the share of the effect from the lowest level to the highest that is "
        "reached at each level (line, 95% band), and each step's share of it (bars, 95% intervals).",
        derives("increment"),
    ),
    "trajectories": Entry(
        trial_plots.plot_trajectories,
        "Mean outcome by visit and arm: posterior means with 95% bands (lines), had all patients been in that arm and "
        "missed no visit; means of those observed (points), as they are, with their number below.",
    ),
    "difference_along": Entry(
        trial_plots.plot_difference_along,
        "Difference between arms at the last visit along the moderator: median, 50% and 95% bands, and a tick for each "
        "patient (at its limit where a value lies beyond one). Below, the posterior of the value beyond which, on the "
        "side named, the arm does better than the reference, as far as it lies inside the observed range: the bars sum "
        "to the probability that it does.",
        derives("difference_along"),
    ),
    "subgroups": Entry(
        trial_subgroups.plot_subgroups,
        "Differences between arms at the last visit in subgroups of the moderator: medians with 50% (thick) and 95% "
        "intervals (dotted: the median in all patients), beside the patients of each arm and the difference in "
        "residual standard deviations. They are means over a subgroup's patients of what one model says, and subgroups "
        "may overlap. Where asked for, the same of response and remission, predicted for complete trajectories, beside "
        "each arm's rate and the number needed to treat for one more patient with benefit or harm; where the risk "
        "difference's interval includes zero, that number's passes through infinity.",
        derives("difference_in"),
    ),
    "covariance": Entry(
        trial_plots.plot_covariance,
        "Posterior mean correlations of the residuals of two visits, and the residual standard deviation at each visit "
        "with 95% intervals; where arms have covariances of their own, the reference's below the diagonal and in grey, "
        "the other arm's above it and in blue.",
        trial_plots.has_visits,
    ),
    "residuals": Entry(
        trial_checks_plots.plot_residuals,
        "Normal quantile-quantile plot of the residuals, each less its prediction from the patient's earlier visits "
        "and divided by its own standard deviation (of a multivariate t: transformed to normal scores), means over the "
        "posterior's draws; with a simultaneous 95% band of replicates. Right: the same, less the line.",
    ),
    "dropout_by_arm": Entry(
        trial_checks_plots.plot_dropout_by_arm,
        "Shares of each arm's patients who were observed at a visit or later (lines: they had not dropped out), and at "
        "the visit itself (points).",
        trial_checks_plots.misses_visits,
    ),
    "dropout": Entry(
        dropout_plots.plot_dropout,
        "The difference at the last visit under other assumptions about those who dropped out, with 95% intervals; and "
        "against the points added to what they would have had.",
        dropout_plots.has_dropout,
    ),
    "state_transitions": Entry(
        transitions_plots.plot_transitions,
        "What follows each state one step later: lines as wide as the posterior mean probability is large, blue to a "
        "better state, red to a worse one, grey to the same; beside a state, the probability of a better one with its "
        "95% interval.",
    ),
    "state_occupancy": Entry(
        transitions_plots.plot_occupancy,
        "Shares of patients in each state at the start and later, the best state at the bottom: posterior means in per "
        "cent, had all patients been in that arm.",
    ),
    "assumed_people": Entry(
        transitions_plots.plot_assumed_people,
        "Shares of patients in each state at the last time, if the published shares are of fewer people than the table "
        "says: posterior medians with 50% (thick) and 95% intervals.",
        transitions_plots.has_shares,
    ),
    "courses": Entry(
        trajectory_plots.plot_courses,
        "Courses of patients (thin lines) and their mean (line, with its 95% band), of the outcome and of markers, arm "
        "by arm; below a limit of detection (shaded) a marker's value is drawn at the limit.",
    ),
    "associations": Entry(
        trajectory_plots.plot_associations,
        "Associations of the outcome with each marker's deviation from its arm's course, by arm: medians with 95% "
        "intervals, and the 95% interval of their mean (band) where they are pooled. Where markers share a factor, the "
        "association is with it, and a last panel has the markers' loadings. They are associations, not effects of the "
        "markers.",
        derives("association"),
    ),
    "subgroup_effects": Entry(
        trajectories_subgroups.plot_subgroup_effects,
        "What is asked, in each subgroup (its patients in brackets): medians with 95% intervals of one model of all "
        "patients (blue), whose subgroups are means over their members, and least-squares estimates of each subgroup "
        "alone (grey); the band is the model's 95% interval in all patients. Subgroups may overlap.",
        trajectories_subgroups.has_subgroups,
    ),
    "pairs": Entry(
        crossover_plots.plot_pairs,
        "Each patient's outcome after a treatment against that after the reference (points; ticks along the axes where "
        "one of the two is missing). Outcomes on the grey line do not differ; those on the blue line differ by the "
        "posterior mean difference, those in the band by its 95% interval.",
    ),
    "study_effects": Entry(
        patient_meta_plots.plot_study_effects,
        "Effects by study and time: each study's own difference of means (grey) and its effect in the model (blue), "
        "with 95% intervals; the pooled effect (diamond) and 95% prediction interval for a new study (bar).",
        patient_meta_plots.has_two_times,
    ),
    "moderators": Entry(
        patient_meta_plots.plot_moderators,
        "Change of the effect along each moderator, all of them in one model: medians with 95% intervals, and the band "
        "of what is too small to matter.",
    ),
    "combined": Entry(
        patient_meta_plots.plot_combined,
        "The effect along the combined moderator M*: posterior mean and 95% band; and differences of means between the "
        "arms, with 95% intervals, in fifths of the patients by the rule that they helped to make (filled) and by the "
        "rules that the other studies make (open): the second is what the rule would be worth elsewhere.",
    ),
    "leave_one_out": Entry(
        meta_plots.plot_leave_one_out,
        "The pooled effect and the standard deviation between units without each unit in turn: posterior medians and "
        "95% intervals by quadrature, over the interval of all (grey).",
        meta_plots.has_leave_one_out,
    ),
    "within_correlation": Entry(
        meta_plots.plot_within_correlation,
        "The pooled effect and the standard deviation between units were the sampling errors of the same people's "
        "effects correlated by more or less than was stated (line): posterior medians and 95% intervals by quadrature.",
        meta_plots.has_within_correlation,
    ),
    "funnel": Entry(
        meta_plots.plot_funnel,
        "Each study by its effect and standard error, over shades of the two-sided P value it would have; the pooled "
        "effect (line) and where 95% of studies are expected around it (dashed). If publication depended on P, "
        "missing studies would lie in the shaded region.",
        meta_plots.has_funnel,
    ),
    "prior_posterior": Entry(plots.plot_prior_posterior, "Each prior (grey) and the posterior it became (blue)."),
    "scaled_priors": Entry(
        scaled_priors_plots.plot_scaled_priors,
        "Primary estimands as one prior is raised to a power, the others left as they are: medians and 95% intervals "
        "from reweighted draws (below 1 the prior is weaker, above 1 stronger). At the head of each panel the "
        "sensitivity (bold above 0.05) and the largest Pareto k of the weights; red crosses where k is above 0.7 and "
        "what is drawn is not to be trusted.",
        scaled_priors_plots.has_scaled_priors,
    ),
    "checks": Entry(
        plots.plot_checks, "Predictive checks: the data (line) among replicates from the posterior and the prior."
    ),
    "shares": Entry(
        panel_plots.plot_shares,
        "Share of measurements below the detection limit: the data (points, red outside) and the posterior's 95% "
        "intervals.",
        panel_plots.has_limits,
    ),
    "ecdf": Entry(
        panel_plots.plot_ecdf,
        "Cumulative shares of detected values (line), starting from the share below the limit, and the 95% band of "
        "replicates cut off at the same limits. The analytes that fit worst come first: in brackets the line's largest "
        "distance from the replicates' mean, in standard deviations.",
    ),
    "plates": Entry(
        panel_plots.plot_plates,
        "Each plate's median deviation from the analytes' means: the data (points, red outside) and the posterior's "
        "50% and 95% intervals.",
        panel_plots.has_plates,
    ),
    "ranks": Entry(
        plots.plot_ranks,
        "Rank plot: every chain's ranks should stay inside the grey band.",
        lambda fit: not fit.is_exact,  # independent draws have no chains to compare
    ),
}


def figures_of(fit: Fit) -> dict[str, Figure]:
    """Draw every figure that a fit has.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    dict of matplotlib.figure.Figure
        By name of :data:`FIGURES`.

    Raises
    ------
    BadInput
        When the model lists a figure that does not exist.
    """
    names = (*FIGURES, *unknown_figures(fit))
    return {name: FIGURES[name].draw(fit) for name in names if applies(name, fit)}


def applies(name: str, fit: Fit) -> bool:
    """Tell whether a fit has a figure: one of any fit or one that its model lists, with data to show.

    Parameters
    ----------
    name
        The figure's name.
    fit
        Any fit.

    Returns
    -------
    bool
        Whether reports of the fit have it.

    Raises
    ------
    BadInput
        When there is no such figure, naming the nearest one.
    """
    if name not in FIGURES:
        raise BadInput(
            f"{type(fit.model).__name__} lists the figure '{name}', which does not exist; {did_you_mean(name, FIGURES)}"
        )
    return has_figure(fit, name) and FIGURES[name].condition(fit)


def unknown_figures(fit: Fit) -> list[str]:
    """Name the figures that a fit's model lists and that do not exist.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    list of str
        Empty for the package's own models.
    """
    return [name for name in (fit.model.figures if isinstance(fit.model, ListsFigures) else ()) if name not in FIGURES]


def png(figure: Figure) -> bytes:
    """Render a figure as PNG at 300 dpi; the file holds what is seen in it, in words.

    Parameters
    ----------
    figure
        A matplotlib figure.

    Returns
    -------
    bytes
        The file's content, the same for the same figure.
    """
    buffer, described = io.BytesIO(), PngInfo()
    described.add_text("Description", describe(figure))
    drawn = _Pixels()
    _render(figure, drawn, "rgba", dpi=RESOLUTION)
    _in_few_colours(drawn.array).save(buffer, "png", pnginfo=described, dpi=(RESOLUTION, RESOLUTION))
    return buffer.getvalue()


class _Pixels(io.BytesIO):
    """A file for matplotlib's format rgba, which keeps height and width."""

    array: np.ndarray

    def write(self, content: Any) -> int:
        """Keep the picture, a number per pixel: red, green, blue, opacity."""
        self.array = np.array(content).view(">u4")[:, :, 0]
        return self.array.nbytes


def _in_few_colours(pixels: np.ndarray) -> Image.Image:
    """Keep the 256 most frequent colours, and put the nearest for others: edges of letters. A third of the bytes.

    Runs of equal pixels are counted, not single ones: most of a figure is white.
    """
    flat = pixels.ravel()
    begins = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(begins, append=len(flat))
    every, which = np.unique(
        flat[begins].astype(np.int64) >> 8, return_inverse=True
    )  # red, green, blue without opacity
    often = np.bincount(which, weights=lengths)
    order = np.lexsort((every, often))[::-1]
    parts = every[order, None] // [1 << 16, 1 << 8, 1] % 256
    nearest = np.empty(len(every), dtype=np.uint8)
    nearest[order] = cKDTree(parts[:256]).query(parts)[1]
    few = Image.fromarray(np.repeat(nearest[which], lengths).reshape(pixels.shape))
    few.putpalette(parts[:256].astype(np.uint8).tobytes())
    return few


def vector_files(figure: Figure) -> dict[str, bytes]:
    """Render a figure as files without pixels.

    Parameters
    ----------
    figure
        A matplotlib figure that was drawn before: the places of its panels stay.

    Returns
    -------
    dict of bytes
        By ending, ``pdf`` and ``svg``: the same for the same figure.
    """
    figure.set_layout_engine("none")
    return {
        "pdf": _rendered(figure, "pdf", metadata={"Creator": None, "Producer": None, "CreationDate": None}),
        "svg": _rendered(figure, "svg", metadata={"Creator": None, "Date": None, "Description": describe(figure)}),
    }


def _rendered(figure: Figure, ending: str, **how: Any) -> bytes:
    buffer = io.BytesIO()
    _render(figure, buffer, ending, **how)
    return buffer.getvalue()


def _render(figure: Figure, file: io.BytesIO, ending: str, **how: Any) -> None:
    with mpl.rc_context(STYLE):  # letters stay letters, and names in a file follow from its content
        figure.savefig(file, format=ending, **how)
