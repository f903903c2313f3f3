"""What can be set of a screen: priors of its accuracy, and the table's columns."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.numerics.distributions import JEFFREYS


@dataclass(frozen=True, kw_only=True)
class ScreenSettings(Described):
    """The settings of :class:`~bayesdep.models.screen.model.Screen`, and what follows from them alone."""

    family: ClassVar[str] = "screen"
    primary_estimands: ClassVar[tuple[str, ...]] = ("sensitivity", "specificity")
    target_accept: ClassVar[float] = 0.95
    exact_by_default: ClassVar[bool] = True

    condition: str
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    group: str = column("group", "with or without the condition")
    positives: str = column("positives", "people who test positive")
    n: str = column("n", "people")

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        for name, prior in self.priors.items():
            if prior.dist != "Beta":
                raise BadInput(
                    f"priors.{name}: {prior} is not a Beta, and only that keeps the posterior exact; use Beta"
                )

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: ``sensitivity`` and ``specificity``."""
        return {name: Slot(JEFFREYS, "unit", f"the {name}", "probability") for name in ("sensitivity", "specificity")}

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        return "subject"

    @property
    def words(self) -> str:
        """The model in words."""
        return (
            f"Positive tests are binomial among those with the condition ({self.condition}) and among those without; "
            "sensitivity and specificity are independent."
        )

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        return [
            f"positives[{self.condition}] ~ Binomial(n[{self.condition}], sensitivity)",
            "positives[others] ~ Binomial(n[others], 1 - specificity)",
            *(f"{name} ~ {prior}" for name, prior in self.priors.items()),
        ]
