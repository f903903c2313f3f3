"""What can be set of a response model: effects, covariates, cutoff, priors, and the table's columns."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.models.parts.unit_spreads import GLOBAL_SCALE
from bayesdep.numerics.distributions import Prior

STUDENT_NU = 4.0
WHICH_SIDE = (
    "predicts_when is missing: say whether a value 'below' or 'above' a cutoff predicts the outcome, as "
    "predicts_when = 'below' or 'above'; which side it is belongs to the question, not to the data"
)


@dataclass(frozen=True, kw_only=True)
class ResponseSettings(Described):
    """The settings of :class:`~bayesdep.models.response.model.Response`, and what follows from them alone."""

    family: ClassVar[str] = "response"
    hidden_dims: ClassVar[tuple[str, ...]] = ("non_detect",)  # of parameters that are values beyond limits
    scores_latent: ClassVar[bool] = False  # a patient's values beyond limits are integrated out
    figures: ClassVar[tuple[str, ...]] = ("roc", "decision_curve")
    primary_estimands: ClassVar[tuple[str, ...]] = ("slope", "auc")
    target_accept: ClassVar[float] = 0.95  # the horseshoe has regions of high curvature; one analyte is quick

    event: str | None = None
    effects: Literal["none", "normal", "student", "horseshoe"] = "none"
    expected_nonzero: float | None = None
    covariates: str | None = None
    cutoff: float | None = None
    predicts_when: Literal["below", "above"] | None = None
    scale: float | None = None
    beyond_limit: Literal["refuse", "censor"] = "refuse"
    flag_codes: Mapping[str, str] | None = None
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    outcome: str = column("responder", "outcome, yes or no")
    subject: str = column("subject", "person")
    value: str = column("concentration", "concentration")
    analyte: str | None = column(None, "analyte")
    plate: str | None = column(None, "assay plate")
    unit: str | None = column(None, "unit of the concentration")
    censored: str | None = column(None, "flag of values beyond a limit")
    lod: str | None = column(None, "limit of detection")
    lloq: str | None = column(None, "lower limit of quantification")
    uloq: str | None = column(None, "upper limit of quantification")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.cutoff is not None and not 0 < self.cutoff < np.inf:
            raise BadInput(f"cutoff = {self.cutoff}, but a concentration above zero is needed, as measured, not logged")
        if self.scale is not None and not 0 < self.scale < np.inf:
            raise BadInput(f"scale = {self.scale}, but a number above zero is needed, on natural logs")
        if self.analyte is None and self.predicts_when is None:
            raise BadInput(WHICH_SIDE)
        if self.effects != "none" and self.analyte is None:
            raise BadInput(
                f"effects = '{self.effects}' needs several analytes; name their column in analyte, or use 'none'"
            )
        if self.effects == "horseshoe":
            if self.expected_nonzero is None:
                raise BadInput("expected_nonzero is missing; say how many analytes are expected to matter, such as 3")
            if not self.expected_nonzero > 0:
                raise BadInput(f"expected_nonzero = {self.expected_nonzero}, but a number above zero is needed")
        elif self.expected_nonzero is not None:
            raise BadInput("expected_nonzero is the horseshoe's; set effects = 'horseshoe', or leave it out")
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: only those of the parts that the settings switch on."""
        slots = {"intercept": Slot(Prior("Normal", mu=0, sigma=1.5), "real", "the log odds at the centre", "log odds")}
        slots |= _slope_slots(self.effects)
        if self.covariates is not None:
            slots["covariate_slope"] = Slot(
                Prior("Normal", mu=0, sigma=1), "real", "the effect of a covariate", "log odds per sd"
            )
        slots["marker_mean"] = Slot(
            Prior("Normal", mu=0, sigma=2.5), "real", "the mean log concentration less the centre", "sd"
        )
        slots["marker_sd"] = Slot(Prior("HalfNormal", sigma=2), "positive", "the sd of log concentrations", "sd")
        return slots

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        return "subject"

    @property
    def words(self) -> str:
        """The model in words."""
        text = "The log odds of the outcome are linear in the log concentration" + ("s" if self.analyte else "")
        text += f" and in covariates ({self.covariates})" if self.covariates else ""
        text += ", which are normal between people; a value beyond a detection limit is a parameter known to lie there."
        if self.effects == "horseshoe":
            text += f" Of the analytes about {self.expected_nonzero:g} are expected to matter (regularised horseshoe)."
        return text

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        extra = " + covariates[i]' covariate_slope" if self.covariates else ""
        lines = [
            f"outcome[i] ~ Bernoulli(invlogit(intercept + sum_k slope[k] x[i, k]{extra}))",
            "x[i, k] = (log concentration[i, k] - centre[k]) / scale[k]",
            "x[i, k] ~ Normal(marker_mean[k], marker_sd[k]), latent beyond its limits",
        ]
        lines += _slope_lines(self.effects, self.expected_nonzero)
        return lines + [f"{name} ~ {prior}" for name, prior in self.priors.items()]


def _slope_slots(effects: str) -> dict[str, Slot]:
    """Return the places for priors of slopes: one slope's, the spread of all, or the horseshoe's scales."""
    units = "log odds per sd of the log"
    if effects == "none":
        slope = Prior("StudentT", nu=4, mu=0, sigma=2.5)
        return {"slope": Slot(slope, "real", "the effect of an analyte", units)}
    if effects != "horseshoe":
        spread = Prior("HalfNormal", sigma=1)
        return {"slope_sd": Slot(spread, "positive", "the spread of effects between analytes", units)}
    local, slab = Prior("HalfCauchy", beta=1), Prior("Gamma", alpha=2, beta=8)
    squared = "one over the squared scale of the slopes that are not shrunk"
    return {
        "global_scale": Slot(
            GLOBAL_SCALE, "positive", "the scale of all slopes", "times that expected of the non-zero ones"
        ),
        "local_scale": Slot(local, "positive", "the scale of an analyte's slope", "times the global scale"),
        "slab_precision": Slot(slab, "positive", squared, "per squared log odds"),
    }


def _slope_lines(effects: str, expected_nonzero: float | None) -> list[str]:
    """Return what the model's formula says of slopes beyond their priors."""
    if effects == "none":
        return []
    if effects != "horseshoe":
        raw = "Normal(0, 1)" if effects == "normal" else f"StudentT({STUDENT_NU:g}, 0, 1)"
        return [f"slope[k] = slope_sd raw[k],  raw[k] ~ {raw}"]
    return [
        "slope[k] ~ Normal(0, tau[k] c local_scale[k] / sqrt(c^2 + tau[k]^2 local_scale[k]^2))",
        f"tau[k] = global_scale {expected_nonzero:g} / (p - {expected_nonzero:g}) se[k], c = 1 / sqrt(slab_precision)",
    ]
