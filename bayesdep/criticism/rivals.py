"""Which models can be compared: those of one family whose likelihoods are of the same outcomes."""

import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import observed_values
from bayesdep.models.model import Imputes, Model


@dataclass(frozen=True)
class Candidate:
    """A model of some data, by name, that may be compared with others.

    Parameters
    ----------
    name
        Its name in rankings.
    model
        The model.
    prepare
        Gives its prepared data; called once, and only where these are needed.
    """

    name: str
    model: Model
    prepare: Callable[[], xr.Dataset]

    @functools.cached_property
    def data(self) -> xr.Dataset:
        """Its prepared data."""
        return self.prepare()

    @property
    def imputes(self) -> bool:
        """Whether imputed values in its data depend on outcomes that leave-one-out would leave out."""
        return isinstance(self.model, Imputes) and self.model.imputes

    @property
    def outcomes(self) -> Hashable:
        """Its observed outcomes; equal for models that can be compared."""
        observed = sorted(observed_values(self.model.build(self.data)).items())
        return tuple((name, values.shape, values.dtype.kind, values.tobytes()) for name, values in observed)


def refuse_imputing(candidates: Sequence[Candidate]) -> None:
    """Refuse a comparison if one of the models imputes missing values.

    Parameters
    ----------
    candidates
        Models that were named to be compared.

    Raises
    ------
    BadInput
        Naming the first such model.
    """
    for one in candidates:
        if one.imputes:
            raise BadInput(
                f"plan '{one.name}' imputes moderators knowing all outcomes, so leaving one out would tell too little "
                "against it; compare plans that omit who lacks a moderator"
            )


def find_rivals(candidates: Sequence[Candidate]) -> tuple[list[list[Candidate]], list[str]]:
    """Find which of a study's models can be compared.

    Parameters
    ----------
    candidates
        All models of a study, also those that cannot be compared.

    Returns
    -------
    list of list of Candidate
        Groups of two or more of one family and of the same outcomes, families in alphabetical order.
    list of str
        Which models are left out and why, a clause for each reason.
    """
    notes = []
    if imputing := [one.name for one in candidates if one.imputes]:
        notes.append(f"imputed values depend on the outcomes to be left out: {', '.join(imputing)}")
    families = _split([one for one in candidates if not one.imputes], lambda one: one.model.family)
    if alone := [group[0].name for group in families if len(group) == 1]:
        notes.append(f"no other plan is of its family: {', '.join(alone)}")
    groups = [some for group in families if len(group) > 1 for some in _split(group, lambda one: one.outcomes)]
    if lone := [group[0].name for group in groups if len(group) == 1]:
        notes.append(f"no other plan of its family has the same outcomes: {', '.join(lone)}")
    groups = sorted((group for group in groups if len(group) > 1), key=lambda group: group[0].model.family)
    return groups, notes


def names_of(groups: Sequence[Sequence[Candidate]]) -> list[str]:
    """Name groups by their family, and those of one family also by their first member.

    Parameters
    ----------
    groups
        As :func:`find_rivals` returns them.

    Returns
    -------
    list of str
        One name each, all different.
    """
    families = [group[0].model.family for group in groups]
    return [
        family if families.count(family) == 1 else f"{family}-{group[0].name}"
        for family, group in zip(families, groups, strict=True)
    ]


def _split(candidates: Sequence[Candidate], by: Callable[[Candidate], Hashable]) -> list[list[Candidate]]:
    """Group by value, in order of first occurrence."""
    groups: dict[Hashable, list[Candidate]] = {}
    for one in candidates:
        groups.setdefault(by(one), []).append(one)
    return list(groups.values())
