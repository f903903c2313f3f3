"""The settings of a model of transitions: what they may be, which parameters take a prior, and the model in words."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.labels import clean_label
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.formulas import read_formula
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.numerics.distributions import Prior

EVERYBODY = "everybody"  # the arm of a cohort without arms


@dataclass(frozen=True, kw_only=True)
class TransitionsSettings(Described):
    """The settings of :class:`~bayesdep.models.transitions.model.Transitions`, which explains each."""

    family: ClassVar[str] = "transitions"
    exact_by_default: ClassVar[bool] = True
    figures: ClassVar[tuple[str, ...]] = ("state_transitions", "state_occupancy", "assumed_people")

    states: Sequence[str]
    reference: str | None = None
    input: Literal["patients", "counts", "shares"] = "patients"
    effects: Literal["shared", "by-state", "free"] = "shared"
    link: Literal["cumulative", "continuation", "adjacent"] = "cumulative"
    absorbing: Sequence[str] = ()
    remission: Sequence[str] = ()
    start: str | None = None
    step: float | None = None
    horizon: float | None = None
    time_units: str | None = None
    covariates: str | None = None
    delta: float = 0.0
    visit_order: Sequence[str] = ()
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    state: str = column("state", "state")
    subject: str = column("subject", "patient")
    arm: str = column("arm", "arm")
    visit: str = column("visit", "visit")
    before: str = column("before", "state before")
    after: str = column("after", "state after")
    n: str = column("n", "people")
    share: str = column("share", "share of the people in that state before")
    interval: str | None = column(None, "time between the two states")

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("states", "absorbing", "remission", "visit_order"):
            object.__setattr__(self, name, tuple(clean_label(x) for x in getattr(self, name)))
        _check_states(self)
        _check_numbers(self)
        if self.covariates is not None:
            read_formula(self.covariates, f"covariates = '{self.covariates}'")
        _refuse_contradictions(self)
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        _check_row(self)

    @property
    def left(self) -> list[int]:
        """The states that can be left, by their place among all."""
        return [k for k, state in enumerate(self.states) if state not in self.absorbing]

    @property
    def left_states(self) -> list[str]:
        """The states that can be left."""
        return [self.states[k] for k in self.left]

    @property
    def in_remission(self) -> tuple[str, ...]:
        """The states that are remission: the best one unless others are named."""
        return tuple(self.remission) or (self.states[0],)

    @property
    def concentration(self) -> float:
        """Parameter of the Dirichlet prior of a row, the same for every state; 1 is flat."""
        return float(self.priors["row"]["alpha"])

    @property
    def has_own_rows(self) -> bool:
        """Whether each arm and state before has probabilities of its own, without a shift."""
        return self.effects == "free" or (self.reference is None and self.covariates is None)

    @property
    def target_accept(self) -> float:
        """Target acceptance rate: higher where effects vary between states."""
        return 0.95 if self.effects == "by-state" else 0.8

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        return "subject" if self.input == "patients" else "person"

    @property
    def primary_estimands(self) -> tuple[str, ...]:
        """What is asked first: moving down and time in remission, compared where there are arms."""
        if self.reference is None:
            return ("transition",)
        return ("improved_difference", "time_in_remission_difference")

    @property
    def slots(self) -> dict[str, Slot]:
        """Parameters that take a prior: those of the terms that the settings switch on."""
        odds = "log odds ratio"
        flat = Prior("Beta", alpha=1, beta=len(self.states) - 1)  # of one element of a flat Dirichlet distribution
        slots = {
            "row": Slot(flat, "unit", "the probability of a state, given the state one step before", "probability")
        }
        if self.reference is not None and self.effects != "free":
            prior = Prior("Normal", mu=0, sigma=1)
            slots["effect"] = Slot(prior, "real", "an arm's effect on the log odds of a worse state", odds)
            if self.effects == "by-state":
                prior = Prior("HalfNormal", sigma=0.5)
                slots["effect_sd"] = Slot(prior, "positive", "the spread of an arm's effect over states before", odds)
        if self.covariates is not None:
            prior = Prior("Normal", mu=0, sigma=0.5)
            meaning = "a covariate's effect on the log odds of a worse state"
            slots["covariate_effect"] = Slot(prior, "real", meaning, f"{odds} per sd")
        return slots

    @property
    def words(self) -> str:
        """The model in words."""
        arms = {
            "shared": "an arm shifts the odds of a worse state alike whatever the state before",
            "by-state": "an arm shifts the odds of a worse state, by state before, drawn towards their mean",
            "free": "every arm and state before has probabilities of its own",
        }[self.effects]
        if self.reference is None:
            arms = "every state before has probabilities of its own"
        return (
            "The state at a time depends on the state one step before and not on earlier ones (a Markov chain): "
            f"{arms}. States that were not seen in between are summed over."
        )

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        by_arm = self.has_own_rows and self.reference is not None
        rows = f"row[{'arm, ' if by_arm else ''}s, .] ~ Dirichlet({self.concentration:g}, ..., {self.concentration:g})"
        if self.has_own_rows:
            return [f"state[i, t] ~ Categorical(row[{'arm of i, ' if by_arm else ''}state[i, t - 1], .])", rows]
        shift = ["effect[a, s]" if self.effects == "by-state" else "effect[a]"] if self.reference is not None else []
        if self.covariates is not None:
            shift.append(f"covariate_effect x[i]  ({self.covariates})")
        at = {
            "cumulative": "P(state[i, t] <= k) = F(threshold[s, k] - shift[i, s])",
            "continuation": "P(state[i, t] = k | >= k) = F(threshold[s, k] - shift[i, s])",
            "adjacent": "P(state[i, t] = k) / P(= k + 1) = exp(threshold[s, k] - shift[i, s])",
        }[self.link]
        by_state = ["effect[a, s] ~ Normal(effect[a], effect_sd)"] if self.effects == "by-state" else []
        return [
            f"{at}, s = state[i, t - 1]",
            f"shift[i, s] = {' + '.join(shift)}",
            "threshold[s, .] from row[s, .], the probabilities of an average patient",
            rows,
            *by_state,
            *(f"{name} ~ {prior}" for name, prior in self.priors.items() if name != "row"),
        ]

    def place_of(self, label: str, column: str, row: int) -> int:
        """Find a state's place among the states.

        Parameters
        ----------
        label
            The state.
        column, row
            Where it stands, for messages; rows count from 0.

        Returns
        -------
        int
            Its place.

        Raises
        ------
        BadInput
            When it is none of the states.
        """
        if label not in self.states:
            raise BadInput(
                f"column '{column}', row {row + 1}: '{label}' is not one of the states "
                f"({did_you_mean(label, self.states)}); correct it, or add it to states, in its order"
            )
        return list(self.states).index(label)


def _check_states(settings: TransitionsSettings) -> None:
    """Refuse states that are too few, named twice, or all absorbing, and others that are none of them."""
    states = settings.states
    if len(states) < 2:
        raise BadInput(f"states = {list(states)}, but at least two states are needed, the best one first")
    for state in states:
        if list(states).count(state) > 1:
            raise BadInput(f"states names '{state}' twice; name each state once, the best one first")
        if "|" in state:
            raise BadInput(f"states has '{state}', but | stands between states that were not told apart; rename it")
    start = () if settings.start is None else (settings.start,)
    for name, named in (("absorbing", settings.absorbing), ("remission", settings.remission), ("start", start)):
        for state in named:
            if state not in states:
                raise BadInput(f"{name} names '{state}', which is not one of the states; {did_you_mean(state, states)}")
    if len(set(settings.absorbing)) == len(states):
        raise BadInput("absorbing names every state, so nothing could change; leave out the states that can be left")


def _check_numbers(settings: TransitionsSettings) -> None:
    """Refuse numbers outside their range."""
    for name in ("step", "horizon"):
        value = getattr(settings, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise BadInput(f"{name} = {value}, but a number above zero is needed, such as 1")
    if not math.isfinite(settings.delta):
        raise BadInput(f"delta = {settings.delta}, but a number of log odds is needed, such as 0.5")


def _check_row(settings: TransitionsSettings) -> None:
    """Refuse a prior of probabilities that is not that of an element of a Dirichlet distribution with one parameter."""
    prior, others = settings.priors["row"], len(settings.states) - 1
    if prior.dist != "Beta" or not math.isclose(prior["beta"], others * prior["alpha"], rel_tol=1e-6):
        raise BadInput(
            f"priors.row: {prior} is not that of one of {others + 1} states which are alike a priori (an element of a "
            f'Dirichlet distribution); write {{ dist = "Beta", alpha = A, beta = {others} A }}, such as alpha = 1, '
            f"beta = {others}"
        )


def _refuse_contradictions(settings: TransitionsSettings) -> None:
    """Refuse settings that contradict each other."""
    if settings.effects == "free" and settings.covariates is not None:
        raise BadInput("effects = 'free' has no shift that covariates could add to; use effects = 'shared'")
    if settings.effects == "by-state" and settings.reference is None:
        raise BadInput("effects = 'by-state' needs arms; name the one that others are compared with as reference")
    if settings.input != "patients":
        for name in ("covariates", "visit_order"):
            if getattr(settings, name):
                raise BadInput(f"{name} needs one row a patient and visit; leave it out for input = '{settings.input}'")
        if settings.delta:
            raise BadInput(
                f"delta is of patients who dropped out, whom input = '{settings.input}' does not have; leave it out"
            )
        return
    for name in ("interval", "horizon"):
        if getattr(settings, name) is not None:
            raise BadInput(f"{name} belongs to input = 'counts' or 'shares'; leave it out where a row is a visit")
    if settings.delta and settings.reference is None:
        raise BadInput("delta is added to the arms but the reference, and there are none; name a reference")
