"""Primary estimands: what a study asks first, stated in its plan or else taken from its model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.inference.ropes import refuse_unknown_place, values_at
from bayesdep.models.model import Model

_PLACE = "study.primary"
_IN_ORDER = ("visit", "day", "time", "later", "reported", "marker_reported")  # dims whose last label is asked for first


@dataclass(frozen=True)
class Primary:
    """A primary estimand.

    Parameters
    ----------
    estimand
        Its name.
    at
        Labels of some or all of its dims; a dim that is left out stands for all its labels.
    """

    estimand: str
    at: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"estimand": self.estimand, "at": dict(self.at)}


def read_primary(stated: Sequence[Any], estimands: xr.Dataset, place: str = _PLACE) -> tuple[Primary, ...]:
    """Read primary estimands as a plan states them, and refuse those that the fit does not have.

    Parameters
    ----------
    stated
        Each is a name (``"mu"``), a name with the labels of one value as tables print them
        (``"difference[infliximab, 12]"``), a mapping with ``estimand`` and ``at``, or a :class:`Primary`.
    estimands
        Of the fit, or a template of them.
    place
        Where they are stated, for messages.

    Returns
    -------
    tuple of Primary
        In the same order.

    Raises
    ------
    BadInput
        Naming the entry and the nearest name or label.
    """
    return tuple(_read(value, f"{place} {i}", estimands) for i, value in enumerate(stated, start=1))


def _read(value: Any, place: str, estimands: xr.Dataset) -> Primary:
    if isinstance(value, Primary):
        value = value.to_dict()
    if isinstance(value, str):
        name, bracket, labels = value.partition("[")
        if not bracket:
            refuse_unknown_place(estimands, name, {}, place)
            return Primary(name)
        refuse_unknown_place(estimands, name, {}, place)
        known = {", ".join(label for _, label in at): dict(at) for at, _ in values_at(estimands, name, {})}
        if labels.removesuffix("]") not in known:
            printed = [f"{name}[{text}]" if text else name for text in known]
            raise BadInput(f"{place}: '{name}' has no value '{value}'; {did_you_mean(value, printed)}")
        return Primary(name, known[labels.removesuffix("]")])
    if not _is_table(value):
        raise BadInput(
            f'{place} is {value!r}; write "NAME", "NAME[LABELS]" or {{ estimand = "NAME", at = {{ DIM = "LABEL" }} }}'
        )
    at = {str(dim): str(label) for dim, label in value.get("at", {}).items()}
    refuse_unknown_place(estimands, value["estimand"], at, place)
    return Primary(value["estimand"], at)


def _is_table(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("estimand"), str)
        and isinstance(value.get("at", {}), Mapping)
        and set(value) <= {"estimand", "at"}
    )


def default_primary(model: Model, estimands: xr.Dataset) -> tuple[Primary, ...]:
    """Return the primary estimands of a study that states none: the model's own, at the last visit or time.

    A logarithm that has a counterpart on the natural scale (``monotone_of``) is replaced by that.

    Parameters
    ----------
    model
        Any model.
    estimands
        Of a fit.

    Returns
    -------
    tuple of Primary
        At least one.
    """
    natural = {str(v.attrs.get("monotone_of")): str(name) for name, v in [*estimands.data_vars.items()][::-1]}
    found = []
    for name in model.primary_estimands:
        if name in estimands:
            shown = natural.get(name, name) if "log" in str(estimands[name].attrs.get("units", "")) else name
            values = estimands[shown]
            last = {dim: str(values[dim].values[-1]) for dim in _IN_ORDER if dim in values.dims}
            found.append(Primary(shown, last))
    return tuple(found) or (Primary(next(str(name) for name in estimands.data_vars)),)


def primary_of(manifest: Mapping[str, Any]) -> tuple[Primary, ...]:
    """Restore the primary estimands that a fit's manifest states.

    Parameters
    ----------
    manifest
        Of a fit.

    Returns
    -------
    tuple of Primary
        Empty where it states none.
    """
    return tuple(Primary(**one) for one in manifest.get("primary", ()))
