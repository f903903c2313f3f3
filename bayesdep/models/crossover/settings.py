"""Settings of a crossover trial: what they may be, and the priors they call for."""

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
class CrossoverSettings(Described):
    """The settings of :class:`~bayesdep.Crossover`, which describes them."""

    family: ClassVar[str] = "crossover"
    figures: ClassVar[tuple[str, ...]] = ("pairs",)
    primary_estimands: ClassVar[tuple[str, ...]] = ("mean_difference", "difference")
    left_out: ClassVar[str] = "subject"
    target_accept: ClassVar[float] = 0.9

    reference: str
    days: Literal["joint", "apart"] = "joint"
    carry_over: bool = False
    before: str | None = None
    better: Literal["lower", "higher"] = "lower"
    margin: float | None = None
    scale: float | None = None
    units: str = "points"
    lkj: float = 2.0
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    outcome: str = column("outcome", "outcome")
    subject: str = column("subject", "patient")
    treatment: str = column("treatment", "treatment")
    period: str = column("period", "period, as a number")
    day: str | None = column("day", "days since the treatment was given")
    baseline: str | None = column(None, "outcome before the first treatment")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.before is not None and self.baseline is not None:
            raise BadInput(
                f"before = '{self.before}' and baseline = '{self.baseline}' both say where the baseline is; leave out "
                "one of them"
            )
        if self.before is not None and self.before == self.reference:
            raise BadInput(f"before = '{self.before}' is the reference too; before names rows without a treatment")
        check_scale(self.scale)
        if self.margin is not None and not self.margin > 0:
            raise BadInput(f"margin = {self.margin}, but a number of points above zero is needed")
        if not self.lkj > 0:
            raise BadInput(f"lkj = {self.lkj}, but a number above zero is needed")
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    @property
    def has_baseline(self) -> bool:
        """Whether outcomes are adjusted for the baseline."""
        return self.baseline is not None or self.before is not None

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: only those of the terms that the settings switch on."""
        points = self.units
        slots = {
            "day_mean": Slot(
                _width("Normal", mu=0, sigma=1.5), "real", "the mean on a day less the overall mean", points
            ),
            "period_effect": Slot(
                _width("Normal", mu=0, sigma=0.75), "real", "the difference of a later period from the first", points
            ),
            "treatment_effect": Slot(
                _width("Normal", mu=0, sigma=1.5), "real", "the difference between treatments", points
            ),
        }
        if self.carry_over:
            slots["carry_over"] = Slot(
                _width("Normal", mu=0, sigma=0.3), "real", "what carries over into the next period", points
            )
        if self.has_baseline:
            slots["baseline_slope"] = Slot(
                _width("Normal", mu=0, sigma=1),
                "real",
                "the difference per unit of the baseline",
                f"{points} per unit of the baseline",
                per="baseline_sd",
            )
        spread = _width("HalfNormal", sigma=1)
        slots["patient_sd"] = Slot(spread, "positive", "the sd between patients", points)
        slots["residual_sd"] = Slot(spread, "positive", "the sd within patients", points)
        return slots

    @property
    def words(self) -> str:
        """The model in words."""
        parts = ["period and treatment", *(["baseline"] if self.has_baseline else [])]
        parts += ["what carries over from the treatment before"] if self.carry_over else []
        days = (
            "Outcomes on several days are correlated, by a patient's own level and by one period's deviations from it"
            if self.days == "joint"
            else "Days are analysed as if each were the only one"
        )
        return (
            f"Each patient has the treatments in turn. Outcomes are normal around means by {', '.join(parts)} plus the "
            f"patient's own level, so that treatments are compared within patients. {days}. Missed periods and days "
            "are integrated out, as missing at random."
        )

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        mean = "day_mean[d] + period_effect[., d] q[p, .] + treatment_effect[., d] t[i, p, .]"
        mean += " + carry_over[., d] t[i, p - 1, .]" if self.carry_over else ""
        mean += " + baseline_slope[d] b[i]" if self.has_baseline else ""
        joint = self.days == "joint"
        spread = "MVN(0, D R D), D {0}_sd, R ~ LKJ({1:g})" if joint else "Normal(0, {0}_sd[d])"
        at = "." if joint else "d"
        return [
            "y[i, p, d] = mean[i, p, d] + patient[i, d] + residual[i, p, d], where an outcome was observed",
            f"mean[i, p, d] = {mean}",
            f"patient[i, {at}] ~ {spread.format('patient', self.lkj)}, integrated out",
            f"residual[i, p, {at}] ~ {spread.format('residual', self.lkj)}",
            *(f"{name} ~ {prior}" for name, prior in self.priors.items()),
        ]


def _width(dist: str, **parameters: Any) -> Prior:
    return Prior(dist, times_scale=True, **parameters)
