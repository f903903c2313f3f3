"""Bayesian immunopsychiatry: from a tidy table to a posterior that survives a referee."""

import sys

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this

# Public name -> where it lives. Nothing is imported until it is asked for, so that `import bayesdep` and
# `bayesdep --help` cost nothing.
_PUBLIC = {
    "BadInput": "bayesdep.data.errors",
    "CannotCompare": "bayesdep.data.errors",
    "NotConverged": "bayesdep.data.errors",
    "list_datasets": "bayesdep.data.published",
    "load": "bayesdep.data.published",
    "ReadTable": "bayesdep.data.readers.result",
    "read_panel": "bayesdep.data.readers.panel",
    "read_trial": "bayesdep.data.readers.trial",
    "read_table": "bayesdep.data.sources",
    "stage": "bayesdep.data.staging",
    "simulate": "bayesdep.designs.register",
    "Correlation": "bayesdep.models.correlation.model",
    "Counts": "bayesdep.models.counts.model",
    "Crossover": "bayesdep.models.crossover.model",
    "Cytokines": "bayesdep.models.cytokines.model",
    "add_limits": "bayesdep.data.detection",
    "join_markers": "bayesdep.data.visits",
    "count_detected": "bayesdep.data.detection",
    "Items": "bayesdep.models.items.model",
    "Meta": "bayesdep.models.meta.model",
    "Ordinal": "bayesdep.models.ordinal.model",
    "PatientMeta": "bayesdep.models.patient_meta.model",
    "Response": "bayesdep.models.response.model",
    "Screen": "bayesdep.models.screen.model",
    "SmallStudies": "bayesdep.models.small_studies.model",
    "Transitions": "bayesdep.models.transitions.model",
    "Stepwise": "bayesdep.models.stepwise.model",
    "Trajectories": "bayesdep.models.trajectories.model",
    "Trial": "bayesdep.models.trial.model",
    "register": "bayesdep.models.register",
    "Prior": "bayesdep.numerics.distributions",
    "heterogeneity_prior": "bayesdep.models.parts.published_priors",
    "HRSD_17_TO_MADRS": "bayesdep.data.scales",
    "convert_trials": "bayesdep.data.scales",
    "fit_conversion": "bayesdep.data.scales",
    "Fit": "bayesdep.inference.fit",
    "Rope": "bayesdep.inference.ropes",
    "fit": "bayesdep.inference.sample",
    "settings": "bayesdep.inference.settings",
    "check_predictions": "bayesdep.criticism.checks",
    "check_loo_pit": "bayesdep.criticism.loo_pit",
    "compare": "bayesdep.criticism.compare",
    "accumulate_studies": "bayesdep.criticism.influence",
    "check_dropout": "bayesdep.criticism.dropout",
    "check_equivalence": "bayesdep.criticism.equivalence",
    "check_influence": "bayesdep.criticism.influence",
    "leave_out_each_study": "bayesdep.criticism.influence",
    "find_tipping_point": "bayesdep.criticism.dropout",
    "check_missing_information": "bayesdep.criticism.missing_information",
    "check_null": "bayesdep.criticism.bayes_factor",
    "check_prior_sensitivity": "bayesdep.criticism.sensitivity",
    "check_borrowing": "bayesdep.criticism.borrowing",
    "check_each_prior": "bayesdep.criticism.each_prior",
    "scale_priors": "bayesdep.criticism.each_prior",
    "fit_each_moderator": "bayesdep.criticism.sequential",
    "sensitivity_grid": "bayesdep.criticism.influence",
    "summarise": "bayesdep.reporting.estimands",
    "summarise_exact": "bayesdep.reporting.estimands",
    "summarise_parameters": "bayesdep.reporting.estimands",
    "as_study": "bayesdep.reporting.study",
    "rank_evidence": "bayesdep.reporting.evidence",
    "compare_priors": "bayesdep.reporting.other_priors",
    "export": "bayesdep.reporting.export",
    "priors": "bayesdep.reporting.priors",
    "table": "bayesdep.reporting.tables",
    "plot_priors": "bayesdep.reporting.figures.priors",
    "plot_assumed_people": "bayesdep.reporting.figures.transitions",
    "plot_associations": "bayesdep.reporting.figures.trajectories",
    "plot_bayes_factors": "bayesdep.reporting.figures.equivalence",
    "plot_categories": "bayesdep.reporting.figures.ordinal",
    "plot_changes": "bayesdep.reporting.figures.cytokines",
    "plot_checks": "bayesdep.reporting.figures.common",
    "plot_combined": "bayesdep.reporting.figures.patient_meta",
    "plot_subgroup_effects": "bayesdep.reporting.figures.trajectories_subgroups",
    "plot_courses": "bayesdep.reporting.figures.trajectories",
    "plot_covariance": "bayesdep.reporting.figures.trial",
    "plot_cumulative": "bayesdep.reporting.figures.meta",
    "plot_decision_curve": "bayesdep.reporting.figures.response",
    "plot_difference_along": "bayesdep.reporting.figures.trial",
    "plot_dropout": "bayesdep.reporting.figures.dropout",
    "plot_dropout_by_arm": "bayesdep.reporting.figures.trial_checks",
    "plot_ecdf": "bayesdep.reporting.figures.cytokines",
    "plot_equivalence": "bayesdep.reporting.figures.equivalence",
    "plot_forest": "bayesdep.reporting.figures.common",
    "plot_funnel": "bayesdep.reporting.figures.meta",
    "plot_leave_one_out": "bayesdep.reporting.figures.meta",
    "plot_moderators": "bayesdep.reporting.figures.patient_meta",
    "plot_items": "bayesdep.reporting.figures.items",
    "plot_monotone": "bayesdep.reporting.figures.ordinal",
    "plot_occupancy": "bayesdep.reporting.figures.transitions",
    "plot_pairs": "bayesdep.reporting.figures.crossover",
    "plot_plates": "bayesdep.reporting.figures.cytokines",
    "plot_prior_posterior": "bayesdep.reporting.figures.common",
    "plot_ranks": "bayesdep.reporting.figures.common",
    "plot_residuals": "bayesdep.reporting.figures.trial_checks",
    "plot_roc": "bayesdep.reporting.figures.response",
    "plot_scaled_priors": "bayesdep.reporting.figures.scaled_priors",
    "plot_shares": "bayesdep.reporting.figures.cytokines",
    "plot_study_effects": "bayesdep.reporting.figures.patient_meta",
    "plot_subgroups": "bayesdep.reporting.figures.trial_subgroups",
    "plot_trajectories": "bayesdep.reporting.figures.trial",
    "plot_transitions": "bayesdep.reporting.figures.transitions",
    "plot_within_correlation": "bayesdep.reporting.figures.meta",
    "sentences": "bayesdep.reporting.sentences",
    "report": "bayesdep.reporting.report",
    "report_calibration": "bayesdep.reporting.calibration",
    "as_prior": "bayesdep.planning.next_prior",
    "assurance": "bayesdep.planning.design",
    "calibrate": "bayesdep.planning.calibrate",
    "read_plan": "bayesdep.plan",
    "run_plan": "bayesdep.plan",
}

# Old public name -> the name that takes its place. An old name works for one minor version and warns.
_RENAMED = {
    "check": "check_predictions",
    "cumulative": "accumulate_studies",
    "datasets": "list_datasets",
    "detection_table": "count_detected",
    "dropout": "check_dropout",
    "evidence": "rank_evidence",
    "Pooled": "PatientMeta",
    "influence": "check_influence",
    "leave_one_out": "leave_out_each_study",
    "missing_information": "check_missing_information",
    "sensitivity": "check_prior_sensitivity",
    "sequential_moderators": "fit_each_moderator",
    "tipping_point": "find_tipping_point",
    "vary": "sensitivity_grid",
}

if TYPE_CHECKING:
    from typing import Any

    from bayesdep.criticism.bayes_factor import check_null as check_null
    from bayesdep.criticism.borrowing import check_borrowing as check_borrowing
    from bayesdep.criticism.checks import check_predictions as check_predictions
    from bayesdep.criticism.compare import compare as compare
    from bayesdep.criticism.dropout import check_dropout as check_dropout
    from bayesdep.criticism.dropout import find_tipping_point as find_tipping_point
    from bayesdep.criticism.each_prior import check_each_prior as check_each_prior
    from bayesdep.criticism.each_prior import scale_priors as scale_priors
    from bayesdep.criticism.equivalence import check_equivalence as check_equivalence
    from bayesdep.criticism.influence import accumulate_studies as accumulate_studies
    from bayesdep.criticism.influence import check_influence as check_influence
    from bayesdep.criticism.influence import leave_out_each_study as leave_out_each_study
    from bayesdep.criticism.influence import sensitivity_grid as sensitivity_grid
    from bayesdep.criticism.loo_pit import check_loo_pit as check_loo_pit
    from bayesdep.criticism.missing_information import check_missing_information as check_missing_information
    from bayesdep.criticism.sensitivity import check_prior_sensitivity as check_prior_sensitivity
    from bayesdep.criticism.sequential import fit_each_moderator as fit_each_moderator
    from bayesdep.data.detection import add_limits as add_limits
    from bayesdep.data.detection import count_detected as count_detected
    from bayesdep.data.errors import BadInput as BadInput
    from bayesdep.data.errors import CannotCompare as CannotCompare
    from bayesdep.data.errors import NotConverged as NotConverged
    from bayesdep.data.published import list_datasets as list_datasets
    from bayesdep.data.published import load as load
    from bayesdep.data.readers.panel import read_panel as read_panel
    from bayesdep.data.readers.result import ReadTable as ReadTable
    from bayesdep.data.readers.trial import read_trial as read_trial
    from bayesdep.data.scales import HRSD_17_TO_MADRS as HRSD_17_TO_MADRS
    from bayesdep.data.scales import convert_trials as convert_trials
    from bayesdep.data.scales import fit_conversion as fit_conversion
    from bayesdep.data.sources import read_table as read_table
    from bayesdep.data.staging import stage as stage
    from bayesdep.data.visits import join_markers as join_markers
    from bayesdep.designs.register import simulate as simulate
    from bayesdep.inference.fit import Fit as Fit
    from bayesdep.inference.ropes import Rope as Rope
    from bayesdep.inference.sample import fit as fit
    from bayesdep.inference.settings import settings as settings
    from bayesdep.models.correlation.model import Correlation as Correlation
    from bayesdep.models.counts.model import Counts as Counts
    from bayesdep.models.crossover.model import Crossover as Crossover
    from bayesdep.models.cytokines.model import Cytokines as Cytokines
    from bayesdep.models.items.model import Items as Items
    from bayesdep.models.meta.model import Meta as Meta
    from bayesdep.models.ordinal.model import Ordinal as Ordinal
    from bayesdep.models.parts.published_priors import heterogeneity_prior as heterogeneity_prior
    from bayesdep.models.patient_meta.model import PatientMeta as PatientMeta
    from bayesdep.models.register import register as register
    from bayesdep.models.response.model import Response as Response
    from bayesdep.models.screen.model import Screen as Screen
    from bayesdep.models.small_studies.model import SmallStudies as SmallStudies
    from bayesdep.models.stepwise.model import Stepwise as Stepwise
    from bayesdep.models.trajectories.model import Trajectories as Trajectories
    from bayesdep.models.transitions.model import Transitions as Transitions
    from bayesdep.models.trial.model import Trial as Trial
    from bayesdep.numerics.distributions import Prior as Prior
    from bayesdep.plan import read_plan as read_plan
    from bayesdep.plan import run_plan as run_plan
    from bayesdep.planning.calibrate import calibrate as calibrate
    from bayesdep.planning.design import assurance as assurance
    from bayesdep.planning.next_prior import as_prior as as_prior
    from bayesdep.reporting.calibration import report_calibration as report_calibration
    from bayesdep.reporting.estimands import summarise as summarise
    from bayesdep.reporting.estimands import summarise_exact as summarise_exact
    from bayesdep.reporting.estimands import summarise_parameters as summarise_parameters
    from bayesdep.reporting.evidence import rank_evidence as rank_evidence
    from bayesdep.reporting.export import export as export
    from bayesdep.reporting.figures.common import plot_checks as plot_checks
    from bayesdep.reporting.figures.common import plot_forest as plot_forest
    from bayesdep.reporting.figures.common import plot_prior_posterior as plot_prior_posterior
    from bayesdep.reporting.figures.common import plot_ranks as plot_ranks
    from bayesdep.reporting.figures.crossover import plot_pairs as plot_pairs
    from bayesdep.reporting.figures.cytokines import plot_changes as plot_changes
    from bayesdep.reporting.figures.cytokines import plot_ecdf as plot_ecdf
    from bayesdep.reporting.figures.cytokines import plot_plates as plot_plates
    from bayesdep.reporting.figures.cytokines import plot_shares as plot_shares
    from bayesdep.reporting.figures.dropout import plot_dropout as plot_dropout
    from bayesdep.reporting.figures.equivalence import plot_bayes_factors as plot_bayes_factors
    from bayesdep.reporting.figures.equivalence import plot_equivalence as plot_equivalence
    from bayesdep.reporting.figures.items import plot_items as plot_items
    from bayesdep.reporting.figures.meta import plot_cumulative as plot_cumulative
    from bayesdep.reporting.figures.meta import plot_funnel as plot_funnel
    from bayesdep.reporting.figures.meta import plot_leave_one_out as plot_leave_one_out
    from bayesdep.reporting.figures.meta import plot_within_correlation as plot_within_correlation
    from bayesdep.reporting.figures.ordinal import plot_categories as plot_categories
    from bayesdep.reporting.figures.ordinal import plot_monotone as plot_monotone
    from bayesdep.reporting.figures.patient_meta import plot_combined as plot_combined
    from bayesdep.reporting.figures.patient_meta import plot_moderators as plot_moderators
    from bayesdep.reporting.figures.patient_meta import plot_study_effects as plot_study_effects
    from bayesdep.reporting.figures.priors import plot_priors as plot_priors
    from bayesdep.reporting.figures.response import plot_decision_curve as plot_decision_curve
    from bayesdep.reporting.figures.response import plot_roc as plot_roc
    from bayesdep.reporting.figures.scaled_priors import plot_scaled_priors as plot_scaled_priors
    from bayesdep.reporting.figures.trajectories import plot_associations as plot_associations
    from bayesdep.reporting.figures.trajectories import plot_courses as plot_courses
    from bayesdep.reporting.figures.trajectories_subgroups import plot_subgroup_effects as plot_subgroup_effects
    from bayesdep.reporting.figures.transitions import plot_assumed_people as plot_assumed_people
    from bayesdep.reporting.figures.transitions import plot_occupancy as plot_occupancy
    from bayesdep.reporting.figures.transitions import plot_transitions as plot_transitions
    from bayesdep.reporting.figures.trial import plot_covariance as plot_covariance
    from bayesdep.reporting.figures.trial import plot_difference_along as plot_difference_along
    from bayesdep.reporting.figures.trial import plot_trajectories as plot_trajectories
    from bayesdep.reporting.figures.trial_checks import plot_dropout_by_arm as plot_dropout_by_arm
    from bayesdep.reporting.figures.trial_checks import plot_residuals as plot_residuals
    from bayesdep.reporting.figures.trial_subgroups import plot_subgroups as plot_subgroups
    from bayesdep.reporting.other_priors import compare_priors as compare_priors
    from bayesdep.reporting.priors import priors as priors
    from bayesdep.reporting.report import report as report
    from bayesdep.reporting.sentences import sentences as sentences
    from bayesdep.reporting.study import as_study as as_study
    from bayesdep.reporting.tables import table as table

__version__ = "0.1.0"
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> "Any":
    if name in _RENAMED:
        import warnings

        now = _RENAMED[name]
        warnings.warn(
            f"bd.{name} is now called bd.{now}; the old name is removed in version 0.2",
            DeprecationWarning,
            stacklevel=2,
        )
        name = now
    if name not in _PUBLIC:
        raise AttributeError(f"module 'bayesdep' has no attribute '{name}'")
    from importlib import import_module

    refuse_without_docstrings()
    return getattr(import_module(_PUBLIC[name]), name)


def refuse_without_docstrings() -> None:
    """Refuse ``python -OO``, under which PyMC and what it builds on cannot be imported.

    Raises
    ------
    BadInput
        Under ``-OO`` or ``PYTHONOPTIMIZE=2``.
    """
    if sys.flags.optimize > 1:
        from bayesdep.data.errors import BadInput

        raise BadInput("python -OO takes away the docstrings that PyMC is built with; run without -OO, or with -O")


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
