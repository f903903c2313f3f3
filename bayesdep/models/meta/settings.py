"""Settings of a meta-analysis: what is measured, what the table holds, which terms the model has, and their priors."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.effect_inputs import MEASURES
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.published_priors import refuse_priors_of_other_measures
from bayesdep.models.parts.scale import check_scale
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.models.parts.stated_covariance import read_covariance
from bayesdep.numerics.distributions import Prior

_UNITS = {
    "standardised-difference": "standard deviations",
    "log-odds-ratio": "log odds ratio",
    "log-risk-ratio": "log risk ratio",
    "log-geometric-mean-ratio": "log ratio of geometric means",
    "risk-difference": "risk difference",
    "log-odds": "log odds",
}
_BINOMIAL = {("counts", "log-odds-ratio"), ("arms", "log-odds-ratio"), ("events", "log-odds")}
_AT_A_CONTROL_RISK = ("log-odds-ratio", "log-risk-ratio")


@dataclass(frozen=True)
class PriorWidths:
    """Widths of the default priors of a measure, in its units.

    Parameters
    ----------
    effect
        Standard deviation of the pooled effect.
    slope
        Standard deviation of a slope, per standard deviation of its covariate.
    spread
        Scale of the standard deviation between studies.
    """

    effect: float
    slope: float
    spread: float


# A raw difference has those of a standardised one times the sd of its outcome, where that is known.
PRIOR_WIDTHS = {
    "difference": PriorWidths(1.0, 0.5, 0.5),
    "standardised-difference": PriorWidths(1.0, 0.5, 0.5),
    "log-odds-ratio": PriorWidths(1.5, 0.5, 0.5),
    "log-risk-ratio": PriorWidths(1.5, 0.5, 0.5),
    "log-geometric-mean-ratio": PriorWidths(1.5, 0.5, 0.5),
    "risk-difference": PriorWidths(0.5, 0.2, 0.2),
    "log-odds": PriorWidths(1.5, 0.5, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class MetaSettings(Described):
    """Settings of a meta-analysis; :class:`~bayesdep.models.meta.model.Meta` describes each of them."""

    family: ClassVar[str] = "meta"
    target_accept: ClassVar[float] = 0.95
    exact_by_default: ClassVar[bool] = True

    measure: Literal[
        "difference",
        "standardised-difference",
        "log-odds-ratio",
        "log-risk-ratio",
        "log-geometric-mean-ratio",
        "risk-difference",
        "log-odds",
    ]
    input: Literal["estimates", "counts", "means", "moments", "p-value", "events", "arms", "mixed"] = "estimates"
    likelihood: Literal["gaussian", "binomial"] = "gaussian"
    heterogeneity: Literal["normal", "student-t"] = "normal"
    nu: float | None = 4.0
    covariates: str | None = None
    control_risk: float | None = None
    correlation: float | None = None
    within_correlation: float | None = None
    covariance: Any = None
    midpoint_correlation: bool = False
    reference: str | None = None
    units: str | None = None
    scale: float | None = None
    unit: str = "study"
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    study: str = column("study", "study label")
    effect: str = column("effect", "estimated effect")
    se: str = column("se", "standard error")
    events_treated: str = column("events_treated", "events in the treated arm")
    n_treated: str = column("n_treated", "people in the treated arm")
    events_control: str = column("events_control", "events in the control arm")
    n_control: str = column("n_control", "people in the control arm")
    mean_treated: str = column("mean_treated", "arithmetic mean, treated or patients")
    sd_treated: str = column("sd_treated", "standard deviation, treated or patients")
    sem_treated: str = column("sem_treated", "standard error of the mean, treated or patients")
    mean_control: str = column("mean_control", "arithmetic mean, control")
    sd_control: str = column("sd_control", "standard deviation, control")
    sem_control: str = column("sem_control", "standard error of the mean, control")
    p_value: str = column("p_value", "two-sided P value")
    direction: str = column("direction", "difference whose sign gives the direction")
    events: str = column("events", "events")
    n: str = column("n", "people")
    arm: str = column("arm", "arm label")
    control_group: str | None = column(None, "control group, which several rows may share")
    cluster: str | None = column(None, "trial, or laboratory, that several effects share")
    design: str | None = column(None, "parallel or crossover")

    def __post_init__(self) -> None:
        check_settings(self)
        check_scale(self.scale)
        object.__setattr__(self, "covariance", read_covariance(self.covariance))
        _refuse_contradictions(self)
        refuse_priors_of_other_measures(self.priors, self.measure)
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    @property
    def effect_units(self) -> str:
        """Units of the effect."""
        return self.units or _UNITS[self.measure]

    @property
    def units_in_plural(self) -> str:
        """What rows are called: studies, analytes."""
        return f"{self.unit[:-1]}ies" if self.unit.endswith("y") else f"{self.unit}s"

    @property
    def is_log(self) -> bool:
        """Whether the effect is the logarithm of a ratio."""
        return self.measure.startswith("log-") and self.measure != "log-odds"

    @property
    def has_midpoints(self) -> bool:
        """Whether counts of several arms are modelled, so that each study has a midpoint of its log odds."""
        return self.likelihood == "binomial" and self.measure == "log-odds-ratio"

    @property
    def is_normal(self) -> bool:
        """Whether estimates and true effects are both normal: given the spreads, everything else is then normal."""
        return self.likelihood == "gaussian" and self.heterogeneity == "normal"

    @property
    def has_unknown_nu(self) -> bool:
        """Whether the degrees of freedom of Student-t effects are a parameter."""
        return self.heterogeneity == "student-t" and self.nu is None

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        if self.likelihood == "binomial" and (self.control_group is not None or self.input == "arms"):
            return "control_group"
        return self.unit if self.cluster is None else "cluster"

    @property
    def primary_estimands(self) -> tuple[str, ...]:
        """What the meta-analysis asks first: the pooled effect, and how it changes along covariates."""
        return ("mu",) if self.covariates is None else ("mu", "slope")

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that its fits have beside those of any fit."""
        stated = ("within_correlation",) if self.within_correlation is not None else ()
        return ("leave_one_out", *stated, "funnel")

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: only those of the terms that the settings switch on."""
        units, rows = self.effect_units, self.units_in_plural
        raw = self.measure == "difference"
        has_scale = not raw or self.scale is not None or self.input in ("means", "mixed")
        width = PRIOR_WIDTHS[self.measure]

        def normal(sigma: float) -> Prior | None:
            return Prior("Normal", mu=0, sigma=sigma, times_scale=raw) if has_scale else None

        spread = Prior("HalfNormal", sigma=width.spread, times_scale=raw) if has_scale else None
        slots = {
            "mu": Slot(normal(width.effect), "real", "the pooled effect", units),
            "tau": Slot(spread, "positive", f"the standard deviation between {rows}", units),
        }
        if self.covariates is not None:
            meaning = "the change of the effect by a covariate"
            slots["slope"] = Slot(normal(width.slope), "real", meaning, f"{units} per sd")
        if self.cluster is not None:
            slots["tau_cluster"] = Slot(spread, "positive", "the standard deviation between clusters", units)
        if self.has_unknown_nu:
            meaning = f"the degrees of freedom of the {rows}"
            slots["nu"] = Slot(Prior("Gamma", alpha=2, beta=0.1), "positive", meaning, "degrees of freedom")
        if self.has_midpoints:
            meaning = "the mean of the midpoints of two arms' log odds"
            slots["baseline_mean"] = Slot(normal(2.5), "real", meaning, "log odds")
            meaning = f"the spread of these midpoints between {rows}"
            slots["baseline_sd"] = Slot(Prior("HalfNormal", sigma=1), "positive", meaning, "log odds")
        if self.midpoint_correlation:
            meaning = "(rho + 1) / 2, rho being the correlation of midpoint and effect"
            slots["rho_unit"] = Slot(Prior("Beta", alpha=2, beta=2), "unit", meaning, "correlation")
        return slots


def _refuse_contradictions(settings: MetaSettings) -> None:
    """Refuse settings that contradict each other, naming both."""
    if settings.measure not in MEASURES[settings.input]:
        raise BadInput(
            f"measure = '{settings.measure}' is not available from input = '{settings.input}'; "
            f"that gives {' or '.join(sorted(MEASURES[settings.input]))}"
        )
    if settings.likelihood == "binomial":
        _refuse_more_than_binomial(settings)
    _refuse_contradictory_sharing(settings)
    if settings.cluster is not None and settings.heterogeneity == "student-t":
        raise BadInput(
            "cluster contradicts heterogeneity = 'student-t': a cluster's score has no closed form with both; "
            "leave one of them out"
        )
    _refuse_wrong_units(settings)
    if settings.nu is not None and not settings.nu > 0:
        raise BadInput(f"nu = {settings.nu}, but degrees of freedom above zero are needed, such as 4")
    _refuse_useless_control_risk(settings)
    _refuse_useless_design(settings)


def _refuse_more_than_binomial(settings: MetaSettings) -> None:
    """Refuse a binomial likelihood of other input than counts, or with what only the Gaussian one has."""
    if (settings.input, settings.measure) not in _BINOMIAL:
        raise BadInput(
            "likelihood = 'binomial' needs input = 'counts' and measure = 'log-odds-ratio' (or input = 'arms' with "
            "it), or input = 'events' and measure = 'log-odds'; "
            f"not input = '{settings.input}' and measure = '{settings.measure}'"
        )
    for word, value, plain in (
        ("heterogeneity", settings.heterogeneity, "normal"),
        ("cluster", settings.cluster, None),
        ("within_correlation", settings.within_correlation, None),
        ("covariance", settings.covariance, None),
    ):
        if value != plain:
            raise BadInput(
                f"{word} = '{value}' needs likelihood = 'gaussian': with it the score of a left-out study is no longer "
                "a double integral; leave one of the two out"
            )


def _refuse_wrong_units(settings: MetaSettings) -> None:
    """Refuse units and a scale of anything but a raw difference, a raw difference without units, and a bad unit."""
    measure, unit = settings.measure, settings.unit
    if settings.scale is not None and measure != "difference":
        raise BadInput(f"scale belongs to measure = 'difference'; the priors of a {measure} need none, so leave it out")
    if measure == "difference" and settings.units is None:
        raise BadInput("measure = 'difference' needs units, for example units = 'MADRS points'")
    if measure != "difference" and settings.units is not None:
        raise BadInput(
            f"units = '{settings.units}' belongs to measure = 'difference' only; a {measure} has its own, so "
            "leave it out"
        )
    if not unit.isidentifier() or unit in ("arm", "chain", "draw", "covariate", "cluster", "control_group"):
        raise BadInput(f"unit = '{unit}' cannot name a dimension; use one word such as 'study' or 'analyte'")


def _refuse_useless_control_risk(settings: MetaSettings) -> None:
    """Refuse a control risk that is no probability, or of a measure that needs none."""
    if settings.control_risk is None:
        return
    if settings.measure not in _AT_A_CONTROL_RISK:
        raise BadInput(
            f"control_risk belongs to measure = {' or '.join(map(repr, _AT_A_CONTROL_RISK))}; "
            f"'{settings.measure}' needs none"
        )
    if not 0 < settings.control_risk < 1:
        raise BadInput(f"control_risk = {settings.control_risk}, but a probability between 0 and 1 is needed")


def _refuse_useless_design(settings: MetaSettings) -> None:
    """Refuse designs of trials, and a correlation between their arms, where the input does not need them."""
    if settings.design is not None and settings.input not in ("means", "counts"):
        raise BadInput(
            f"design = '{settings.design}' belongs to input = 'means' or 'counts': a standard error in the table is "
            "that of its trial's design already; leave it out"
        )
    if settings.correlation is None:
        return
    if settings.design is None or settings.input != "means":
        raise BadInput(
            "correlation needs input = 'means' and design, the column that says which trials are crossover trials"
        )
    if not -1 < settings.correlation < 1:
        raise BadInput(f"correlation = {settings.correlation}, but a number between -1 and 1 is needed")


def _refuse_contradictory_sharing(settings: MetaSettings) -> None:
    """Refuse settings about shared people that contradict each other or the rest."""
    if settings.midpoint_correlation and not settings.has_midpoints:
        raise BadInput("midpoint_correlation needs likelihood = 'binomial' and two arms a study; leave it out")
    _refuse_wrong_reference(settings)
    if settings.control_group is not None and settings.input == "estimates":
        raise BadInput(
            f"control_group = '{settings.control_group}' needs to know the control groups, and input = 'estimates' "
            "does not; give the covariances of the effects as covariance, or their correlation as within_correlation "
            "(about 0.5 for arms of one size)"
        )
    if settings.control_group is not None and settings.input == "events":
        raise BadInput(
            f"control_group = '{settings.control_group}' contradicts input = 'events', whose arms are single; "
            "leave it out"
        )
    words = ("within_correlation", "covariance", "control_group")
    stated = [word for word in words if getattr(settings, word) is not None]
    if len(stated) > 1:
        raise BadInput(f"{' and '.join(stated)} both say which effects share people; state one, such as covariance")
    if settings.within_correlation is not None and not -1 < settings.within_correlation < 1:
        raise BadInput(f"within_correlation = {settings.within_correlation}, but a number between -1 and 1 is needed")
    if stated and settings.heterogeneity == "student-t":
        raise BadInput(
            f"{stated[0]} contradicts heterogeneity = 'student-t': effects that share people have no closed form with "
            "it; leave one of them out"
        )


def _refuse_wrong_reference(settings: MetaSettings) -> None:
    """Refuse arms without a reference, a reference without arms, and a control group beside either."""
    if settings.input == "arms" and settings.reference is None:
        raise BadInput(
            "input = 'arms' needs reference, the arm with which the others are compared, such as reference = 'placebo'"
        )
    if settings.input != "arms" and settings.reference is not None:
        raise BadInput(
            f"reference = '{settings.reference}' belongs to input = 'arms', where every row is an arm; leave it out"
        )
    if settings.input == "arms" and settings.control_group is not None:
        raise BadInput(
            f"control_group = '{settings.control_group}' is not needed with input = 'arms': arms of one "
            f"{settings.unit} share its reference arm; leave it out"
        )
