"""Single observations: what was seen of each, and its distribution given the parameters and what came before it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import special

from bayesdep.numerics.censoring import quantile_inside
from bayesdep.numerics.logit_normal_counts import probability_up_to, quantile
from bayesdep.numerics.one_step_ahead import OneStepAhead
from bayesdep.numerics.types import Draws

_NUMBERS_AT_ONCE = 100_000  # of log odds, few enough for a processor's cache


class Law(Protocol):
    """The distributions of some observations, draw by draw."""

    @property
    def numbers(self) -> int:
        """Numbers in its largest array."""

    def around(self, lower: np.ndarray, upper: np.ndarray) -> tuple[Draws, Draws]:
        """Return the probabilities below ``lower``, and of ``upper`` or less, both of shape (samples, observations)."""

    def at(self, share: Draws, lower: np.ndarray, upper: np.ndarray) -> Draws:
        """Return values between two limits, of the distribution cut to them where ``share`` is uniform."""


@dataclass(frozen=True)
class Normals:
    """Normal or t distributions, or mixtures of them.

    Parameters
    ----------
    location, scale
        Shape (components, samples, observations); scales may lack components that are alike.
    weight
        Of the components, of the same shape; None where there is one.
    nu
        Degrees of freedom, of a shape that broadcasts; None for normal distributions.
    """

    location: Draws
    scale: Draws
    weight: Draws | None = None
    nu: Draws | None = None

    @property
    def numbers(self) -> int:
        """Numbers in its largest array."""
        return self.location.size

    def around(self, lower: np.ndarray, upper: np.ndarray) -> tuple[Draws, Draws]:
        """Return the probabilities below two limits, shape (samples, observations)."""
        low = sum(weight * below(lower) for weight, below in self._components)
        high = sum(weight * below(upper) for weight, below in self._components)
        return np.asarray(low), np.asarray(high)

    def at(self, share: Draws, lower: np.ndarray, upper: np.ndarray) -> Draws:
        """Return values between two limits: quantiles where there is one component."""
        if len(self.location) == 1:
            return self._at(share, lower, upper, np.zeros((1, *share.shape), int))
        low, high = self.around(lower, upper)
        sought, so_far = share * (high - low), np.zeros_like(share)
        which, rest = np.zeros((1, *share.shape), int), np.zeros_like(share)
        for k, (weight, below) in enumerate(self._components):
            mass = weight * (below(upper) - below(lower))
            here = (sought >= so_far) & (mass > 0)  # the last such component is the one
            which[0, here] = k
            rest[here] = ((sought - so_far)[here] / mass[here]).clip(0.0, 1.0)  # uniform within the component
            so_far += mass
        return self._at(rest, lower, upper, which)

    @property
    def _components(self) -> Iterator[tuple[Draws | float, Callable[[np.ndarray], Draws]]]:
        """Of each component its weight and its distribution function: one after another, as each makes large arrays."""
        scale, nu = (None if x is None else np.broadcast_to(x, self.location.shape) for x in (self.scale, self.nu))
        assert scale is not None
        for k, location in enumerate(self.location):

            def below(limit: np.ndarray, k: int = k, location: Draws = location) -> Draws:
                z = (limit - location) / scale[k]
                return np.asarray(special.ndtr(z) if nu is None else special.stdtr(nu[k], z))

            yield 1.0 if self.weight is None else self.weight[k], below

    def _at(self, share: Draws, lower: np.ndarray, upper: np.ndarray, which: np.ndarray) -> Draws:
        """Values of one component each, whose place has shape (1, samples, observations)."""

        def chosen(x: Draws) -> Draws:
            return np.asarray(np.take_along_axis(np.broadcast_to(x, self.location.shape), which, axis=0)[0])

        location, scale = chosen(self.location), chosen(self.scale)
        if self.nu is None:
            return quantile_inside(share, location, scale, lower, upper)
        nu = chosen(self.nu)
        low, high = (special.stdtr(nu, (x - location) / scale) for x in (lower, upper))
        return np.clip(location + scale * special.stdtrit(nu, low + share * (high - low)), lower, upper)


@dataclass(frozen=True)
class Categories:
    """Distributions over the whole numbers from 0.

    Parameters
    ----------
    up_to
        Probability of each number or less, shape (samples, observations, numbers); the last is 1.
    """

    up_to: Draws

    @classmethod
    def of(cls, probability: Draws) -> "Categories":
        """Take the probabilities of the numbers."""
        up_to = np.cumsum(probability, axis=-1)
        up_to = up_to / up_to[..., -1:]
        return cls(up_to)

    @classmethod
    def of_two(cls, probability: Draws) -> "Categories":
        """Take the probability of 1, of shape (samples, observations)."""
        return cls(np.stack([1 - probability, np.ones_like(probability)], axis=-1))

    @property
    def numbers(self) -> int:
        """Numbers in its largest array."""
        return self.up_to.size

    def around(self, lower: np.ndarray, upper: np.ndarray) -> tuple[Draws, Draws]:
        """Return the probabilities of less than a number, and of another or less."""
        samples = (len(self.up_to), 1, 1)
        from_zero = np.concatenate([np.zeros_like(self.up_to[..., :1]), self.up_to], axis=-1)
        places = (np.tile(np.asarray(k, dtype=int)[None, :, None], samples) for k in (lower, upper + 1))
        low, high = (np.take_along_axis(from_zero, k, axis=-1)[..., 0] for k in places)
        return low, high

    def at(self, share: Draws, lower: np.ndarray, upper: np.ndarray) -> Draws:  # noqa: ARG002  (the protocol's)
        """Return quantiles: no number is known as an interval."""
        return np.asarray((share[..., None] >= self.up_to[..., :-1]).sum(axis=-1), dtype=float)


@dataclass(frozen=True)
class Graded:
    """Scores from 0 whose probabilities are those of a cumulative logit: ``P(score <= k) = F(threshold_k - level)``.

    Parameters
    ----------
    level
        Shape (samples, observations).
    thresholds
        By item, rising, and infinite where the item has no such score: shape (samples, items, thresholds).
    item
        Of each observation, shape (observations,).
    """

    level: Draws
    thresholds: Draws
    item: np.ndarray

    @property
    def numbers(self) -> int:
        """Numbers in its largest array."""
        return self.level.size

    def around(self, lower: np.ndarray, upper: np.ndarray) -> tuple[Draws, Draws]:
        """Return the probabilities of less than a score, and of another or less."""
        end = np.full((*self.thresholds.shape[:2], 1), np.inf)
        cuts = np.concatenate([-end, self.thresholds, end], axis=-1)
        low, high = (special.expit(cuts[:, self.item, k] - self.level) for k in (lower, upper + 1))
        return low, high

    def at(self, share: Draws, lower: np.ndarray, upper: np.ndarray) -> Draws:  # noqa: ARG002  (the protocol's)
        """Return quantiles: no score is known as an interval."""
        found = np.zeros(share.shape)
        for k in range(self.thresholds.shape[-1]):
            found += share >= special.expit(self.thresholds[:, self.item, k] - self.level)
        return found


@dataclass(frozen=True)
class Binomials:
    """Counts of people whose log odds are normal, or mixtures of normals.

    Parameters
    ----------
    location, scale, weight
        Of the log odds by component, each of a shape that broadcasts to (components, samples, observations).
    n
        Numbers of people, shape (observations,).
    """

    location: Draws
    scale: Draws
    weight: Draws
    n: np.ndarray

    @property
    def numbers(self) -> int:
        """Numbers in its largest array."""
        return self.location.size

    def around(self, lower: np.ndarray, upper: np.ndarray) -> tuple[Draws, Draws]:
        """Return the probabilities of less than a count, and of another or less."""
        location, scale, weight = np.broadcast_arrays(self.location, self.scale, self.weight)
        at_once = max(1, _NUMBERS_AT_ONCE // location[0].size)
        low, high = np.zeros(location.shape[1:]), np.zeros(location.shape[1:])
        for start in range(0, len(location), at_once):
            part = slice(start, start + at_once)
            for sums, count in ((low, lower - 1), (high, upper)):
                sums += (weight[part] * probability_up_to(count, self.n, location[part], scale[part])).sum(axis=0)
        return low, high

    def at(self, share: Draws, lower: np.ndarray, upper: np.ndarray) -> Draws:  # noqa: ARG002  (the protocol's)
        """Return quantiles within components, drawn by their weights: no count is known as an interval."""
        location, scale, weight = np.broadcast_arrays(self.location, self.scale, self.weight)
        up_to = np.cumsum(weight, axis=0)
        which = np.minimum((share >= up_to).sum(axis=0), len(up_to) - 1)[None]
        location, scale, mass, end = (np.take_along_axis(x, which, axis=0)[0] for x in (location, scale, weight, up_to))
        rest = np.clip((share - (end - mass)) / np.where(mass > 0, mass, 1.0), 0.0, 1.0)
        return np.asarray(quantile(rest, self.n, location, scale), dtype=float)


@dataclass(frozen=True)
class Joined:
    """Distributions of several groups of observations, in another order.

    Parameters
    ----------
    laws
        Of each group.
    places
        Of each group's observations among all.
    """

    laws: Sequence[Law]
    places: Sequence[np.ndarray]

    @property
    def numbers(self) -> int:
        """Numbers in all of its arrays."""
        return sum(law.numbers for law in self.laws)

    def around(self, lower: np.ndarray, upper: np.ndarray) -> tuple[Draws, Draws]:
        """Return the probabilities below two limits."""
        parts = [law.around(lower[at], upper[at]) for law, at in zip(self.laws, self.places, strict=True)]
        low, high = (_in_places([part[k] for part in parts], self.places) for k in (0, 1))
        return low, high

    def at(self, share: Draws, lower: np.ndarray, upper: np.ndarray) -> Draws:
        """Return values between two limits."""
        parts = zip(self.laws, self.places, strict=True)
        return _in_places([law.at(share[:, at], lower[at], upper[at]) for law, at in parts], self.places)


def _in_places(parts: Sequence[Draws], places: Sequence[np.ndarray]) -> Draws:
    """Put the columns of several arrays, shape (samples, observations of a group), into their places."""
    found = np.empty((len(parts[0]), sum(map(len, places))))
    for part, at in zip(parts, places, strict=True):
        found[:, at] = part
    return found


@dataclass(frozen=True)
class Observations:
    """Numbers observed one by one.

    An observation is predicted from the parameters and from what came before it in its unit (a patient's earlier
    visits). Without the unit's later observations, the parameters have the posterior that importance weights
    ``exp(-with_later)`` make of the full one, so the probabilities of what was seen are uniform, and independent
    within the unit, where the model is right (Rosenblatt 1952, doi:10.1214/aoms/1177729394).

    Parameters
    ----------
    labels
        What each belongs to, by name: the subject, the visit, ...; each of shape (observations,).
    lower, upper
        The interval in which it is known to lie, equal where it is a number, shape (observations,).
    law
        Its distribution given the parameters and what came before it.
    with_later
        Log density of it and of what comes after it in its unit, given what comes before: (samples, observations).
    """

    labels: Mapping[str, np.ndarray]
    lower: np.ndarray
    upper: np.ndarray
    law: Law
    with_later: Draws


def of_groups(
    labels: Mapping[str, np.ndarray],
    lower: np.ndarray,
    upper: np.ndarray,
    groups: Iterable[tuple[np.ndarray, Law, Draws]],
) -> Observations:
    """Put together numbers whose distributions were found for some of them at a time.

    Parameters
    ----------
    labels, lower, upper
        Of all observations.
    groups
        Of each group its observations' places among all, their distributions, and their log densities with later ones.

    Returns
    -------
    Observations
        Of all.
    """
    places, laws, scores = zip(*groups, strict=True)
    return Observations(labels, lower, upper, Joined(laws, places), _in_places(scores, places))


def of_steps(places: np.ndarray, steps: OneStepAhead) -> tuple[np.ndarray, Law, Draws]:
    """Make a group of units whose elements were predicted one after another.

    Parameters
    ----------
    places
        Of each unit's elements among all observations, shape (units, elements).
    steps
        Their distributions.

    Returns
    -------
    tuple
        As :func:`of_groups` takes it.
    """
    flat = (len(steps.location), -1)
    nu = None if steps.nu is None else steps.nu.reshape(flat)[None]
    law = Normals(steps.location.reshape(flat)[None], steps.scale.reshape(flat)[None], nu=nu)
    return places.ravel(), law, steps.with_later.reshape(flat)


def of_people(probability: Draws, events: np.ndarray, n: np.ndarray, labels: Mapping[str, np.ndarray]) -> Observations:
    """Give the distribution of everybody's outcome, of people counted by cells.

    Parameters
    ----------
    probability
        Of the event in each cell, shape (samples, cells).
    events, n
        Counts, shape (cells,).
    labels
        Of the cells, each of shape (cells,).

    Returns
    -------
    Observations
        1 where the event happened, which come first within each cell, and 0 elsewhere.
    """
    cell = np.repeat(np.arange(len(n)), n)
    place = np.arange(len(cell)) - np.repeat(np.cumsum(n) - n, n)
    happened = (place < events[cell]).astype(int)
    of_each = probability[:, cell]
    score = np.log(np.where(happened == 1, of_each, 1 - of_each))
    of_whom = {name: np.asarray(label)[cell] for name, label in labels.items()} | {"person": place + 1}
    return Observations(of_whom, happened, happened, Categories.of_two(of_each), score)
