"""The ledger: published numbers compared with the posterior."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput, Faults, did_you_mean
from bayesdep.inference.named_estimands import require_estimand
from bayesdep.inference.ropes import Rope
from bayesdep.reporting.estimands import in_words, is_probability

_SURE = 0.95
# what a verdict on real data is called where the data are synthetic; the others stay
_RECOVERED = {"yes": "recovered", "no": "not recovered", "leans": "not recovered", "undecided": "not recovered"}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published number that an estimand is compared with.

    Parameters
    ----------
    estimand
        Name of the estimand.
    source
        Where the number was published, to the page or table.
    at
        The estimand's coordinates, label by dim.
    value, lower, upper
        The number and its interval, as far as published.
    direction
        ``"above"`` or ``"below"``: a published claim that the estimand is on that side of its null value. ``"none"``: a
        claim of no difference, which needs a region of practical equivalence.
    p
        The published P value of that claim.
    statistic
        The posterior summary that it is compared with: ``"median"`` or ``"mean"``. For an estimand whose draws are
        zeros and ones it is the mean.
    units
        Units of the published number.
    scale
        The scale of the published number, if it differs from the estimand's: then the two are shown together but not
        compared.
    note
        A remark on the published number for the reader.
    """

    estimand: str
    source: str
    at: Mapping[str, str] = field(default_factory=dict)
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    direction: Literal["above", "below", "none"] | None = None
    p: float | None = None
    statistic: Literal["median", "mean"] = "median"
    units: str = ""
    scale: str = ""
    note: str = ""

    @property
    def label(self) -> str:
        """The estimand with its coordinates."""
        return self.estimand + (f"[{', '.join(self.at.values())}]" if self.at else "")


def refuse_unknown(rows: Sequence[Published], estimands: xr.Dataset, ropes: Sequence[Rope] = ()) -> None:
    """Refuse published rows that name an unknown estimand or coordinate.

    Parameters
    ----------
    rows
        The plan's published numbers.
    estimands
        The model's estimands, at any draws.
    ropes
        The plan's regions of practical equivalence.

    Raises
    ------
    BadInput
        Naming the row and the nearest name.
    """
    faults = Faults()
    for i, row in enumerate(rows, start=1):
        with faults:
            _refuse_unknown(row, f"[[published]] row {i}", estimands, ropes)
    faults.refuse()


def _refuse_unknown(row: Published, place: str, estimands: xr.Dataset, ropes: Sequence[Rope]) -> None:
    """Refuse a published row that names an unknown estimand or coordinate, or says nothing."""
    require_estimand(row.estimand, estimands, *row.at.values(), place=f"{place}: ")
    values = estimands[row.estimand]
    dims = [str(d) for d in values.dims if d not in ("chain", "draw")]
    for dim in dims:
        if dim not in row.at and values.sizes[dim] > 1:
            raise BadInput(f"{place}: '{row.estimand}' has a value for each {dim}; add at = {{ {dim} = \"...\" }}")
    for dim, label in row.at.items():
        if dim not in dims:
            raise BadInput(
                f"{place}: '{row.estimand}' has no dim '{dim}'; {did_you_mean(dim, dims) if dims else 'remove it'}"
            )
        labels = [str(v) for v in values[dim].values]
        if label not in labels:
            raise BadInput(f"{place}: '{label}' is no {dim} of '{row.estimand}'; {did_you_mean(label, labels)}")
    if row.direction is not None and np.isnan(float(values.attrs.get("null", 0.0))):
        raise BadInput(
            f"{place}: '{row.estimand}' has no value of no effect to be above or below; give value, or lower and "
            "upper, instead of direction"
        )
    if row.direction == "none" and not any(_is_of(rope, row) for rope in ropes):
        raise BadInput(
            f"{place}: direction = 'none' says that '{row.label}' makes no difference, which only a region of "
            "practical equivalence can show; add [[rope]] with this estimand, a margin and its reason"
        )
    if row.value is None and row.lower is None and row.upper is None and row.direction is None:
        raise BadInput(
            f"{place}: nothing is published about '{row.estimand}'; give value, lower and upper, or direction"
        )


def _is_of(rope: Rope, row: Published) -> bool:
    """Whether a region is of the value that a row names."""
    return rope.estimand == row.estimand and all(row.at.get(dim, label) == label for dim, label in rope.at.items())


def ledger(
    rows: Sequence[Published],
    summary: pd.DataFrame,
    equivalence: pd.DataFrame | None = None,
    *,
    synthetic: bool = False,
) -> pd.DataFrame:
    """Compare published numbers with the posterior.

    Parameters
    ----------
    rows
        Published numbers, checked by :func:`refuse_unknown`.
    summary
        As :func:`bayesdep.summarise` returns it.
    equivalence
        As :func:`bayesdep.check_equivalence` returns it; needed where a row claims no difference.
    synthetic
        Whether the data were simulated. A posterior of simulated data recovers a published number or does not; it says
        nothing on whether that number is right, so it does not agree with it.

    Returns
    -------
    pandas.DataFrame
        One row per published number: ``estimand``, ``published``, ``published_lower``, ``published_upper``,
        ``published_as`` (in words), ``posterior``, ``lower``, ``upper``, ``prob`` (of the published direction),
        ``interval`` (in words where it passes through infinity), ``units``, ``agrees``, ``recovered``, ``source`` and
        ``note``. For an
        estimand whose draws are zeros and ones, ``lower`` and ``upper`` are missing and ``interval`` has its Monte
        Carlo error. ``agrees`` is "yes" when the published number is inside the posterior interval (an interval: when
        it contains the posterior's centre) or the published direction has a probability of 0.95; "leans" when that
        probability is above one half; "other scale" when not comparable; "not known" where the data leave the estimand
        undefined; "not judged" for a number compared with such a probability, which has no interval; otherwise "no".
        Where no difference was published, ``prob`` is the probability of practical equivalence and ``agrees`` is "yes"
        where a difference that matters is absent, "no" where one is present, otherwise "undecided".
        ``agrees`` is empty for synthetic data, and ``recovered`` for real data: it is "recovered" where ``agrees``
        would be "yes", "not recovered" where it would be "no", "leans" or "undecided", and otherwise the same.
    """
    rows_out = []
    for row in rows:
        matching = summary[summary["estimand"] == row.estimand]
        for dim, label in row.at.items():
            matching = matching[matching[dim] == label]
        mine = matching.iloc[0]
        statistic = "mean" if is_probability(mine) else row.statistic
        above = float(mine["prob_gt_null"])
        prob = {"above": above, "below": 1 - above}.get(str(row.direction))
        inside = _equivalence_of(row, equivalence)
        if inside is not None:
            prob = float(inside["prob_inside"])
        verdict = _verdict(row, mine, statistic, prob) if inside is None else _verdict_on_absence(inside)
        rows_out.append(
            {
                "estimand": row.label,
                "published": row.value,
                "published_lower": row.lower,
                "published_upper": row.upper,
                "published_as": _in_words(row, mine["null"], inside),
                "posterior": mine[statistic],
                "lower": mine["lower"],
                "upper": mine["upper"],
                "prob": prob,
                "interval": in_words(mine) if is_probability(mine) else mine["interval"],
                "units": mine["units"],
                "agrees": "" if synthetic else verdict,
                "recovered": _RECOVERED.get(verdict, verdict) if synthetic else "",
                "source": f"{row.source}: {row.scale}" if row.scale else row.source,
                "note": row.note,
            }
        )
    return pd.DataFrame(rows_out)


def _equivalence_of(row: Published, table: pd.DataFrame | None) -> "pd.Series[Any] | None":
    """The row of the table of equivalence that is of a published claim of no difference."""
    if row.direction != "none":
        return None
    assert table is not None  # refused by refuse_unknown where no region is stated
    matching = table[table["estimand"] == row.estimand]
    for dim, label in row.at.items():
        matching = matching[matching[dim] == label]
    return matching.iloc[0]


def _verdict_on_absence(inside: "pd.Series[Any]") -> str:
    if np.isnan(inside["prob_inside"]):
        return "not known"
    return {"absent": "yes", "undecided": "undecided"}.get(inside["conclusion"], "no")


def _in_words(row: Published, null: float, inside: "pd.Series[Any] | None") -> str:
    parts = []
    if row.value is not None:
        parts.append(f"{row.value:g}")
    if row.lower is not None and row.upper is not None:
        parts.append(f"({row.lower:g}, {row.upper:g})")
    elif row.lower is not None or row.upper is not None:
        parts.append(f"from {row.lower:g}" if row.lower is not None else f"to {row.upper:g}")
    if inside is not None:
        parts.append("no difference" + (f", P {row.p:g}" if row.p is not None else ""))
    elif row.direction is not None:
        side = {"above": ">", "below": "<"}[row.direction]
        parts.append(f"{side} {null:g}" + (f", P {row.p:g}" if row.p is not None else ""))
    return " ".join(parts)


def _verdict(row: Published, mine: "pd.Series[Any]", statistic: str, prob: float | None) -> str:
    if row.scale:
        return "other scale"
    if np.isnan(mine["median"]) and not is_probability(mine):
        return "not known"
    if prob is not None:
        return "yes" if prob >= _SURE else "leans" if prob > 0.5 else "no"
    if row.value is None:
        lower = row.lower if row.lower is not None else -float("inf")
        upper = row.upper if row.upper is not None else float("inf")
        return "yes" if lower <= mine[statistic] <= upper else "no"
    if is_probability(mine):
        return "not judged"
    outside = mine["lower"] < 0 < mine["upper"] and bool(mine["interval"])  # an interval through infinity
    if outside:
        inside = row.value <= mine["lower"] or row.value >= mine["upper"]
    else:
        inside = mine["lower"] <= row.value <= mine["upper"]
    return "yes" if inside else "no"


def ledger_in_words(ledger: pd.DataFrame) -> pd.DataFrame:
    """Return the ledger for readers: one line per number, with both values side by side.

    Parameters
    ----------
    ledger
        As :func:`ledger` returns it.

    Returns
    -------
    pandas.DataFrame
        Columns ``Estimand``, ``Published``, ``Posterior``, ``Agrees`` (``Recovered`` where the data are synthetic),
        ``Published in``, ``Note``.
    """
    rows = []
    for _, row in ledger.iterrows():
        width = abs(row["upper"] - row["lower"])
        digits = int(np.clip(1 - np.floor(np.log10(width)), 0, 4)) if np.isfinite(width) and width > 0 else 2
        interval = row["interval"] or f"{row['lower']:.{digits}f}, {row['upper']:.{digits}f}"
        posterior = f"{row['posterior']:.{digits}f} ({interval})" if not np.isnan(row["posterior"]) else "not known"
        if row["interval"].startswith("P ="):
            posterior = row["interval"]
        if row["prob"] is not None and np.isfinite(row["prob"]):
            posterior += f", P {row['prob']:.3f}"
        rows.append(
            {
                "Estimand": row["estimand"],
                "Published": row["published_as"],
                "Posterior": posterior,
                ("Recovered" if row["recovered"] else "Agrees"): row["recovered"] or row["agrees"],
                "Published in": row["source"],
                "Note": row["note"],
            }
        )
    return pd.DataFrame(rows)
