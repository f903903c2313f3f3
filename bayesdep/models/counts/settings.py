"""What can be set of counts: how the effect is pooled over subgroups, priors, and the table's columns."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.numerics.distributions import JEFFREYS, Prior


@dataclass(frozen=True, kw_only=True)
class CountsSettings(Described):
    """The settings of :class:`~bayesdep.models.counts.model.Counts`, and what follows from them alone."""

    family: ClassVar[str] = "counts"
    primary_estimands: ClassVar[tuple[str, ...]] = ("risk_difference",)
    target_accept: ClassVar[float] = 0.95
    exact_by_default: ClassVar[bool] = True

    control: str
    pooling: Literal["partial", "none", "complete"] = "partial"
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    subgroup: str | None = column("subgroup", "subgroup label")
    arm: str = column("arm", "arm label")
    events: str = column("events", "people with the event")
    n: str = column("n", "people")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.subgroup is None and self.pooling != "none":
            raise BadInput(
                f"pooling = '{self.pooling}' needs subgroups to pool over; name a column or use pooling = 'none'"
            )
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        if self.pooling == "none" and self.priors["risk"].dist != "Beta":
            raise BadInput(
                f"priors.risk: {self.priors['risk']} is not a Beta, and only that keeps the posterior exact; use Beta"
            )

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: those of the hierarchy, or of every cell when nothing is pooled."""
        if self.pooling == "none":
            return {"risk": Slot(JEFFREYS, "unit", "a cell's probability of the event", "probability")}
        centre, spread = Prior("Normal", mu=0, sigma=1.5), Prior("HalfNormal", sigma=0.5)
        slots = {
            "baseline_mean": Slot(centre, "real", "the mean log odds of all arms", "log odds"),
            "baseline_sd": Slot(
                spread, "positive", "the spread of the arms' mean log odds between subgroups", "log odds"
            ),
            "effect_mean": Slot(centre, "real", "the mean treatment effect", "log odds ratio"),
        }
        if self.pooling == "partial":
            slots["effect_sd"] = Slot(
                spread, "positive", "the spread of the treatment effect between subgroups", "log odds ratio"
            )
        return slots

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        return "subject"

    @property
    def words(self) -> str:
        """The model in words."""
        effect = {
            "partial": "its effect in each subgroup is drawn towards their mean as far as the data allow",
            "complete": "its effect is the same in every subgroup",
        }.get(self.pooling)
        if effect is None:
            return "Events are binomial in each arm of each subgroup, and every such cell stands on its own."
        return (
            f"Events are binomial in each arm of each subgroup; treatment shifts the log odds against "
            f"{self.control}, and {effect}."
        )

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        lines = ["events[g, j] ~ Binomial(n[g, j], risk[g, j])"]
        if self.pooling == "none":
            return [*lines, f"risk[g, j] ~ {self.priors['risk']}"]
        lines += [
            f"logit(risk[g, j]) = baseline[g] + effect[g, j] - mean_j(effect[g, j]),  effect[g, {self.control}] = 0",
            "baseline[g] ~ Normal(baseline_mean, baseline_sd)",
            "effect[g, j] ~ Normal(effect_mean[j], effect_sd)"
            if self.pooling == "partial"
            else "effect[g, j] = effect_mean[j]",
        ]
        return lines + [f"{name} ~ {prior}" for name, prior in self.priors.items()]
