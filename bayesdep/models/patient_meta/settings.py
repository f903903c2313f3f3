"""Settings of an individual-patient meta-analysis: what they may be, and the priors they call for."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from bayesdep.data.errors import BadInput, truth
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.models.parts.unit_spreads import GLOBAL_SCALE
from bayesdep.numerics.distributions import Prior

REMEDY = "set study_levels = 'random'"  # for what free levels leave unknown
# priors of a model with other moderators, or none, that a model with one of them has too
OF_ONE_MODERATOR = (
    *("intercept", "effect", "effect_change", "baseline_slope", "moderator_effect", "interaction"),
    *("tau_intercept", "tau_effect", "residual_sd", "residual_spread"),
)
FREE_LEVEL_SD = 10.0  # log odds: a study without any event has no flat prior that leaves its density finite


@dataclass(frozen=True, kw_only=True)
class PatientMetaSettings(Described):
    """The settings of :class:`~bayesdep.PatientMeta`, which describes them."""

    family: ClassVar[str] = "patient-meta"
    left_out: ClassVar[str] = "study"

    reference: str
    times: Sequence[str] = ()
    moderators: Sequence[str] = ()
    combined: Sequence[str] = ()
    split: bool = True
    effects: Literal["none", "normal", "student", "horseshoe"] = "none"
    expected_nonzero: float | None = None
    margin: float = 0.2
    missing_moderators: Literal["omit", "impute"] = "omit"
    imputations: int = 20
    study_levels: Literal["free", "random"] = "free"
    units: str = "points"
    scale: float | None = None
    lkj: float = 2.0
    at_least: float | None = None
    at_most: float | None = None
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    outcome: str = column("outcome", "outcome")
    study: str = column("study", "study")
    subject: str = column("subject", "patient")
    arm: str = column("arm", "arm")
    time: str | None = column("time", "time of the outcome")
    baseline: str | None = column(None, "severity at baseline")

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("times", "moderators", "combined"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _refuse_contradictions(self)
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        _refuse_other_priors(self)

    @property
    def is_binary(self) -> bool:
        """Whether the outcome is an event, which the patient had or not."""
        return self.at_least is not None or self.at_most is not None

    @property
    def event(self) -> str:
        """The event's condition, such as ``improvement >= 50``."""
        if self.at_least is not None:
            return f"{self.outcome} >= {self.at_least:g}"
        return f"{self.outcome} <= {self.at_most:g}"

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that its fits have beside those of any fit."""
        return ("study_effects", *(name for name in ("moderators", "combined") if getattr(self, name)))

    @property
    def has_free_levels(self) -> bool:
        """Whether nothing is assumed of how studies' levels differ."""
        return self.study_levels == "free"

    @property
    def may_have_two_times(self) -> bool:
        """Whether settings leave room for two times."""
        return self.time is not None and len(self.times) != 1

    @property
    def imputes(self) -> bool:
        """Whether missing moderators are imputed."""
        return self.missing_moderators == "impute"

    @property
    def target_accept(self) -> float:
        """Target acceptance rate: 0.9, as spreads between a dozen or two of studies may be near zero.

        At 0.8 the tails of spreads are explored half as well, which is acceptable only in slow fits, those of several
        moderators.
        """
        return 0.8 if len(self.moderators) > 1 and self.effects == "none" and not self.is_binary else 0.9

    @property
    def adaptation(self) -> Literal["low_rank", "diag"]:
        """Low-rank where moderators correlate; hundreds of studies' own parameters do not need it."""
        return "low_rank" if self.moderators else "diag"

    @property
    def primary_estimands(self) -> tuple[str, ...]:
        """What the analysis asks first: the effect, and how it changes along moderators."""
        return ("effect", "interaction") if self.moderators else ("effect",)

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: only those of the terms that the settings switch on."""
        return _slots_of_coefficients(self) | _slots_of_spreads(self)


def _slots_of_coefficients(settings: PatientMetaSettings) -> dict[str, Slot]:
    binary = settings.is_binary
    unit = "log odds" if binary else "sd"
    one = Prior("Normal", mu=0, sigma=1)
    wide = Prior("Normal", mu=0, sigma=1.5) if binary else one
    mean = "the log odds of the typical study, mean over arms" if binary else "the mean outcome less the overall mean"
    slots = {} if settings.has_free_levels else {"intercept": Slot(wide, "real", mean, unit)}
    over = ", mean over times" if settings.may_have_two_times else ""
    slots["effect"] = Slot(wide, "real", f"the effect of the treatment{over}", unit)
    if settings.may_have_two_times:
        slots["effect_change"] = Slot(one, "real", "the effect at the second time less that at the first", unit)
    if settings.baseline is not None:
        slope = one if binary else Prior("Normal", mu=0, sigma=0.5)
        slots["baseline_slope"] = Slot(slope, "real", "the difference per sd of the baseline", f"{unit} per sd")
    if settings.moderators:
        slots["moderator_effect"] = Slot(one, "real", "the difference by moderator, mean over arms", f"{unit} per unit")
        slots |= _slots_of_interactions(settings, unit)
    return slots


def _slots_of_interactions(settings: PatientMetaSettings, unit: str) -> dict[str, Slot]:
    if settings.effects == "none":
        wide = Prior("Normal", mu=0, sigma=1)
        return {"interaction": Slot(wide, "real", "the change of the effect by moderator", f"{unit} per unit")}
    if settings.effects in ("normal", "student"):
        spread = Prior("HalfNormal", sigma=0.3)
        slots = {"interaction_sd": Slot(spread, "positive", "the spread of interactions", f"{unit} per unit")}
        if settings.effects == "student":
            slots["local_precision"] = Slot(
                Prior("Gamma", alpha=2, beta=2), "positive",
                "one over the squared scale of an interaction (nu/2, nu/2: Student's t with nu degrees of freedom)",
                "per squared spread",
            )  # fmt: skip
        return slots
    cauchy = Prior("HalfCauchy", beta=1)
    # Student's t with 4 degrees of freedom and scale 0.5 sd; a logistic outcome's residual sd is about 2
    slab = Prior("Gamma", alpha=2, beta=2 if settings.is_binary else 0.5)
    return {
        "global_scale": Slot(
            GLOBAL_SCALE, "positive", "the scale of all interactions", "times that expected of the non-zero ones"
        ),
        "local_scale": Slot(cauchy, "positive", "the scale of an interaction", "times the global scale"),
        "slab_precision": Slot(
            slab, "positive", "one over the squared scale of the interactions that are not shrunk",
            f"per squared {unit}",
        ),
    }  # fmt: skip


def _slots_of_spreads(settings: PatientMetaSettings) -> dict[str, Slot]:
    unit = "log odds" if settings.is_binary else "sd"
    spread = Prior("HalfNormal", sigma=0.5 if settings.is_binary else 0.3)
    slots = {}
    if not settings.has_free_levels:
        level = "the spread of studies' levels, midway between the arms"
        slots["tau_intercept"] = Slot(spread, "positive", level, unit)
    slots["tau_effect"] = Slot(spread, "positive", "the spread of effects between studies", unit)
    if not settings.is_binary:
        typical = Prior("HalfNormal", sigma=1)
        slots["residual_sd"] = Slot(typical, "positive", "the typical residual sd of a study", "sd")
        between = "the spread of the log of residual sds between studies"
        slots["residual_spread"] = Slot(spread, "positive", between, "log sd")
    return slots


def _refuse_contradictions(settings: PatientMetaSettings) -> None:
    """Refuse settings that contradict each other, naming the setting and what to do."""
    _refuse_moderators(settings)
    _refuse_events(settings)
    if settings.combined and settings.has_free_levels:
        raise BadInput(
            "combined compares patients of different studies, which takes levels of studies with a prior; set "
            "study_levels = 'random', or leave combined out"
        )
    for name in settings.combined:
        if name not in settings.moderators:
            raise BadInput(f"combined has '{name}', which is not among the moderators; add it there, or leave it out")
    if settings.imputes:
        _refuse_to_impute(settings)
    for name, example in (("expected_nonzero", "3"), ("margin", "0.2"), ("lkj", "2"), ("scale", "25")):
        value = getattr(settings, name)
        if value is not None and not 0 < value < np.inf:
            raise BadInput(f"{name} = {value}, but a number above zero is needed, such as {example}")


def _refuse_moderators(settings: PatientMetaSettings) -> None:
    effects = settings.effects
    if effects != "none" and not settings.moderators:
        raise BadInput(f"effects = '{effects}' needs moderators; name their columns, or leave it out")
    if len(set(settings.moderators)) < len(settings.moderators):
        raise BadInput(f"moderators = {list(settings.moderators)} has one of them twice; name each once")
    if effects == "horseshoe" and settings.expected_nonzero is None:
        raise BadInput("expected_nonzero is missing; say how many interactions are expected to matter, such as 3")
    if effects != "horseshoe" and settings.expected_nonzero is not None:
        raise BadInput("expected_nonzero is the horseshoe's; set effects = 'horseshoe', or leave it out")


def _refuse_events(settings: PatientMetaSettings) -> None:
    if settings.at_least is not None and settings.at_most is not None:
        raise BadInput("at_least and at_most are both given, but an event is one of the two; leave one out")
    if settings.is_binary and settings.combined:
        raise BadInput("combined needs the outcome itself, not an event; leave out at_least and at_most, or combined")
    if settings.is_binary and settings.time is not None and len(settings.times) != 1:
        raise BadInput(
            "events are analysed at one time, since a patient's events at two times would need a correlation of their "
            "own; name one time in times"
        )


def _refuse_to_impute(settings: PatientMetaSettings) -> None:
    if not settings.moderators:
        raise BadInput("missing_moderators = 'impute' needs moderators; name their columns, or leave it out")
    if settings.split:
        raise BadInput(
            "missing_moderators = 'impute' and split are both on, but a study without any value of a moderator cannot "
            f"tell its part within studies from that between studies; set split = {truth(False)}, or "
            "missing_moderators = 'omit'"
        )
    if settings.combined:
        raise BadInput(
            "missing_moderators = 'impute' and combined are both on, but values are imputed given the outcomes of all "
            "studies, also of those that the combined moderator is to be tested on; leave combined out, or set "
            "missing_moderators = 'omit'"
        )
    if settings.imputations < 2:
        raise BadInput(
            f"imputations = {settings.imputations}, but it takes two to show how much they differ; 20 are usual"
        )


def _refuse_other_priors(settings: PatientMetaSettings) -> None:
    """Refuse a combined moderator with coefficients that are not normal: leaving out a study rests on it."""
    for name in ("intercept", "effect", "effect_change", "baseline_slope", "moderator_effect", "interaction"):
        prior = settings.priors.get(name)
        if settings.combined and prior is not None and prior.dist != "Normal":
            raise BadInput(
                f"priors.{name}: {prior} is not Normal, and only that lets studies be left out of the combined "
                "moderator in closed form; use Normal, or leave combined out"
            )
