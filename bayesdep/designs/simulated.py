"""The result of every generator: a synthetic table, and the true values of its parameters."""

from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Simulated:
    """A synthetic table and the true parameters that it was drawn with.

    Parameters
    ----------
    table
        One row per unit, with a column ``origin`` and ``attrs["synthetic"] = True``.
    truth
        The value of every parameter, by name.
    """

    table: pd.DataFrame
    truth: dict[str, Any]
