"""What can be set of a panel: its terms, how effects are pooled, priors, and the table's columns."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.numerics.distributions import Prior

HEAVY = ("group", "time", "interaction")  # effects of which a few may differ from all others
# Of an effect by analyte: widths of the priors of its mean and of its spread over analytes, and what it is.
_EFFECTS = {
    "level": (2.5, 2.5, "level"),
    "group": (1.5, 1.0, "difference of a group from {reference}"),
    "time": (1.5, 1.0, "change from baseline"),
    "interaction": (1.5, 1.0, "difference of a group's change from the reference's"),
    "covariate": (1.5, 1.0, "effect of one sd of a covariate"),
}


@dataclass(frozen=True, kw_only=True)
class CytokinesSettings(Described):
    """The settings of :class:`~bayesdep.models.cytokines.model.Cytokines`, and what follows from them alone."""

    family: ClassVar[str] = "cytokines"
    hidden_dims: ClassVar[tuple[str, ...]] = ("latent_cell", "unseen")  # of parameters that are values beyond limits
    scores_latent: ClassVar[bool] = False  # cells and residuals are integrated out
    figures: ClassVar[tuple[str, ...]] = ("changes", "shares", "ecdf", "plates")

    reference: str | None = None
    baseline: str | None = None
    covariates: str | None = None
    pooling: Literal["partial", "none"] = "partial"
    group_by_time: bool = False
    effects: Literal["normal", "student", "horseshoe"] = "normal"
    expected_nonzero: float | None = None
    shared_factor: bool = False
    robust: bool = False
    replicates: bool = False
    equivalence: float | None = None
    beyond_limit: Literal["refuse", "censor"] = "refuse"
    substitute: Literal["half", "root2"] | None = None
    flag_codes: Mapping[str, str] | None = None
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    value: str = column("concentration", "concentration")
    analyte: str | None = column(None, "analyte")
    subject: str | None = column(None, "subject")
    group: str | None = column(None, "group")
    time: str | None = column(None, "time")
    plate: str | None = column(None, "assay plate")
    analyte_family: str | None = column(None, "family of the analyte")
    unit: str | None = column(None, "unit of the concentration")
    censored: str | None = column(None, "flag of values beyond a limit")
    lod: str | None = column(None, "limit of detection")
    lloq: str | None = column(None, "lower limit of quantification")
    uloq: str | None = column(None, "upper limit of quantification")

    def __post_init__(self) -> None:
        check_settings(self)
        self._refuse_contradictions()
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    def _refuse_contradictions(self) -> None:
        if (self.group is None) != (self.reference is None):
            have, lack = ("reference", "group") if self.group is None else ("group", "reference")
            raise BadInput(f"{have} is given without {lack}; name the column of groups and the group to compare with")
        if self.baseline is not None and self.time is None:
            raise BadInput("baseline is given without time; name the column of times, or leave baseline out")
        for setting, needs in (
            ("group_by_time", ("group", "time")),
            ("shared_factor", ("analyte", "subject")),
            ("analyte_family", ("analyte", "group")),
            ("time", ("subject",)),
        ):
            missing = [n for n in needs if getattr(self, n) is None]
            if getattr(self, setting) and missing:
                raise BadInput(f"{setting} needs a column of {missing[0]}s; name it in {missing[0]}")
        if self.replicates and (self.subject is None or self.time is not None):
            raise BadInput("replicates needs a column of subjects; leave time out or keep one row a time")
        if self.pooling == "none" and self.analyte_family is not None:
            raise BadInput("analyte_family pools analytes, but pooling = 'none'; leave one of them out")
        if (self.effects == "horseshoe") != (self.expected_nonzero is not None):
            raise BadInput(
                "effects = 'horseshoe' and expected_nonzero go together; state both, such as expected_nonzero = 5 for "
                "about five analytes that differ, or neither"
            )
        if self.expected_nonzero is not None and not self.expected_nonzero > 0:
            raise BadInput(f"expected_nonzero = {self.expected_nonzero}, but a number above zero is needed, such as 5")
        if self.effects != "normal" and not self.is_pooled:
            raise BadInput(
                f"effects = '{self.effects}' is a distribution over analytes; use pooling = 'partial' with a column of "
                "analytes"
            )
        if self.equivalence is not None and self.equivalence <= 1:
            raise BadInput(f"equivalence = {self.equivalence}, but a ratio above 1 is needed, such as 1.1")

    @property
    def is_pooled(self) -> bool:
        """Whether effects are pooled over analytes."""
        return self.pooling == "partial" and self.analyte is not None

    @property
    def has_cells(self) -> bool:
        """Whether a person's lasting deviation in an analyte is a term: with one row each it is in the residual."""
        return self.time is not None or self.replicates

    @property
    def has_subjects(self) -> bool:
        """Whether a person's general level is a term: with one analyte it would be the cell's."""
        return self.subject is not None and self.analyte is not None

    @property
    def effect_names(self) -> dict[str, str]:
        """Names of the effects by analyte, by the word that their priors start with."""
        names = {
            "level": ("level", True),
            "group": ("group_effect", self.group is not None),
            "time": ("time_effect", self.time is not None),
            "interaction": ("interaction", self.group_by_time),
            "covariate": ("covariate_effect", self.covariates is not None),
        }
        return {word: name for word, (name, is_on) in names.items() if is_on}

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: only those of the terms that the settings switch on."""
        return self._slots_of_effects() | self._slots_of_plates_and_people() | self._slots_of_residuals()

    def _slots_of_effects(self) -> dict[str, Slot]:
        slots = {}
        for word, name in self.effect_names.items():
            width, spread, text = _EFFECTS[word]
            meaning = text.format(reference=self.reference)
            if not self.is_pooled:
                wide = Prior("Normal", mu=0, sigma=2 * width)
                slots[name] = Slot(wide, "real", f"the {meaning} of an analyte", "log")
                continue
            slots[f"{word}_mean"] = Slot(Prior("Normal", mu=0, sigma=width), "real", f"the mean {meaning}", "log")
            if self.effects == "horseshoe" and word in HEAVY:
                continue  # its scale follows from the number of effects expected to differ
            slots[f"{word}_sd"] = Slot(
                Prior("HalfNormal", sigma=spread), "positive", f"the spread over analytes of the {meaning}", "log"
            )
        if self.analyte_family is not None:
            slots["group_family_sd"] = Slot(
                Prior("HalfNormal", sigma=1.0), "positive", "the spread of the difference over families", "log"
            )
        return slots

    def _slots_of_plates_and_people(self) -> dict[str, Slot]:
        slots = {}
        if self.plate is not None:
            slots["plate_sd"] = Slot(Prior("HalfNormal", sigma=0.25), "positive", "the spread of plates", "log")
        if self.has_subjects:
            slots["subject_sd"] = Slot(
                Prior("HalfNormal", sigma=1.0), "positive", "the spread of people's general level", "log"
            )
        if self.shared_factor:
            slots["loading_sd"] = Slot(
                Prior("HalfNormal", sigma=1.0), "positive", "the scale of loadings on the shared factor", "log"
            )
        if self.has_cells:
            # wells may differ so little beside people that a prior without a heavy tail would shrink people
            wells = Prior("LogNormal", mu=float(np.log(4)), sigma=1.25)
            slots["cell_ratio"] = Slot(
                wells if self.replicates else Prior("HalfNormal", sigma=1.5),
                "positive",
                "the sd of lasting differences between people in one analyte, over the residual sd",
                "ratio",
            )
        return slots

    def _slots_of_residuals(self) -> dict[str, Slot]:
        slots = {}
        median, log_sd = (0.2, 1.0) if self.replicates else (0.8, 0.6)
        if self.is_pooled:
            centre = Prior("Normal", mu=float(np.log(median)), sigma=log_sd)
            slots["residual_mean"] = Slot(centre, "real", "the mean log residual sd", "log sd")
            slots["residual_spread"] = Slot(
                Prior("HalfNormal", sigma=0.5), "positive", "the spread over analytes of the log residual sd", "log sd"
            )
        else:
            prior = Prior("LogNormal", mu=float(np.log(median)), sigma=log_sd)
            slots["residual_sd"] = Slot(prior, "positive", "the residual sd of an analyte", "log")
        if self.robust:
            slots["nu"] = Slot(Prior("Gamma", alpha=2, beta=0.1), "positive", "the degrees of freedom", "number")
        return slots

    @property
    def words(self) -> str:
        """The model in words."""
        tails = "Student t" if self.robust else "normal"
        text = f"Log concentrations are {tails} around an expected level for each analyte"
        parts = [
            (self.group is not None, f"groups differ from {self.reference}"),
            (self.time is not None, "times differ from baseline"),
            (self.covariates is not None, f"covariates ({self.covariates}) shift it"),
            (self.plate is not None, "plates differ by analyte"),
            (self.has_subjects, "people have a general level"),
            (self.shared_factor, "and a place on one shared factor"),
            (self.has_cells, "people differ lastingly in each analyte"),
        ]
        clauses = [clause for is_on, clause in parts if is_on]
        text += f"; {', '.join(clauses)}." if clauses else "."
        if self.is_pooled:
            text += (
                " Effects of the analytes are drawn towards their mean as far as the data allow: intervals are right "
                "on average over analytes, and not for a few that differ from the rest."
            )
        if self.substitute is None:
            return text + " A value beyond a detection limit enters as the probability of lying there."
        divisor = {"half": "2", "root2": "the square root of 2"}[self.substitute]
        return text + f" FOR CONTRAST ONLY: non-detects are replaced by their limit divided by {divisor}."

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        law = "StudentT(nu, eta[m], residual_sd[a])" if self.robust else "Normal(eta[m], residual_sd[a])"
        parts = [
            (True, "level[a]"),
            (self.group, "group_effect[a] group[i]"),
            (self.time, "time_effect[a, t]"),
            (self.group_by_time, "interaction[a, t] group[i]"),
            (self.covariates, "covariates[m]' covariate_effect[a]"),
            (self.plate, "plate[a, p]"),
            (self.has_subjects, "subject[i]"),
            (self.shared_factor, "loading[a] factor[i]"),
            (self.has_cells, "cell[i, a]"),
        ]
        lines = [
            f"log_concentration[m] ~ {law}, censored at its limits",
            "eta[m] = " + " + ".join(text for is_on, text in parts if is_on),
        ]
        if self.is_pooled:
            lines += [f"{name}[a] ~ {self._law_of_effect(word)}" for word, name in self.effect_names.items()]
            lines.append("log(residual_sd[a]) ~ Normal(residual_mean, residual_spread)")
        return lines + [f"{name} ~ {prior}" for name, prior in self.priors.items()]

    def _law_of_effect(self, word: str) -> str:
        """Distribution of an effect over analytes, for the formula."""
        mean = "group_family[f]" if word == "group" and self.analyte_family else f"{word}_mean"
        if word not in HEAVY or self.effects == "normal":
            return f"Normal({mean}, {word}_sd)"
        if self.effects == "student":
            return f"StudentT({word}_nu, {mean}, {word}_sd)"
        return f"Horseshoe({mean}, {word}_global)"

    @property
    def target_accept(self) -> float:
        """Target acceptance rate of the sampler: an analyte of which most is hidden leaves skewed posteriors."""
        return 0.9

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out: a measurement, or all those of a person in one analyte."""
        return "cell" if self.has_cells else "measurement"

    @property
    def primary_estimands(self) -> tuple[str, ...]:
        """What the panel asks first: ratios between groups and to baseline; with neither, of covariates, or levels."""
        comparisons = {"log_ratio": self.group is not None, "log_change": self.time is not None}
        asked = tuple(name for name, is_asked in comparisons.items() if is_asked)
        return asked or (("log_level",) if self.covariates is None else ("covariate_effect",))
