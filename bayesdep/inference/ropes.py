"""Regions of practical equivalence: which values of an estimand are too small to matter, stated with the reason."""

import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput, Faults, did_you_mean
from bayesdep.data.magnitude import SIZES, is_workable
from bayesdep.inference.named_estimands import require_estimand

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Rope:
    """A region of practical equivalence of an estimand: values that make no difference to patients.

    Parameters
    ----------
    estimand
        Name of the estimand.
    reason
        Why these values do not matter, with its source; a margin without a reason is refused.
    margin
        Half the region's width around no effect (0), in the estimand's units.
    lower, upper
        The region's ends, where it is not symmetric, or no effect is not 0 (a ratio).
    at
        The estimand's coordinates, label by dim; a dim that is left out stands for all its labels.
    level
        The probability from which an effect counts as present or absent.

    Raises
    ------
    BadInput
        When the margin, its reason or the level is missing or impossible.

    Examples
    --------
    >>> Rope(estimand="mu", margin=0.24, reason="half of what patients notice").ends
    (-0.24, 0.24)
    """

    estimand: str
    reason: str
    margin: float | None = None
    lower: float | None = None
    upper: float | None = None
    at: Mapping[str, str] = field(default_factory=dict)
    level: float = LEVEL

    def __post_init__(self) -> None:
        for word in ("margin", "lower", "upper", "level"):
            value: Any = getattr(self, word)
            if value is not None and not _is_number(value):
                raise BadInput(f"rope of '{self.estimand}': {word} = {value!r}, but a number of size {SIZES} is needed")
        if not isinstance(self.reason, str) or not self.reason.strip():
            raise BadInput(
                f"rope of '{self.estimand}': reason is empty; say why smaller values do not matter, with a source"
            )
        if (self.margin is None) == (self.lower is None and self.upper is None):
            raise BadInput(
                f"rope of '{self.estimand}': give either margin (half the width around 0) or both lower and upper"
            )
        if self.margin is not None and not self.margin > 0:
            raise BadInput(f"rope of '{self.estimand}': margin = {self.margin:g}, but a number above zero is needed")
        if self.margin is None and (self.lower is None or self.upper is None or not self.lower < self.upper):
            raise BadInput(
                f"rope of '{self.estimand}': lower = {self.lower} and upper = {self.upper}, but two numbers are "
                "needed, the lower one first"
            )
        if not 0.5 < self.level < 1:
            raise BadInput(
                f"rope of '{self.estimand}': level = {self.level:g}, but a probability above 0.5 and below 1 is "
                "needed, such as 0.95"
            )
        object.__setattr__(self, "at", dict(self.at))

    @property
    def ends(self) -> tuple[float, float]:
        """The lower and the upper end of the region."""
        if self.margin is not None:
            return -float(self.margin), float(self.margin)
        assert self.lower is not None  # checked above
        assert self.upper is not None
        return float(self.lower), float(self.upper)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        numbers_ = {word: getattr(self, word) for word in ("margin", "lower", "upper")}
        given = {word: float(value) for word, value in numbers_.items() if value is not None}
        return {"estimand": self.estimand, "reason": self.reason, "at": dict(self.at), "level": self.level, **given}


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Real) and bool(is_workable(value))


def ropes_of(manifest: Mapping[str, Any]) -> tuple[Rope, ...]:
    """Restore the regions that a fit's manifest states.

    Parameters
    ----------
    manifest
        Of a fit.

    Returns
    -------
    tuple of Rope
        Empty where it states none.

    Raises
    ------
    BadInput
        When one is impossible.
    """
    return tuple(Rope(**rope) for rope in manifest.get("ropes", ()))


def values_at(
    estimands: xr.Dataset, name: str, at: Mapping[str, str]
) -> Iterator[tuple[tuple[tuple[str, str], ...], xr.DataArray]]:
    """Select every value of an estimand that lies at some coordinates.

    Parameters
    ----------
    estimands
        Draws with dims chain and draw.
    name, at
        The estimand, and labels of some or all of its dims.

    Yields
    ------
    coordinates : tuple
        Pairs of dim and label.
    draws : xarray.DataArray
        Dims (chain, draw).
    """
    values = estimands[name]
    dims = [str(d) for d in values.dims if d not in ("chain", "draw")]
    labels = [[(i, str(v)) for i, v in enumerate(values[d].values) if at.get(d) in (None, str(v))] for d in dims]
    for index in np.ndindex(*(len(some) for some in labels)):
        chosen = [some[i] for some, i in zip(labels, index, strict=True)]
        place = {d: i for d, (i, _) in zip(dims, chosen, strict=True)}
        coordinates = tuple((d, label) for d, (_, label) in zip(dims, chosen, strict=True))
        yield coordinates, values.isel(place).transpose("chain", "draw")


def refuse_unknown_place(estimands: xr.Dataset, name: str, at: Mapping[str, str], place: str) -> None:
    """Refuse an estimand, or coordinates of one, that the fit does not have.

    Parameters
    ----------
    estimands
        Of a fit, or a template of them.
    name, at
        The estimand and some of its coordinates.
    place
        Where they stand, for the message.

    Raises
    ------
    BadInput
        Naming the nearest name.
    """
    require_estimand(name, estimands, *at.values(), place=f"{place}: ")
    values = estimands[name]
    dims = [str(d) for d in values.dims if d not in ("chain", "draw")]
    for dim, label in at.items():
        if dim not in dims:
            nearest = did_you_mean(dim, dims) if dims else "remove it"
            raise BadInput(f"{place}: '{name}' has no dim '{dim}'; {nearest}")
        labels = [str(v) for v in values[dim].values]
        if label not in labels:
            raise BadInput(f"{place}: '{label}' is no {dim} of '{name}'; {did_you_mean(label, labels)}")


def refuse_unknown_ropes(ropes: Sequence[Rope], estimands: xr.Dataset, *, called: str = "rope") -> None:
    """Refuse regions of estimands that the fit does not have, or whose value of no effect is not known.

    Parameters
    ----------
    ropes
        The regions.
    estimands
        Of the fit, or a template of them.
    called
        What a region is called where it was stated: "[[rope]] row" in a plan.

    Raises
    ------
    BadInput
        Naming the region's number and the remedy.
    """
    faults = Faults()
    for i, rope in enumerate(ropes, start=1):
        with faults:
            _refuse_unknown(rope, f"{called} {i}", estimands)
    faults.refuse()


def _refuse_unknown(rope: Rope, place: str, estimands: xr.Dataset) -> None:
    """Refuse a region of an unknown estimand, or of one without a value of no effect inside it."""
    refuse_unknown_place(estimands, rope.estimand, rope.at, place)
    attrs = estimands[rope.estimand].attrs
    null = float(attrs.get("null", 0.0))
    if "probability" in attrs or "reciprocal_of" in attrs or np.isnan(null):
        raise BadInput(
            f"{place}: '{rope.estimand}' has no value of no effect; name an estimand that has one, such as a "
            "difference or a ratio"
        )
    lower, upper = rope.ends
    if not lower <= null <= upper:
        remedy = "give lower and upper around it" if null else "give ends on both sides of it"
        raise BadInput(
            f"{place}: '{rope.estimand}' has no effect at {null:g}, which is not within {lower:g} to {upper:g}; "
            f"{remedy}"
        )
