"""The published tables that ship with the package, each with its source."""

import tomllib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean

_TABLES = files("bayesdep.data") / "published"


@cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(f.name.removesuffix(".csv") for f in _TABLES.iterdir() if f.name.endswith(".csv")))


def table_file(name: str) -> Traversable:
    """Return the CSV file of a published table.

    Parameters
    ----------
    name
        Name as listed by :func:`list_datasets`.

    Returns
    -------
    importlib.resources.abc.Traversable
        The file inside the package.

    Raises
    ------
    BadInput
        When there is no such table.
    """
    if name not in _names():
        raise BadInput(f"there is no published table '{name}'; {did_you_mean(name, _names())}")
    return _TABLES / f"{name}.csv"


def _about(name: str) -> dict[str, Any]:
    return tomllib.loads((_TABLES / f"{name}.toml").read_text(encoding="utf-8"))


def list_datasets() -> pd.DataFrame:
    """List the published tables that ship with the package.

    Returns
    -------
    pandas.DataFrame
        Columns ``name``, ``rows``, ``title`` and ``citation``, one row per table.

    Examples
    --------
    >>> "kiraly2017_table2" in set(list_datasets().name)
    True
    """
    rows = []
    for name in _names():
        about = _about(name)
        rows.append((name, len(load(name)), about["title"], about["citation"]))
    return pd.DataFrame(rows, columns=["name", "rows", "title", "citation"])


def load(name: str) -> pd.DataFrame:
    """Return a published table.

    Parameters
    ----------
    name
        Name as listed by :func:`list_datasets`.

    Returns
    -------
    pandas.DataFrame
        The numbers as printed. ``attrs`` holds ``title``, ``citation``, ``place``, ``units`` (per column),
        ``inconsistencies`` (a list of sentences), ``source`` and ``synthetic`` (always False here).

    Raises
    ------
    BadInput
        When there is no such table, naming the nearest one.

    Examples
    --------
    >>> table = load("raison2013_responders")
    >>> table.attrs["units"]["responders"]
    'people with a drop of 50% or more in HAM-D at any visit'
    """
    with table_file(name).open("rb") as file:
        frame = pd.read_csv(file)
    frame.attrs.update(_about(name), source=f"published:{name}", synthetic=False)
    return frame
