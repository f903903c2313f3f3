"""Units of an estimand ranked by the evidence that they lie above or below no effect, one by one and jointly."""

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.inference.fit import Fit
from bayesdep.inference.named_estimands import require_estimand

SURE = 0.95


def rank_evidence(fit: Fit, estimand: str = "log_ratio") -> pd.DataFrame:
    """Order the units of an estimand by the evidence that they lie above or below no effect.

    If forty analytes are each elevated with probability 0.95, the probability that all are elevated is smaller;
    ``joint`` says for how many the claim can be made at once. It is computed from the joint draws, so dependence
    between units (a person's general level, the mean over analytes) is accounted for, and no correction for
    multiplicity is needed.

    Parameters
    ----------
    fit
        Any fit.
    estimand
        Name of an estimand with a value of no effect.

    Returns
    -------
    pandas.DataFrame
        One row per unit, the most certain side first (ties: by distance from no effect in posterior sds): one
        column per dim, ``median``, ``lower``, ``upper`` (95%, equal-tailed; exponentiated to ratios when the estimand
        is a logarithm) and their ``units``, ``side`` (``"above"`` or ``"below"`` no effect), ``prob_above``,
        ``false_sign_rate``, ``prob_in_rope`` (of practical equivalence; NaN where none is set) and ``joint``, the
        probability that this unit and all before it lie on their sides. Units that the data leave undefined are left
        out. ``attrs["sentence"]`` is a summary in words.

    Raises
    ------
    BadInput
        When there is no such estimand, or it has no value of no effect.

    Examples
    --------
    >>> import bayesdep as bd
    >>> model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    >>> fit = bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)
    >>> bd.rank_evidence(fit, "sensitivity")[["side", "joint"]].round(2).to_numpy().tolist()
    [['above', 1.0]]
    """
    require_estimand(estimand, fit.estimands)
    values = fit.estimands[estimand]
    attrs = values.attrs
    null = float(attrs.get("null", 0.0))
    if np.isnan(null):
        raise BadInput(f"'{estimand}' has no value of no effect, so there are no sides; choose another estimand")
    if "reciprocal_of" in attrs:
        raise BadInput(f"'{estimand}' is one over '{attrs['reciprocal_of']}'; rank the evidence of that instead")
    dims = [str(d) for d in values.dims if d not in ("chain", "draw")]
    draws = values.transpose("chain", "draw", *dims).values
    flat = draws.reshape(draws.shape[0] * draws.shape[1], -1).astype(float)
    labels = [[str(v) for v in values[d].values] for d in dims]
    units_table = (
        pd.MultiIndex.from_product(labels, names=dims).to_frame(index=False) if dims else pd.DataFrame(index=[0])
    )
    is_defined = ~np.isnan(flat).all(axis=0)
    flat, units_table = flat[:, is_defined], units_table[is_defined]
    above, below = (flat > null).mean(axis=0), (flat < null).mean(axis=0)
    spread = flat.std(axis=0)
    distance = np.abs(flat.mean(axis=0) - null) / np.where(spread > 0, spread, np.inf)
    order = np.lexsort((-distance, -np.maximum(above, below)))
    flat, above, below = flat[:, order], above[order], below[order]
    is_above = above >= below
    on_side = np.where(is_above, flat > null, flat < null)
    units = str(attrs.get("units", ""))
    is_log = units.startswith("log ")
    lower, median, upper = np.quantile(np.exp(flat) if is_log else flat, [0.025, 0.5, 0.975], axis=0)
    rope = [float(attrs.get(f"rope_{end}", np.nan)) for end in ("lower", "upper")]
    inside = ((flat >= rope[0]) & (flat <= rope[1])).mean(axis=0)
    table = units_table.iloc[order].reset_index(drop=True)
    table = table.assign(
        median=median,
        lower=lower,
        upper=upper,
        units=units.removeprefix("log "),
        side=np.where(is_above, "above", "below"),
        prob_above=above,
        false_sign_rate=1 - np.maximum(above, below),
        prob_in_rope=np.nan if np.isnan(rope).any() else inside,
        joint=np.logical_and.accumulate(on_side, axis=1).mean(axis=0),
    )
    table.attrs = {
        **fit.attrs,
        "sentence": _sentence(table, [d for d in dims if values.sizes[d] > 1] or dims[:1], is_log=is_log),
    }
    return table


def _sentence(table: pd.DataFrame, dims: list[str], *, is_log: bool) -> str:
    """Say how many units are on which side, one by one and jointly."""
    what = f"{dims[0]}s" if len(dims) == 1 else "estimates"
    words = {"above": "elevated" if is_log else "above no effect", "below": "lowered" if is_log else "below no effect"}
    sure = table[table["false_sign_rate"] < 1 - SURE]
    counts = {side: int((sure["side"] == side).sum()) for side in words}
    if sure.empty:
        return f"None of {len(table)} {what} lies on one side of no effect with P > {SURE:g}."
    claimed = [side for side in words if counts[side]]
    verb = "is" if counts[claimed[0]] == 1 else "are"
    each = " and ".join(f"{counts[side]} {words[side]}" for side in claimed)
    first, _, rest = each.partition(" ")
    text = f"Of {len(table)} {what}, {first} {verb} {rest} with P > {SURE:g}" + (" each" if len(sure) > 1 else "")
    together = int((table["joint"] >= SURE).sum())
    if len(sure) < 2 or together < 2:
        return f"{text}."
    sides = set(table["side"].iloc[:together])
    claim = f"are all {words[sides.pop()]}" if len(sides) == 1 else "all lie on the sides given"
    return f"{text}; together, that the first {together} {claim} has probability >= {SURE:g}."
