"""What can be set of a correlation: the score's scale and units, priors, and the table's columns."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.scale import check_scale
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.numerics.distributions import Prior


@dataclass(frozen=True, kw_only=True)
class CorrelationSettings(Described):
    """The settings of :class:`~bayesdep.models.correlation.model.Correlation`, and what follows from them alone."""

    family: ClassVar[str] = "correlation"
    primary_estimands: ClassVar[tuple[str, ...]] = ("correlation",)
    target_accept: ClassVar[float] = 0.9

    scale: float | None = None
    units: str = "points"
    beyond_limit: Literal["refuse", "censor"] = "refuse"
    flag_codes: Mapping[str, str] | None = None
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    score: str = column("score", "score")
    subject: str = column("subject", "person")
    value: str = column("concentration", "concentration")
    plate: str | None = column(None, "assay plate")
    unit: str | None = column(None, "unit of the concentration")
    censored: str | None = column(None, "flag of values beyond a limit")
    lod: str | None = column(None, "limit of detection")
    lloq: str | None = column(None, "lower limit of quantification")
    uloq: str | None = column(None, "upper limit of quantification")

    def __post_init__(self) -> None:
        check_settings(self)
        check_scale(self.scale)
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        lower, upper = self.priors["rho"].scipy.support()
        if lower < -1 or upper > 1:
            raise BadInput(
                f"priors.rho: {self.priors['rho']} reaches outside -1 to 1, the range of a correlation; "
                "use a Uniform or a Beta within"
            )

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors."""
        return {
            "rho": Slot(Prior("Uniform", lower=-1, upper=1), "real", "the correlation", "correlation"),
            "marker_mean": Slot(
                Prior("Normal", mu=0, sigma=2.5), "real", "the mean log concentration less the centre", "log"
            ),
            "marker_sd": Slot(Prior("HalfNormal", sigma=2), "positive", "the sd of log concentrations", "log"),
            "score_mean": Slot(
                Prior("Normal", mu=0, sigma=5, times_scale=True),
                "real",
                "the mean score",
                self.units,
                around="score_centre",
            ),
            "score_sd": Slot(
                Prior("HalfNormal", sigma=2, times_scale=True), "positive", "the sd of scores", self.units
            ),
        }

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        return "subject"

    @property
    def words(self) -> str:
        """The model in words."""
        return (
            "Log concentration and score are bivariate normal between people; a value beyond a detection limit enters "
            "as the probability of lying there, given the person's score."
        )

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        return [
            "score[i] ~ Normal(score_centre + score_mean, score_sd)",
            "log_concentration[i] ~ Normal(centre + marker_mean + rho marker_sd (score[i] - score_centre - score_mean) "
            "/ score_sd, marker_sd sqrt(1 - rho^2)), censored at its limits",
            *(f"{name} ~ {prior}" for name, prior in self.priors.items()),
        ]
