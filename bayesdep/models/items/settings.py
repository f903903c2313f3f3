"""The settings of a scale item by item: what they may be, which parameters take a prior, and the model in words."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from bayesdep.data.errors import BadInput
from bayesdep.data.labels import clean_label
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.numerics.distributions import Prior

FEWEST, LARGEST_SCORE = 3, 20  # items, and an item's highest score


@dataclass(frozen=True, kw_only=True)
class ItemsSettings(Described):
    """The settings of :class:`~bayesdep.models.items.model.Items`, which explains each."""

    family: ClassVar[str] = "items"
    target_accept: ClassVar[float] = 0.8
    left_out: ClassVar[str] = "subject"
    figures: ClassVar[tuple[str, ...]] = ("items",)

    items: Mapping[str, int]
    reference: str
    course: Literal["proportional", "constant"] = "proportional"
    start: float = 0.0
    moderator_form: Literal["log", "linear"] = "log"
    at: Sequence[float] = ()
    pooling: Literal["normal", "student-t"] = "normal"
    concentration: float = 1.0
    lkj: float = 2.0
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    subject: str = column("subject", "patient")
    arm: str = column("arm", "arm")
    visit: str = column("visit", "visit")
    item: str | None = column(None, "item")
    score: str = column("score", "score of the item")
    moderator: str | None = column(None, "moderator at baseline")

    def __post_init__(self) -> None:
        check_settings(self)
        _check_items(self.items)
        if self.item is not None:  # names are labels of the table
            object.__setattr__(self, "items", {clean_label(name): highest for name, highest in self.items.items()})
        object.__setattr__(self, "at", tuple(float(x) for x in self.at))
        if self.at and self.moderator is None:
            raise BadInput("at needs a moderator; name its column in moderator, or leave at out")
        if self.moderator_form == "log" and any(x <= 0 for x in self.at):
            raise BadInput(
                f"at = {list(self.at)} has a value that has no logarithm; leave it out, or use moderator_form = "
                "'linear'"
            )
        for name in ("concentration", "lkj"):
            if not 0 < getattr(self, name) < np.inf:
                raise BadInput(f"{name} = {getattr(self, name)}, but a number above zero is needed, such as 1")
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    @property
    def primary_estimands(self) -> tuple[str, ...]:
        """What is asked first: differences in the sum of all items, and in each."""
        return ("sum_difference", "item_difference")

    @property
    def slots(self) -> dict[str, Slot]:
        """Parameters that take a prior: those of the terms that the settings switch on."""
        units = "log odds"

        def normal(size: float, meaning: str, per: str = "") -> Slot:
            return Slot(Prior("Normal", mu=0, sigma=size), "real", meaning, units + per)

        def half_normal(size: float, meaning: str, per: str = "") -> Slot:
            return Slot(Prior("HalfNormal", sigma=size), "positive", meaning, units + per)

        slots = {
            "visit_effect": normal(1.5, "the difference of a visit's severity from the mean of all"),
            "arm_effect": normal(1.5, f"the difference of an arm's severity from {self.reference} at the last visit"),
            "departure_sd": half_normal(
                0.5, "the sd over items of what an arm changes in an item beyond its severity, at the last visit"
            ),
        }
        if self.moderator is not None:
            per = " per sd"
            slots |= {
                "moderator_effect": normal(1, "the difference in severity at the start, per sd of the moderator", per),
                "moderator_change": normal(1, "the same in its change up to the last visit", per),
                "arm_by_moderator": normal(1, "the change of an arm's effect on severity, per sd", per),
                "departure_by_moderator_sd": half_normal(
                    0.5, "the sd over items of the change of an arm's departure, per sd of the moderator", per
                ),
            }
        return slots | {
            "log_discrimination_sd": Slot(
                Prior("HalfNormal", sigma=0.5), "positive", "the sd over items of log discrimination", "log ratio"
            ),
            "level_sd": half_normal(2, "the sd of patients' severity at the start of treatment"),
            "slope_sd": half_normal(2, "the sd of patients' own change up to the last visit"),
            "visit_sd": half_normal(1, "the sd of a patient's severity at a visit around their own line"),
        }

    @property
    def words(self) -> str:
        """The model in words."""
        course = {
            "proportional": "grow in proportion to the time since the start of treatment",
            "constant": "are the same at every visit after the start of treatment",
        }[self.course]
        along = "" if self.moderator is None else ", as does its change along the moderator"
        tails = {"normal": "normal", "student-t": "Student-t"}[self.pooling]
        return (
            "The log odds of a worse score of an item rise with a patient's severity at a visit, times the item's "
            "discrimination; every patient has a level, a change over time and deviations at visits. An arm changes "
            f"severity, and each item beyond that, with {tails} departures over items{along}; these effects {course}."
        )

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        along = self.moderator is not None
        effect = "(arm_effect + arm_by_moderator x[i])" if along else "arm_effect"
        departure = "(departure[m] + departure_by_moderator[m] x[i])" if along else "departure[m]"
        course = {"proportional": "s[j] = time since the start / that of the last visit, 0 before",
                  "constant": "s[j] = 1 after the start, 0 up to it"}[self.course]  # fmt: skip
        main = " + (moderator_effect + moderator_change s[j]) x[i]" if along else ""
        tails = "Normal(0, {})" if self.pooling == "normal" else "StudentT(nu, 0, {})"
        lines = [
            "P(y[i, j, m] <= k) = logistic(threshold[m, k] - level[i, j, m])",
            f"level[i, j, m] = discrimination[m] severity[i, j] + s[j] {departure} a[i, .]",
            f"severity[i, j] = visit_effect[j] + s[j] {effect} a[i, .]{main} + level[i] + slope[i] t[j] + visit[i, j]",
            course,
            f"departure[m] ~ {tails.format('departure_sd')}",
            *([f"departure_by_moderator[m] ~ {tails.format('departure_by_moderator_sd')}"] if along else []),
            "log discrimination[m] ~ Normal(0, log_discrimination_sd), summing to 0",
            f"(level, slope)[i] ~ Normal(0, level_sd, slope_sd, correlation), correlation ~ LKJ({self.lkj:g})",
            "visit[i, j] ~ Normal(0, visit_sd)",
            f"threshold[m]: those of category probabilities ~ Dirichlet({self.concentration:g}) at level 0",
        ]
        return lines + [f"{name} ~ {prior}" for name, prior in self.priors.items()]


def _check_items(items: Mapping[str, int]) -> None:
    """Refuse too few items, and highest scores that an item cannot have."""
    if len(items) < FEWEST:
        raise BadInput(
            f"items names {len(items)}, but a severity that items share needs {FEWEST} or more; name every item with "
            'its highest score, such as { "depressed mood" = 4, "insomnia early" = 2, "guilt" = 4 }'
        )
    for name, highest in items.items():
        if not 1 <= highest <= LARGEST_SCORE:
            raise BadInput(
                f"items: the highest score of '{name}' is {highest}, but a whole number from 1 to {LARGEST_SCORE} is "
                "needed, such as 4 for an item scored from 0 to 4"
            )
