"""The names with which a user's own model is written; ``docs/howto/your_own_model.md`` has one in forty lines."""

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.tables import Column, as_frame, note, provenance, read_columns, refuse_duplicates
from bayesdep.models.model import (
    Check,
    CompletesVisits,
    CountsQuestions,
    ExactPosterior,
    Forest,
    HasCorrelatedParameters,
    HasCostlyEstimands,
    HasHierarchy,
    Imputes,
    KnowsCare,
    KnowsPosterior,
    KnowsRemedies,
    LeavesOut,
    ListsFigures,
    Model,
    OwnPrior,
    PoolsStudies,
    PredictsObservations,
    PrintsTables,
    ScoresUnits,
    StatesPriors,
    TakesModerators,
    estimand,
)
from bayesdep.models.parts.observations import Categories, Law, Normals, Observations
from bayesdep.models.parts.paper import Characteristic, Estimates, Facts, Grid, Listing, Sample
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.scale import priors_of, scale_of
from bayesdep.models.parts.settings import check_settings, column, read_fields
from bayesdep.models.register import register
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.marginals import Marginal
from bayesdep.numerics.normal_normal import NormalNormal

__all__ = [
    "BadInput",
    "Categories",
    "Characteristic",
    "Check",
    "Column",
    "CompletesVisits",
    "CountsQuestions",
    "Estimates",
    "ExactPosterior",
    "Facts",
    "Forest",
    "Grid",
    "HasCorrelatedParameters",
    "HasCostlyEstimands",
    "HasHierarchy",
    "Imputes",
    "KnowsCare",
    "KnowsPosterior",
    "KnowsRemedies",
    "Law",
    "LeavesOut",
    "Listing",
    "ListsFigures",
    "Marginal",
    "Model",
    "NormalNormal",
    "Normals",
    "Observations",
    "OwnPrior",
    "PoolsStudies",
    "PredictsObservations",
    "PrintsTables",
    "Prior",
    "Sample",
    "ScoresUnits",
    "Slot",
    "StatesPriors",
    "TakesModerators",
    "as_frame",
    "check_settings",
    "column",
    "did_you_mean",
    "estimand",
    "fill_slots",
    "note",
    "priors_of",
    "provenance",
    "read_columns",
    "read_fields",
    "refuse_duplicates",
    "register",
    "scale_of",
]
