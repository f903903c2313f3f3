"""The priors of a model as a table, before any data or in the units of a table."""

from typing import Any

import pandas as pd
import xarray as xr

from bayesdep.models.model import Model
from bayesdep.models.parts.described import justification
from bayesdep.models.parts.scale import priors_of
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.rounding import as_text, decimals
from bayesdep.reporting.documents import Printed
from bayesdep.reporting.tables import PaperTable


def priors(model: Model, table: Any = None) -> PaperTable:
    """Return a model's priors as a table: what each is of, and where it puts 95% of its probability.

    Parameters
    ----------
    model
        Any model.
    table
        The table that it is to be fitted to, or what its ``prepare`` made of one. Default priors are multiples of the
        outcome's scale, a standard deviation: with a table they are in the outcome's units, without one in multiples.

    Returns
    -------
    PaperTable
        It shows itself in a notebook; ``frame`` has the numbers, and ``to`` writes it.

    Raises
    ------
    BadInput
        When the model cannot read the table.

    Examples
    --------
    >>> import bayesdep as bd
    >>> table = bd.priors(bd.Meta(measure="standardised-difference")).frame.set_index("parameter")
    >>> table.loc["mu", ["lower", "upper"]].to_list()
    [-1.96, 1.96]
    """
    data = None if table is None else table if isinstance(table, xr.Dataset) else model.prepare(table)
    in_units = model.priors if data is None else priors_of(model, data)
    rows, texts = [], []
    for name, slot in model.slots.items():
        prior = in_units[name]
        lower, upper = prior.interval
        units = f"multiples of the outcome's scale ({slot.units})" if prior.times_scale else slot.units
        digits = decimals(lower, upper) + 1
        between = f"{as_text(lower, digits)} to {as_text(upper, digits)}"
        why = justification(model.priors[name], slot)
        about = {"parameter": name, "prior": str(prior), "meaning": slot.meaning}
        ends = {"lower": round(lower, digits), "upper": round(upper, digits)}
        rows.append({**about, **ends, "units": units, "justification": why})
        texts.append([name, f"{prior}{_multiple(model.priors[name], data)}", slot.meaning, between, units, why])
    head = [("", word) for word in ("Parameter", "Prior", "Meaning", "95% between", "Units", "Justification")]
    frame = pd.DataFrame(rows)
    frame.attrs = {"title": f"Priors of {type(model).__name__}."}
    return PaperTable(Printed(frame.attrs["title"], head, texts), frame)


def _multiple(prior: Prior, data: xr.Dataset | None) -> str:
    """Of which multiple of the outcome's scale a prior in the outcome's units was made."""
    return f" ({prior}, and scale is {float(data['scale']):.4g})" if data is not None and prior.times_scale else ""
