"""Slots for priors in a model, and the priors given by a user."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesdep.data.errors import BadInput, Faults, did_you_mean
from bayesdep.models.parts.published_priors import heterogeneity_prior
from bayesdep.numerics.distributions import Prior, Support

_SUPPORT_IN_WORDS = {
    "real": "the real line",
    "positive": "values from zero up",
    "unit": "values between 0 and 1",
}


@dataclass(frozen=True)
class Slot:
    """A slot for a prior in a generative model.

    Parameters
    ----------
    default
        The prior used unless another is given; None if no default is possible without knowing the units.
    support
        Values the parameter can take; a replacement must stay inside.
    meaning
        The parameter's meaning, for reports and messages.
    units
        Units of the parameter.
    per
        For a slope: the 0-d variable of the prepared data, such as the baseline's sd, by which the scale of its default
        prior is divided.
    around
        The 0-d variable of the prepared data around which the default prior lies, while a prior in the outcome's units
        lies around 0; so that the default can be written in those units.
    """

    default: Prior | None
    support: Support
    meaning: str
    units: str
    per: str | None = None
    around: str | None = None


def parse_prior(name: str, value: Any) -> Prior:
    """Read a prior as a plan writes it: ``{dist = "Normal", mu = 0, sigma = 5}``.

    Parameters
    ----------
    name
        The parameter it is for, for messages.
    value
        A :class:`Prior`, or a table with ``dist`` and its parameters, or one that names a published prior with
        ``paper``, ``outcome`` and ``comparison``. ``why``, a reason for the report, may stand in either.

    Returns
    -------
    Prior
        The checked prior.

    Raises
    ------
    BadInput
        Naming the key ``priors.NAME``.
    """
    if isinstance(value, Prior):
        return value
    if isinstance(value, Mapping) and "paper" in value:
        try:
            published = heterogeneity_prior(**{word: text for word, text in value.items() if word != "why"})
            return replace_why(published, value["why"]) if "why" in value else published
        except BadInput as problem:
            raise BadInput(f"priors.{name}: {problem}") from None
        except TypeError:
            raise BadInput(
                f"priors.{name} is {dict(value)!r}; write it as "
                '{ paper = "Turner 2015", outcome = "pain", comparison = "pharmacological against control" }'
            ) from None
    if not isinstance(value, Mapping) or not isinstance(value.get("dist"), str):
        raise BadInput(f'priors.{name} is {value!r}; write it as {{ dist = "Normal", mu = 0, sigma = 1 }}')
    try:
        return Prior(value["dist"], **{k: v for k, v in value.items() if k != "dist"})
    except BadInput as problem:
        raise BadInput(f"priors.{name}: {problem}") from None


def replace_why(prior: Prior, why: Any) -> Prior:
    """Return a published prior with a further reason.

    Parameters
    ----------
    prior
        A published prior.
    why
        The reason, text.

    Returns
    -------
    Prior
        The same distribution, of the same paper.

    Raises
    ------
    BadInput
        When the reason is not text.
    """
    numbers: dict[str, Any] = dict(prior.parameters)
    further = Prior(prior.dist, why=why, **numbers)
    both = Prior(prior.dist, why=f"{further.why} ({prior.why})", **numbers)
    object.__setattr__(both, "paper", getattr(prior, "paper", None))
    return both


class Filled(dict[str, Prior]):
    """One prior for every slot of a model, some of them chosen and the others the model's defaults.

    ``dataclasses.replace`` gives a model's priors to a model with other settings. That one takes what was chosen, and
    has defaults of its own.

    Parameters
    ----------
    priors
        By parameter name.
    chosen
        The names of those that are not defaults.
    """

    def __init__(self, priors: Mapping[str, Prior], chosen: Collection[str]) -> None:
        super().__init__(priors)
        self._chosen = frozenset(chosen)

    def __reduce__(self) -> tuple[type["Filled"], tuple[dict[str, Prior], frozenset[str]]]:
        return Filled, (dict(self), self._chosen)

    @property
    def chosen(self) -> dict[str, Prior]:
        """Those that are not defaults."""
        return {name: prior for name, prior in self.items() if name in self._chosen}


def fill_slots(slots: Mapping[str, Slot], given: Mapping[str, Any]) -> Filled:
    """Fill a model's slots with the given priors, and the other slots with defaults.

    Parameters
    ----------
    slots
        The model's slots.
    given
        Priors by parameter name, as :func:`parse_prior` reads them. Of another model's filled slots only those count
        that were chosen.

    Returns
    -------
    Filled
        One prior for every slot, in the slots' order.

    Raises
    ------
    BadInput
        When a name is unknown, a prior leaves its parameter's support, or a needed prior is missing.
    """
    given = given.chosen if isinstance(given, Filled) else given
    faults = Faults()
    for name in given:
        with faults:
            if name not in slots:
                raise BadInput(f"priors.{name}: the model has no such parameter; {did_you_mean(name, slots)}")
    filled = {}
    for name, slot in slots.items():
        with faults:
            filled[name] = _fill(name, slot, given)
    faults.refuse()
    return Filled(filled, given)


def _fill(name: str, slot: Slot, given: Mapping[str, Any]) -> Prior:
    """Return the prior of one slot: the one given, or the default."""
    prior = parse_prior(name, given[name]) if name in given else slot.default
    if prior is None:
        raise BadInput(
            f"priors.{name} is missing: {slot.meaning} is in {slot.units}, where no default can be right; "
            f"give a prior in those units"
        )
    if not _inside(prior, slot.support):
        raise BadInput(
            f"priors.{name}: {prior} reaches outside {_SUPPORT_IN_WORDS[slot.support]}, "
            f"where {slot.meaning} lives; choose a distribution on that range"
        )
    if prior.times_scale and not (slot.default is not None and slot.default.times_scale):
        raise BadInput(
            f"priors.{name} is times_scale, but {slot.meaning} is in {slot.units}, which no scale of the outcome "
            "changes; leave times_scale out"
        )
    return prior


def _inside(prior: Prior, support: Support) -> bool:
    lower, upper = prior.scipy.support()
    allowed = {"real": (-np.inf, np.inf), "positive": (0, np.inf), "unit": (0, 1)}[support]
    return bool(lower >= allowed[0] and upper <= allowed[1])
