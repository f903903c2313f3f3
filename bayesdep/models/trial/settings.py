"""The settings of a trial over visits: what they may be, which parameters take a prior, and the model in words."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from bayesdep.data.errors import BadInput, truth
from bayesdep.data.grammar import shorten
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.formulas import read_formula
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.scale import check_scale
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.numerics.distributions import Prior

Form = Literal["linear", "log", "log-quadratic", "log-spline", "threshold"]
DEPARTURE = "_departure"  # ends the name of what a visit adds to an effect's mean over visits
_CONTROL = {"last": ("last visit", "at the last visit"), "mean": ("mean over visits", "over all visits")}
_SUBGROUP = re.compile(r"\s*(<=|>=|<|>)\s*([0-9.eE+-]+)\s*$")


@dataclass(frozen=True, kw_only=True)
class TrialSettings(Described):
    """The settings of :class:`~bayesdep.models.trial.model.Trial`, which explains each."""

    family: ClassVar[str] = "trial"
    hidden_dims: ClassVar[tuple[str, ...]] = ("non_detect",)  # of values beyond limits, which estimands read
    adaptation: ClassVar[Literal["low_rank"]] = "low_rank"
    left_out: ClassVar[str] = "subject"
    figures: ClassVar[tuple[str, ...]] = (
        "trajectories", "difference_along", "subgroups", "covariance", "residuals", "dropout_by_arm", "dropout",
    )  # fmt: skip

    reference: str
    covariance: Literal["unstructured", "toeplitz", "compound-symmetry", "ar1", "spatial-power"] = "unstructured"
    heterogeneous: bool = True
    by_arm: bool = False
    robust: bool = False
    time: Literal["visits", "weeks"] = "visits"
    moderator_form: Form = "log"
    threshold: float | None = None
    knots: Literal[3, 4, 5] = 3
    moderator_model: Literal["log-normal"] | None = None
    moderator_covariates: str | None = None
    flag_codes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    at: Sequence[float] = ()
    subgroups: Sequence[str] = ()
    response: float | None = None
    remission: float | None = None
    response_when: str | float = "any"
    remission_when: str | float = "last"
    change: bool = False
    control_prior: Literal["last", "mean"] | None = None
    covariates: str | None = None
    better: Literal["lower", "higher"] = "lower"
    margin: float | None = None
    units: str = "points"
    lkj: float = 2.0
    scale: float | None = None
    visit_order: Sequence[str] = ()
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    outcome: str = column("outcome", "outcome")
    subject: str = column("subject", "patient")
    arm: str = column("arm", "arm")
    visit: str = column("visit", "visit")
    baseline: str | bool | None = column("baseline", "outcome at baseline")
    day: str | None = column(None, "days since randomisation")
    moderator: str | None = column(None, "moderator at baseline")
    moderator_censored: str | None = column(None, "whether the moderator was detected")
    moderator_lod: str | None = column(None, "limit of detection of the moderator")
    moderator_uloq: str | None = column(None, "upper limit of quantification of the moderator")

    def __post_init__(self) -> None:
        if self.baseline is False:  # a plan, which has no None, writes false where there is no baseline
            object.__setattr__(self, "baseline", None)
        check_settings(self)
        check_scale(self.scale)
        if self.baseline is True:
            raise BadInput(
                f"baseline = {truth(True)}, but the name of a column is needed, or {truth(False)} where there is none"
            )
        split_level(self.covariates)
        object.__setattr__(self, "visit_order", tuple(self.visit_order))
        object.__setattr__(self, "at", tuple(float(x) for x in self.at))
        object.__setattr__(self, "subgroups", tuple(self.subgroups))
        _check_moderator(self)
        if self.covariance == "unstructured" and not self.heterogeneous:
            raise BadInput(
                f"heterogeneous = {truth(False)} contradicts covariance = 'unstructured'; use 'toeplitz', or leave "
                "it out"
            )
        _check_numbers(self)
        _check_rates(self)
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        _check_departures(self.priors)
        _check_control(self)

    @property
    def formula_of_covariates(self) -> str | None:
        """The covariates' formula without its random effect."""
        return split_level(self.covariates)[0]

    @property
    def level(self) -> str | None:
        """The column whose levels have a random effect."""
        return split_level(self.covariates)[1]

    @property
    def target_accept(self) -> float:
        """Target acceptance rate: higher for near-singular correlations and for patients' own precisions."""
        return 0.9 if self.robust or self.covariance in ("unstructured", "toeplitz") else 0.8

    @property
    def slots(self) -> dict[str, Slot]:
        """Parameters that take a prior: those of the terms that the settings switch on."""
        return _slots_of_means(self) | _slots_of_residuals(self)

    @property
    def primary_estimands(self) -> tuple[str, ...]:
        """What the trial asks first: the arms' differences, overall and by visit, and along its moderator."""
        along = {"difference_at": bool(self.at), "difference_in": bool(self.subgroups)}
        return ("mean_difference", "difference", *(name for name, asked in along.items() if asked))

    @property
    def words(self) -> str:
        """The model in words."""
        correlation = {
            "unstructured": "an unstructured correlation",
            "toeplitz": "a correlation by the number of visits between (Toeplitz)",
            "compound-symmetry": "one correlation (compound symmetry)",
            "ar1": "a correlation that decays from visit to visit (AR(1))",
            "spatial-power": "a correlation that decays with the days between (spatial power)",
        }[self.covariance]
        arms = "differences between arms" if self.moderator is None else f"differences between arms by {self.moderator}"
        over_time = "are every visit's own" if self.time == "visits" else "grow in proportion to time"
        distribution = "multivariate t" if self.robust else "jointly normal"
        by_arm = ", each arm with its own" if self.by_arm else ""
        adjusted = "" if self.baseline is None else "means are adjusted for baseline, "
        limits = (
            f" Values of {self.moderator} beyond a limit are unknown, and log-normal like the others."
            if self.moderator_model is not None
            else ""
        )
        control = (
            f" The mean in {self.reference} has a prior of its own {_CONTROL[self.control_prior][1]}."
            if self.control_prior is not None
            else ""
        )
        return (
            f"Outcomes of a patient are {distribution}, with {correlation}{by_arm}; {adjusted}{arms} {over_time}. "
            f"Missed visits are integrated out, as missing at random.{limits}{control}"
        )

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        mean = "visit_mean[j]" + (" + baseline_slope[j] b[i]" if self.baseline is not None else "")
        mean += " + arm_effect[j] a[i]"
        if self.moderator is not None:
            mean += " + (moderator_effect[., j] + arm_by_moderator[., j] a[i]) m[i, .]"
        if self.formula_of_covariates is not None:
            mean += f" + covariate_effect x[i]  ({self.formula_of_covariates})"
        if self.level is not None:
            mean += f" + site_effect[{self.level} of i]"
        distribution = "MVT(nu, mean[i, .], D R D)" if self.robust else "MVN(mean[i, .], D R D)"
        in_time = ["arm_effect", *(["moderator_effect", "arm_by_moderator"] if self.moderator is not None else [])]
        by_visit = [name.removesuffix(DEPARTURE) for name in self.slots if name.endswith(DEPARTURE)]
        return [
            f"y[i, .] ~ {distribution}, over the visits that were observed",
            f"mean[i, j] = {mean}",
            *(f"{name}[., j] = {name} week[j] / week[last]" for name in in_time if self.time == "weeks"),
            *(f"{name}[., j] = {name} + {name}_departure[., j], sum over j = 0" for name in by_visit),
            *(["site_effect[s] ~ N(0, site_sd)"] if self.level is not None else []),
            *(
                [f"control_mean = {_CONTROL[self.control_prior]} of mean[i, .] in {self.reference}, b[i] = 0"]
                if self.control_prior is not None
                else []
            ),
            *_formula_of_moderator(self),
            f"R {self.covariance}" + (f" ~ LKJ({self.lkj:g})" if self.covariance == "unstructured" else ""),
            *(f"{name} ~ {prior}" for name, prior in self.priors.items()),
        ]


def _formula_of_moderator(settings: TrialSettings) -> list[str]:
    """The model of a moderator of which some values lie beyond their limits."""
    if settings.moderator_model is None:
        return []
    of = f" + moderator_slope z[i]  ({settings.moderator_covariates})" if settings.moderator_covariates else ""
    return [f"log({settings.moderator}[i]) = centre + s x[i],  x[i] ~ N(moderator_mean{of}, moderator_sd)"]


# Parameters that take a prior


def _slots_of_means(settings: TrialSettings) -> dict[str, Slot]:
    """Parameters of the means that take a prior."""
    points, per_sd = settings.units, f"{settings.units} per sd"
    when = ", mean over visits" if settings.time == "visits" else ", at the last visit"
    slots = {"visit_mean": Slot(_normal(2), "real", "the mean at a visit less the overall mean", points)}
    if settings.control_prior is not None:
        meaning = f"the mean outcome {_CONTROL[settings.control_prior][1]} in {settings.reference}"
        slots["control_mean"] = Slot(None, "real", meaning, points)
    if settings.baseline is not None:
        meaning, units = "the difference per unit at baseline, mean over visits", f"{points} per unit at baseline"
        slots["baseline_slope"] = Slot(_normal(1), "real", meaning, units, per="baseline_sd")
        slots |= _departure("baseline_slope", slots["baseline_slope"], 0.5)
    effects = {"arm_effect": (1.5, 0.75, f"the difference between arms{when}", points)}
    if settings.moderator is not None:
        effects["moderator_effect"] = (0.75, 0.375, f"the difference by moderator{when}", per_sd)
        effects["arm_by_moderator"] = (1, 0.5, f"the change of the arms' difference by moderator{when}", per_sd)
    for name, (width, width_of_departures, meaning, units) in effects.items():
        slots[name] = Slot(_normal(width), "real", meaning, units)
        if settings.time == "visits":
            slots |= _departure(name, slots[name], width_of_departures)
    if settings.moderator_model is not None:
        meaning = "the mean of the moderator's logs less their centre"
        slots["moderator_mean"] = Slot(Prior("Normal", mu=0, sigma=2.5), "real", meaning, "sds of its logs")
        meaning = "the sd of the moderator's logs"
        slots["moderator_sd"] = Slot(Prior("HalfNormal", sigma=2), "positive", meaning, "sds of its logs")
    if settings.moderator_covariates is not None:
        meaning = "the difference in the moderator's logs by covariate"
        slots["moderator_slope"] = Slot(Prior("Normal", mu=0, sigma=1), "real", meaning, "sds of its logs per sd")
    if settings.formula_of_covariates is not None:
        slots["covariate_effect"] = Slot(_normal(0.75), "real", "a covariate's effect", per_sd)
    if settings.level is not None:
        prior = Prior("HalfNormal", sigma=0.5, times_scale=True)
        slots["site_sd"] = Slot(prior, "positive", f"the sd of levels of {settings.level}", points)
    return slots


def _normal(width: float) -> Prior:
    """A normal prior around zero; its sd is a multiple of the outcome's scale."""
    return Prior("Normal", mu=0, sigma=width, times_scale=True)


def _departure(name: str, effect: Slot, width: float) -> dict[str, Slot]:
    """The slot for what a visit adds to an effect's mean over visits."""
    meaning = f"what a visit adds to {name}, summing to zero"
    return {f"{name}{DEPARTURE}": Slot(_normal(width), "real", meaning, effect.units, per=effect.per)}


def _slots_of_residuals(settings: TrialSettings) -> dict[str, Slot]:
    """Parameters of the residuals' covariance that take a prior."""
    prior_of_sd = Prior("HalfNormal", sigma=1.5, times_scale=True)
    slots = {"residual_sd": Slot(prior_of_sd, "positive", "the residual sd", settings.units)}
    prior_of_share = Prior("Beta", alpha=2, beta=2)
    if settings.covariance in ("ar1", "spatial-power", "compound-symmetry"):
        slots["rho"] = Slot(prior_of_share, "unit", "the correlation", "correlation")
    if settings.covariance == "toeplitz":
        meaning = "a partial autocorrelation plus one, halved"
        slots["partial_share"] = Slot(prior_of_share, "unit", meaning, "share")
    if settings.robust:
        slots["nu"] = Slot(Prior("Gamma", alpha=2, beta=0.1), "positive", "the degrees of freedom", "number")
    return slots


# Settings that contradict each other


def _check_moderator(settings: TrialSettings) -> None:
    """Refuse settings of the moderator that lack it, or that contradict its form."""
    for text in settings.subgroups:
        parse_subgroup(text)
    for name in ("at", "subgroups"):
        if getattr(settings, name) and settings.moderator is None:
            raise BadInput(f"{name} needs a moderator; name its column in moderator, or leave {name} out")
    if settings.moderator is not None and is_log(settings.moderator_form) and any(x <= 0 for x in settings.at):
        raise BadInput(
            f"at = {list(settings.at)}, but a value above zero is needed where the moderator enters as a log"
        )
    _check_moderator_model(settings)
    if (settings.moderator_form == "threshold") != (settings.threshold is not None):
        raise BadInput(
            "moderator_form = 'threshold' needs the value in threshold, such as threshold = 5"
            if settings.threshold is None
            else f"threshold = {settings.threshold:g} belongs to moderator_form = 'threshold'; leave it out"
        )


def _check_moderator_model(settings: TrialSettings) -> None:
    """Refuse what belongs to a moderator of which some values lie beyond their limits, where none is stated."""
    if settings.moderator_model is not None and settings.moderator is None:
        raise BadInput(
            f"moderator_model = '{settings.moderator_model}' needs a moderator; name its column in moderator, or leave "
            "moderator_model out"
        )
    if settings.moderator_model is None:
        for word in ("moderator_censored", "moderator_lod", "moderator_uloq", "moderator_covariates", "flag_codes"):
            if getattr(settings, word):
                raise BadInput(
                    f"{word} belongs to a moderator of which some values lie beyond their limits; add moderator_model "
                    f"= 'log-normal', or leave {word} out"
                )


def _check_numbers(settings: TrialSettings) -> None:
    """Refuse numbers outside their range."""
    ranges = {"margin": (0, np.inf, "3"), "lkj": (0, np.inf, "2"), "response": (0, 1, "0.5")}
    for name, (low, high, example) in ranges.items():
        value = getattr(settings, name)
        if value is not None and not low < value < high:
            allowed = "above zero" if high == np.inf else "between 0 and 1"
            raise BadInput(f"{name} = {value}, but a number {allowed} is needed, such as {example}")


def _check_rates(settings: TrialSettings) -> None:
    """Refuse response and remission of outcomes that should rise, or without the baseline they are relative to."""
    asked = settings.response is not None or settings.remission is not None
    if settings.better == "higher" and asked:
        raise BadInput("response and remission are drops, but better = 'higher'; leave them out")
    of_baseline = settings.response is not None or (settings.change and settings.remission is not None)
    if settings.baseline is None and of_baseline:
        raise BadInput(
            "response is a share of the baseline's score, and remission of a change needs it too, but baseline is "
            "left out; name its column, or leave response and remission out"
        )


def _check_departures(priors: Mapping[str, Prior]) -> None:
    """Refuse priors on departures that are not normal around zero: only those can sum to zero and stay normal."""
    for name, prior in priors.items():
        if name.endswith(DEPARTURE) and (prior.dist != "Normal" or prior["mu"] != 0):
            raise BadInput(
                f"priors.{name}: {prior} is not Normal with mu = 0, but departures sum to zero over visits; "
                'write { dist = "Normal", mu = 0, sigma = NUMBER }'
            )


def _check_control(settings: TrialSettings) -> None:
    """Refuse a prior of visits' means that is not normal beside a prior of the control arm's mean."""
    prior = settings.priors["visit_mean"]
    if settings.control_prior is not None and prior.dist != "Normal":
        raise BadInput(
            f"priors.visit_mean: {prior}, but with control_prior the other visits' means need a Normal; use one, or "
            "leave control_prior out"
        )


# What a setting says


def is_log(form: str) -> bool:
    """Tell whether a moderator enters as a logarithm."""
    return form.startswith("log")


def split_level(formula: str | None) -> tuple[str | None, str | None]:
    """Take a random effect ``(1 | column)`` out of a formula of covariates.

    Parameters
    ----------
    formula
        Such as ``"age + (1 | site)"``.

    Returns
    -------
    tuple
        The formula without it (None where no term is left), and the column (None where there is none).

    Raises
    ------
    BadInput
        When there is more than one, or one of another form.

    Examples
    --------
    >>> split_level("age + (1 | site)")
    ('age', 'site')
    """
    if formula is None or "|" not in formula:
        return formula, None
    read = read_formula(formula, f"covariates = '{shorten(formula)}'", levels=True)
    return read.covariates, read.level


def parse_subgroup(text: str) -> tuple[str, float]:
    """Read a subgroup of the moderator, such as ``"> 5"``.

    Parameters
    ----------
    text
        A comparison sign and a number.

    Returns
    -------
    tuple
        The sign and the number.

    Raises
    ------
    BadInput
        When it is anything else.

    Examples
    --------
    >>> parse_subgroup("<=5")
    ('<=', 5.0)
    """
    match = _SUBGROUP.match(text) if isinstance(text, str) else None
    try:
        return match.group(1), float(match.group(2))  # type: ignore[union-attr]  # None is caught below
    except (AttributeError, ValueError):
        raise BadInput(
            f"subgroups has {text!r}, but a sign and a value of the moderator are needed, such as '> 5' or '<= 5'"
        ) from None
