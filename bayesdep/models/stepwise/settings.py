"""What can be set of stepwise remission: the prior of a step's probability, and the table's columns."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bayesdep.data.errors import BadInput
from bayesdep.data.labels import as_label
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.numerics.distributions import Prior


@dataclass(frozen=True, kw_only=True)
class StepwiseSettings(Described):
    """The settings of :class:`~bayesdep.models.stepwise.model.Stepwise`, and what follows from them alone."""

    family: ClassVar[str] = "stepwise"
    target_accept: ClassVar[float] = 0.9
    exact_by_default: ClassVar[bool] = True
    left_out: ClassVar[str] = "step"

    step_order: Sequence[str] = ()
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    step: str = column("step", "step of treatment")
    arm: str | None = column(None, "treatment at the step")
    entered: str = column("entered", "people who entered the step")
    remitted: str = column("remitted", "people who remitted at the step")
    remitted_at_most: str | None = column(None, "the most people who may have remitted at the step")

    def __post_init__(self) -> None:
        if isinstance(self.step_order, (list, tuple)):
            plain = (
                as_label(x) if isinstance(x, (int, float)) and not isinstance(x, bool) else x for x in self.step_order
            )
            object.__setattr__(self, "step_order", tuple(plain))
        check_settings(self)
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        if self.priors["remission"].dist != "Beta":
            raise BadInput(
                f"priors.remission: {self.priors['remission']} is not a Beta, and only that keeps the posterior exact; "
                "use Beta"
            )

    @property
    def primary_estimands(self) -> tuple[str, ...]:
        """What is asked first: the probability of remission at each step."""
        return ("remission",)

    @property
    def slots(self) -> dict[str, Slot]:
        """The place for a prior: ``remission``."""
        flat = Prior("Beta", alpha=1, beta=1)
        return {"remission": Slot(flat, "unit", "the probability of remission once a step is entered", "probability")}

    @property
    def words(self) -> str:
        """The model in words."""
        return (
            "Remissions at a step are binomial among those who entered it (a continuation ratio); people who leave "
            "between steps are neither remitted nor not, and no step says anything of another."
        )

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        return ["remitted[k] ~ Binomial(entered[k], remission[k])", f"remission[k] ~ {self.priors['remission']}"]
