"""The settings of an ordinal outcome: what they may be, which parameters take a prior, and the model in words."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.missing import is_number
from bayesdep.models.parts.categories import as_text, refuse_categories
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.ordinal import Distribution, Link

_SD_OF_LOGISTIC = np.pi / np.sqrt(3)  # by which effects on a probit are smaller than those on a logit


@dataclass(frozen=True, kw_only=True)
class OrdinalSettings(Described):
    """The settings of :class:`~bayesdep.models.ordinal.model.Ordinal`, which explains each."""

    family: ClassVar[str] = "ordinal"
    adaptation: ClassVar[Literal["low_rank"]] = "low_rank"
    target_accept: ClassVar[float] = 0.8
    figures: ClassVar[tuple[str, ...]] = ("categories", "monotone")

    categories: Sequence[str]
    reference: str | None = None
    link: Literal["cumulative", "continuation", "adjacent"] = "cumulative"
    distribution: Literal["logit", "probit"] = "logit"
    patient_effects: Literal["integrated", "sampled", "none"] = "integrated"
    moderator_form: Literal["linear", "monotone"] = "linear"
    at: Sequence[float] = ()
    covariates: str | None = None
    level_order: Mapping[str, str] | None = None
    by_threshold: Sequence[str] = ()
    concentration: float = 1.0
    visit_order: Sequence[str] = ()
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    outcome: str = column("outcome", "category of the outcome")
    count: str | None = column(None, "people in the category")
    subject: str | None = column(None, "patient")
    arm: str = column("arm", "arm")
    visit: str | None = column(None, "visit")
    baseline: str | None = column(None, "category at baseline")
    moderator: str | None = column(None, "moderator at baseline")

    def __post_init__(self) -> None:
        for name in ("categories", "visit_order"):
            value = getattr(self, name)
            if isinstance(value, (list, tuple)):
                object.__setattr__(self, name, tuple(as_text(x) for x in value))
        check_settings(self)
        object.__setattr__(self, "by_threshold", tuple(self.by_threshold))
        object.__setattr__(self, "at", tuple(float(x) for x in self.at))
        refuse_categories(tuple(self.categories))
        _check_columns(self)
        _check_effects(self)
        if not 0 < self.concentration < np.inf:
            raise BadInput(f"concentration = {self.concentration}, but a number above zero is needed, such as 1")
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    @property
    def form(self) -> dict[str, Any]:
        """The link and the distribution, as arguments of :mod:`bayesdep.numerics.ordinal`."""
        return {"link": self.link, "distribution": self.distribution}

    @property
    def integrates(self) -> bool:
        """Whether patients' effects are integrated out."""
        return self.has_patient_effects and self.patient_effects == "integrated"

    @property
    def has_patient_effects(self) -> bool:
        """Whether patients have effects of their own: they have several visits, and these are not said to be alone."""
        return self.subject is not None and self.visit is not None and self.patient_effects != "none"

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        if self.has_patient_effects:
            return "subject"
        return "person" if self.visit is None else "observation"

    @property
    def has_scores(self) -> bool:
        """Whether the categories are numbers, so that a mean score can be asked for."""
        return all(is_number(x) for x in self.categories)

    @property
    def primary_estimands(self) -> tuple[str, ...]:
        """What is asked first: differences in the probability of a category or better; without arms, that."""
        return ("difference",) if self.reference is not None else ("at_or_better",)

    @property
    def slots(self) -> dict[str, Slot]:
        """Parameters that take a prior: those of the terms that the settings switch on."""
        width = _width_of_effects(self.link, self.distribution, len(self.categories))
        units = "probit" if self.distribution == "probit" else "log odds"

        def normal(size: float, meaning: str, per: str = "") -> Slot:
            return Slot(Prior("Normal", mu=0, sigma=round(size * width, 3)), "real", meaning, units + per)

        slots = {}
        if self.visit is not None:
            slots["visit_effect"] = normal(1, "the difference of a visit from the mean of all; positive is worse")
        if self.reference is not None:
            slots["arm_effect"] = normal(1, f"the difference of an arm from {self.reference}; positive is worse")
        if self.baseline is not None:
            slots["baseline_effect"] = normal(2, "from the best category at baseline to the worst")
        if self.moderator is not None:
            unit = " per sd" if self.moderator_form == "linear" else ""
            what = "per sd" if self.moderator_form == "linear" else "from its lowest level to its highest"
            slots["moderator_effect"] = normal(2 / 3, f"the difference by the moderator, {what}", unit)
            slots["arm_by_moderator"] = normal(2 / 3, f"the change of an arm's difference, {what}", unit)
        if self.covariates is not None:
            slots["covariate_effect"] = normal(2 / 3, "a covariate's effect", " per sd")
            slots["monotone_effect"] = normal(4 / 3, "from the lowest level of an ordered covariate to the highest")
            if "mo(" not in self.covariates.replace(" ", ""):
                del slots["monotone_effect"]
        if self.by_threshold:
            slots["threshold_effect"] = _slot_of_threshold_effects(self.link, width, units)
        if self.has_patient_effects:
            prior = Prior("HalfNormal", sigma=round(4 / 3 * width, 3))
            slots["patient_sd"] = Slot(prior, "positive", "the sd of patients' own levels", units)
        return slots

    @property
    def words(self) -> str:
        """The model in words."""
        function = {"logit": "logistic", "probit": "normal"}[self.distribution]
        what = {
            "cumulative": f"The probability of a category or better is a {function} function of thresholds less "
            "a patient's level",
            "continuation": f"Categories are steps in a sequence: the probability of stopping at one, once it is "
            f"reached, is a {function} function of its threshold less a patient's level",
            "adjacent": "The log odds of a category against the next worse one are its threshold less a patient's "
            "level",
        }[self.link]
        arms = "" if self.reference is None else f"; arms differ in level from {self.reference}"
        own = "; every patient has a level of their own" if self.has_patient_effects else ""
        return f"{what}, so that positive effects are always worse{arms}{own}."

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        f = {"logit": "logistic", "probit": "Phi"}[self.distribution]
        first = {
            "cumulative": f"P(y[i, j] <= k) = {f}(threshold[k] - level[i, j])",
            "continuation": f"P(y[i, j] = k | y[i, j] >= k) = {f}(threshold[k] - level[i, j])",
            "adjacent": "P(y[i, j] = k) / P(y[i, j] = k + 1) = exp(threshold[k] - level[i, j])",
        }[self.link]
        terms = {
            "visit_effect": "visit_effect[j]",
            "arm_effect": "arm_effect[., j] a[i, .]",
            "baseline_effect": "baseline_effect mo(baseline[i])",
            "moderator_effect": f"(moderator_effect + arm_by_moderator a[i, .]) {self._moderator}",
            "covariate_effect": f"covariate_effect x[i]  ({self.covariates})",
            "patient_sd": "patient[i]",
        }
        used = [text for slot, text in terms.items() if slot in self.slots]
        lines = [first, f"level[i, j] = {' + '.join(used) or '0'}"]
        lines.append(f"threshold: those of category probabilities ~ Dirichlet({self.concentration:g}) at level 0")
        if self.has_monotone:
            lines.append("mo(x) = sum of increments up to x, increments ~ Dirichlet(1)")
        if self.by_threshold:
            lines.append(f"thresholds differ by {', '.join(self.by_threshold)}: threshold_effect[., k]")
        if self.has_patient_effects:
            lines.append("patient[i] ~ Normal(0, patient_sd)")
        return lines + [f"{name} ~ {prior}" for name, prior in self.priors.items()]

    @property
    def _moderator(self) -> str:
        return "mo(moderator[i])" if self.moderator_form == "monotone" else "moderator[i]"

    @property
    def has_monotone(self) -> bool:
        """Whether any predictor has a monotone effect."""
        by_moderator = self.moderator is not None and self.moderator_form == "monotone"
        return self.baseline is not None or by_moderator or "monotone_effect" in self.slots


# Parameters that take a prior


def _width_of_effects(link: Link, distribution: Distribution, categories: int) -> float:
    """The sd of an arm's effect: 1.5 on the log odds of all better categories against all worse ones.

    On a probit it is as much smaller as the normal is narrower than the logistic. The effect on odds of adjacent
    categories adds up over thresholds: it is smaller the more there are.
    """
    if distribution == "probit":
        return float(1.5 / _SD_OF_LOGISTIC)
    return 3.0 / (categories - 1) if link == "adjacent" and categories > 3 else 1.5


def _slot_of_threshold_effects(link: Link, width: float, units: str) -> Slot:
    """The slot of effects that differ between thresholds."""
    if link == "cumulative":
        prior = Prior("Normal", mu=0, sigma=0.25)
        return Slot(prior, "real", "a term's effect on the log distance of two thresholds", "log ratio")
    prior = Prior("Normal", mu=0, sigma=round(width / 3, 3))
    return Slot(prior, "real", "what a threshold adds to a term's effect, summing to zero", units)


# Settings that contradict each other


def _check_columns(settings: OrdinalSettings) -> None:
    """Refuse columns that do not go together."""
    if settings.count is not None and settings.subject is not None:
        raise BadInput(
            f"count = '{settings.count}' says how many people a row is, and subject = '{settings.subject}' that it is "
            "one of them; leave one of the two out"
        )
    if settings.reference is None and settings.moderator is not None:
        raise BadInput(
            "moderator changes the difference between arms, but reference is left out; name the arm that the others "
            "are compared with, or put the moderator's column into covariates"
        )
    if settings.at and settings.moderator is None:
        raise BadInput("at needs a moderator; name its column in moderator, or leave at out")
    if settings.at and settings.moderator_form == "monotone":
        raise BadInput(
            "at belongs to moderator_form = 'linear': a monotone moderator is reported at all its levels; leave at out"
        )
    if settings.visit_order and settings.visit is None:
        raise BadInput("visit_order needs visits; name their column in visit, or leave visit_order out")


def _check_effects(settings: OrdinalSettings) -> None:
    """Refuse links and terms that the model does not have."""
    if settings.link == "adjacent" and settings.distribution == "probit":
        raise BadInput("distribution = 'probit' belongs to the other links; use 'logit' where link = 'adjacent'")
    if settings.by_threshold and len(settings.categories) == 2:
        raise BadInput("by_threshold: two categories have one threshold, so no effect can differ; leave it out")
    known = [
        *(["arm"] if settings.reference is not None else []), *(["visit"] if settings.visit is not None else []),
    ]  # fmt: skip
    for name in settings.by_threshold:
        if name not in known and settings.covariates is None:
            listed = did_you_mean(name, known) if known else "add arms, visits or covariates first"
            raise BadInput(f"by_threshold: '{name}' is no term of the model; {listed}")
    if len(set(settings.by_threshold)) < len(settings.by_threshold):
        raise BadInput("by_threshold names a term twice; name each once")
