"""Estimands by name: what there is, and why another is not there."""

import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean


class NoSuchEstimand(BadInput, KeyError):
    """There is no estimand of that name; a KeyError too, as xarray has for any name that it does not know."""

    __str__ = Exception.__str__  # KeyError's own would put the sentence in quotes


class Estimands(xr.Dataset):  # type: ignore[no-untyped-call]
    """A dataset that says of a name it does not have why it is not there, and what to do."""

    __slots__ = ()

    def __getitem__(self, key):  # type: ignore[no-untyped-def, override, unused-ignore]
        if isinstance(key, str) and key not in self:
            require_estimand(key, self)
        return super().__getitem__(key)


def require_estimand(name: str, estimands: xr.Dataset, *labels: str, place: str = "") -> None:
    """Refuse an estimand that is not there, by what its model says of it where it does.

    Parameters
    ----------
    name
        What is asked for.
    estimands
        Those there are; attrs may name what is ``refused`` (``"risk; slope_in of us"``) and the ``remedy``.
    labels
        Labels of one of its values, which alone may be refused.
    place
        Where it is asked for, to begin the sentence with.

    Raises
    ------
    NoSuchEstimand
        With the remedy, or the nearest name.

    Examples
    --------
    >>> require_estimand("risks", xr.Dataset({"risk": 0.5}))
    Traceback (most recent call last):
    ...
    bayesdep.inference.named_estimands.NoSuchEstimand: there is no estimand 'risks'; did you mean 'risk'?
    """
    refused = str(estimands.attrs.get("refused", "")).split("; ")
    for asked in (name, *(f"{name} of {label}" for label in labels)):
        if asked in refused:
            raise NoSuchEstimand(f"{place}'{asked}' is not estimated as things are set; {estimands.attrs['remedy']}")
    if name not in estimands:
        known = did_you_mean(name, map(str, estimands.data_vars))
        raise NoSuchEstimand(f"{place}there is no estimand '{name}'; {known}")
