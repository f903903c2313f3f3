"""Estimands by name, with an error that says why one is not available."""

import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean


class NoSuchEstimand(BadInput, KeyError):
    """There is no estimand of that name; also a KeyError, which xarray raises for any unknown name."""

    __str__ = Exception.__str__  # KeyError's own would put the sentence in quotes


class Estimands(xr.Dataset):  # type: ignore[no-untyped-call]  # xarray's hook for subclasses is not typed
    """A dataset whose error for an unknown name says why it is not available, and what to do."""

    __slots__ = ()

    def __getitem__(self, key):  # type: ignore[no-untyped-def, override, unused-ignore]  # xarray's is overloaded
        if isinstance(key, str) and key not in self:
            require_estimand(key, self)
        return super().__getitem__(key)


def require_estimand(name: str, estimands: xr.Dataset, *labels: str, place: str = "") -> None:
    """Refuse an estimand that is not available, with the model's reason where it gives one.

    Parameters
    ----------
    name
        Name of the estimand.
    estimands
        The available ones; attrs may name what is ``refused`` (``"risk; slope_in of us"``) and the ``remedy``.
    labels
        Labels of one of its values, which may be refused although others are available.
    place
        Where the name stands; the sentence begins with it.

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
    refused = set(str(estimands.attrs.get("refused", "")).split("; ")) - {""}
    for requested in (name, *(f"{name} of {label}" for label in labels)):
        if requested in refused:
            raise NoSuchEstimand(
                f"{place}'{requested}' is not estimated under these settings; {estimands.attrs['remedy']}"
            )
    if name not in estimands:
        nearest = did_you_mean(name, map(str, estimands.data_vars))
        raise NoSuchEstimand(f"{place}there is no estimand '{name}'; {nearest}")
