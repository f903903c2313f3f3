"""Settings of a meta-analysis of published results: what may be present in the model, and its priors."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bayesdep.data.errors import BadInput
from bayesdep.models.meta.settings import PRIOR_WIDTHS, MetaSettings
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.published_priors import refuse_priors_of_other_measures
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.numerics.distributions import Prior

_OF_META = ("measure", "input", "units", "scale", "unit", "control_risk")
# Biases, and their prior probabilities where models are averaged.
BIASES = {"absent": 0.5, "selection": 0.25, "pet": 0.125, "peese": 0.125}
COMPONENTS = ("effect", "spread", "bias", "selection", "pet", "peese")
# Where a prior is needed that nothing depends on.
PLACEHOLDERS = {"mu": Prior("Normal", mu=0, sigma=1), "tau": Prior("HalfNormal", sigma=1)}


@dataclass(frozen=True)
class Kind:
    """One of the models that are averaged: what is present in it.

    Parameters
    ----------
    effect, spread
        Whether the pooled effect and the spread may differ from zero.
    bias
        ``"absent"``, ``"selection"``, ``"pet"`` or ``"peese"``.
    """

    effect: bool
    spread: bool
    bias: str

    def has(self, component: str) -> bool:
        """Say whether a component, one of :data:`COMPONENTS`, is present."""
        if component in ("effect", "spread"):
            return bool(getattr(self, component))
        return self.bias != "absent" if component == "bias" else self.bias == component


@dataclass(frozen=True, kw_only=True)
class SmallStudiesSettings(Described):
    """Settings of a model of published effects.

    :class:`~bayesdep.models.small_studies.model.SmallStudies` describes each of them.
    """

    family: ClassVar[str] = "small-studies"
    figures: ClassVar[tuple[str, ...]] = ("funnel",)
    primary_estimands: ClassVar[tuple[str, ...]] = ("mu",)
    target_accept: ClassVar[float] = 0.95
    exact_by_default: ClassVar[bool] = True

    measure: Literal[
        "difference",
        "standardised-difference",
        "log-odds-ratio",
        "log-risk-ratio",
        "log-geometric-mean-ratio",
        "risk-difference",
    ]
    favours: Literal["positive", "negative"]
    input: Literal["estimates", "counts", "means"] = "estimates"
    pooled_effect: Literal["present", "absent", "average"] = "present"
    spread: Literal["present", "absent", "average"] = "present"
    bias: Literal["absent", "selection", "pet", "peese", "average"] = "selection"
    steps: Sequence[float] = (0.025, 0.05)
    control_risk: float | None = None
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
    mean_control: str = column("mean_control", "arithmetic mean, control")
    sd_control: str = column("sd_control", "standard deviation, control")
    control_group: str | None = column(None, "control group; no two rows may share one")

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "steps", tuple(float(x) for x in self.steps))
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or not 0 < self.steps[0] <= self.steps[-1] < 1:
            raise BadInput(f"steps = {list(self.steps)}, but P values between 0 and 1 in rising order are needed")
        if len(self.steps) > 2 and self.bias in ("selection", "average"):
            raise BadInput(f"steps = {list(self.steps)}: more than two cannot be integrated over; name one or two")
        if self.pooled_effect == self.spread == "absent" and self.bias == "absent":
            raise BadInput(
                "pooled_effect, spread and bias are all 'absent', which leaves nothing to estimate; set at least one "
                "of them to 'average' or 'present'"
            )
        refuse_priors_of_other_measures(self.priors, self.measure)
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        _ = self.meta_settings  # it refuses what no meta-analysis can have

    @property
    def meta_settings(self) -> MetaSettings:
        """Settings of the same meta-analysis without bias."""
        columns = [field.name for field in dataclasses.fields(self) if "column" in field.metadata]
        shared = {name: getattr(self, name) for name in (*_OF_META, *columns)}
        priors = {name: prior for name, prior in dict(self.priors).items() if name in ("mu", "tau")}
        if self.measure == "difference":  # for which a meta-analysis may have no defaults
            priors = PLACEHOLDERS | priors
        return MetaSettings(**shared, priors=priors)

    @property
    def effect_units(self) -> str:
        """Units of the effect."""
        return self.meta_settings.effect_units

    @property
    def is_log(self) -> bool:
        """Whether the effect is the logarithm of a ratio."""
        return self.meta_settings.is_log

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: only those of the terms that the settings switch on."""
        units, raw = self.units or self.measure.replace("-", " "), self.measure == "difference"
        has_scale = not raw or self.scale is not None or self.input == "means"
        width = PRIOR_WIDTHS[self.measure]
        slots = {}
        if self.pooled_effect != "absent":
            prior = Prior("Normal", mu=0, sigma=width.effect, times_scale=raw) if has_scale else None
            slots["mu"] = Slot(prior, "real", "the pooled effect", units)
        if self.spread != "absent":
            prior = Prior("HalfNormal", sigma=width.spread, times_scale=raw) if has_scale else None
            slots["tau"] = Slot(prior, "positive", "the standard deviation between studies", units)
        if self.bias in ("selection", "average"):
            meaning = "the share of results published beyond a step, of those before it"
            slots["share"] = Slot(Prior("Beta", alpha=1, beta=1), "unit", meaning, "share")
        if self.bias in ("pet", "average"):
            meaning = "the bias per unit of the standard error"
            slots["pet"] = Slot(Prior("HalfCauchy", beta=1), "positive", meaning, "standard errors")
        if self.bias in ("peese", "average"):
            prior = Prior("HalfCauchy", beta=5, times_scale=raw) if has_scale else None
            meaning = "the bias per unit of the squared standard error"
            per = "scale_squared" if raw else None
            slots["peese"] = Slot(prior, "positive", meaning, f"1 / {units}", per)
        return slots

    @property
    def variables(self) -> dict[str, str]:
        """Names of the parameters that only some of the averaged models have, as far as they are present."""
        states = {"mu": self.pooled_effect, "tau": self.spread}
        return {name: f"{name}_if_present" for name, state in states.items() if state == "average"}

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        return self.unit

    @property
    def sign(self) -> float:
        """The favoured direction."""
        return 1.0 if self.favours == "positive" else -1.0

    @property
    def kinds(self) -> tuple[tuple[Kind, float], ...]:
        """The models averaged, and their prior probabilities."""
        choices = {"present": {True: 1.0}, "absent": {False: 1.0}, "average": {True: 0.5, False: 0.5}}
        biases = BIASES if self.bias == "average" else {self.bias: 1.0}
        return tuple(
            (Kind(effect, spread, bias), p * q * r)
            for effect, p in choices[self.pooled_effect].items()
            for spread, q in choices[self.spread].items()
            for bias, r in biases.items()
        )

    @property
    def averaged_components(self) -> list[str]:
        """What is present in some of the averaged models only."""
        states: dict[str, str] = {"effect": self.pooled_effect, "spread": self.spread}
        return [component for component in COMPONENTS if states.get(component, self.bias) == "average"]
