"""Tables as a paper prints them: what a model declares of them, filled with the numbers of a fit."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.inference.fit import Fit
from bayesdep.models.model import PrintsTables
from bayesdep.models.parts.paper import Estimates, Facts, Grid, Layout, Listing, Sample
from bayesdep.numerics.rounding import (
    as_text,
    decimals,
    decimals_of_each,
    decimals_of_error,
    number,
    probability_as_text,
)
from bayesdep.reporting.documents import Printed, as_html, write_printed
from bayesdep.reporting.estimands import is_probability, summarise, summarise_draws
from bayesdep.reporting.export import warning_of, write_table

_OF_NUMBERS = ("csv", "parquet", "json", "xlsx")  # formats that programs read: the numbers, not their texts
SAMPLE, MAIN, SUPPLEMENT = "sample", "main", "supplement"


@dataclass(frozen=True, eq=False)
class PaperTable:
    """One table of a paper.

    Parameters
    ----------
    printed
        Its texts: caption, headings, rows and notes.
    frame
        Its numbers, rounded as they are printed: an estimate, the ends of its interval and the probability of lying
        above no effect are columns of their own. ``attrs`` has the verdict on the fit, and whether data are synthetic.
    """

    printed: Printed
    frame: pd.DataFrame

    def to(self, path: str | os.PathLike[str], *, spreadsheet_safe: bool = False) -> Path:
        """Write the table to a file, in the format of its suffix.

        Documents (``.docx``, ``.html``, ``.tex``) show it as a paper prints it; ``.tex`` is a longtable with caption,
        which needs the LaTeX packages longtable and booktabs. Files of numbers (``.csv``, ``.xlsx``, ``.parquet``,
        ``.json``) hold ``frame``, with the verdict on the fit and whether the data are synthetic in the first two
        columns.

        Parameters
        ----------
        path
            The file; an existing one is replaced only by a complete one.
        spreadsheet_safe
            As in :func:`bayesdep.export`.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        BadInput
            When the format is unknown, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix[1:].lower() in _OF_NUMBERS:
            return write_table(self.frame, path, spreadsheet_safe=spreadsheet_safe)
        return write_printed(self.printed, path)

    def _repr_html_(self) -> str:
        return as_html(self.printed)

    def __repr__(self) -> str:
        return self.printed.as_text()


def table(fit: Fit, name: str = MAIN) -> PaperTable:
    """Return one of the tables that a paper prints of a fit.

    Estimates are posterior medians with equal-tailed 95% intervals. Numbers are rounded to the precision of the draws:
    one unit of the last decimal is at least the Monte Carlo standard error of every number printed with it (and the
    interval's width has at most two significant digits). An end of an interval that would be printed as no effect,
    though it is not, has more decimals where the draws allow it.

    Parameters
    ----------
    fit
        Any fit.
    name
        ``"main"``, the answer; ``"sample"``, the characteristics of the sample by arm or group, where the model knows
        them; ``"supplement"``, all estimands that are not in the main table; and what else the model has, such as
        ``"studies"`` of a meta-analysis.

    Returns
    -------
    PaperTable
        It shows itself in a notebook; its method ``to`` writes it.

    Raises
    ------
    BadInput
        When the fit has no such table.

    Examples
    --------
    >>> import bayesdep as bd
    >>> model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    >>> fit = bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)
    >>> bd.table(fit).frame.set_index("quantity").loc["Sensitivity", ["estimate", "lower", "upper"]].to_list()
    [0.78, 0.57, 0.92]
    """
    layouts = layouts_of(fit)
    if name not in layouts:
        raise BadInput(f"this {type(fit.model).__name__} fit has no table '{name}'; {did_you_mean(name, layouts)}")
    layout = layouts[name]
    if isinstance(layout, Sample):
        head, texts, frame = _sample(layout)
    elif isinstance(layout, Grid):
        head, texts, frame = _Grid(fit, layout).made()
    else:
        head, texts, frame = _listing(fit, layout)
    frame.attrs = fit.attrs | {"title": layout.title}
    notes = (*layout.notes, *((_how(fit),) if _names(layout) else ()))
    return PaperTable(Printed(layout.title, head, texts, notes, warning_of(frame), frame.attrs), frame)


def layouts_of(fit: Fit) -> dict[str, Layout]:
    """Return the tables that a fit has, by name.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    dict of Layout
        The main one first, the supplement last.
    """
    declared = dict(fit.model.tables(fit.data)) if isinstance(fit.model, PrintsTables) else {}
    main = declared.pop(MAIN, None)
    if main is None or not _is_filled(main, fit):
        main = _default(fit)
    others = {name: layout for name, layout in declared.items() if _is_filled(layout, fit)}
    printed = {name for layout in (main, *others.values()) for name in _names(layout)}
    rest = {str(n): str(v.attrs["description"]) for n, v in fit.estimands.data_vars.items() if n not in printed}
    supplement = Listing("All other estimands.", rest, unsigned=tuple(n for n in rest if _is_unsigned(n, fit)))
    return {MAIN: main, **others, **({SUPPLEMENT: supplement} if rest else {})}


def _is_unsigned(name: str, fit: Fit) -> bool:
    """Whether no draw of an estimand lies below zero and that is where it has no effect: a spread, or a share."""
    draws = fit.estimands[name]
    return float(draws.attrs.get("null", 0.0)) == 0 and bool((draws.values >= 0).all())


def _default(fit: Fit) -> Layout:
    """What a study asks first, and the rows of its forest plot: for a model that declares no tables."""
    forest = fit.model.forest
    names = (*fit.model.primary_estimands, *forest.rows, forest.summary, forest.prediction)
    estimands = fit.estimands.data_vars
    return Listing(
        "Estimates.", {n: str(estimands[n].attrs["description"]) for n in names if n is not None and n in estimands}
    )


def _names(layout: Layout) -> set[str]:
    if isinstance(layout, Listing):
        return set(layout.estimands)
    return {c.of for c in layout.columns if isinstance(c, Estimates)} if isinstance(layout, Grid) else set()


def _is_filled(layout: Layout, fit: Fit) -> bool:
    """Whether a fit has anything that the table shows."""
    if isinstance(layout, Sample) or (isinstance(layout, Grid) and layout.derived is not None):
        return True
    facts = isinstance(layout, Grid) and all(isinstance(c, Facts) for c in layout.columns)
    return facts or any(name in fit.estimands for name in _names(layout))


def _how(fit: Fit) -> str:
    """How estimates are to be read."""
    if fit.is_exact:
        return "Estimates are posterior medians (95% equal-tailed credible intervals)."
    return (
        "Estimates are posterior medians (95% equal-tailed credible intervals), rounded to their Monte Carlo standard "
        "errors. P: posterior probability."
    )


# One value


@dataclass(frozen=True)
class _Value:
    """One value of an estimand as it is printed: its text, the text of its probability, and its numbers rounded."""

    text: str
    p: str
    numbers: dict[str, float]


class _Values:
    """The values of estimands, summarised and rounded, by name and labels."""

    def __init__(self, fit: Fit, derived: xr.Dataset | None = None) -> None:
        self._fit = fit
        self.draws: dict[str, xr.DataArray] = {str(n): v for n, v in fit.estimands.data_vars.items()}
        self._rows = _by_labels(summarise(fit), fit.estimands)
        if derived is not None:
            self.draws |= {str(n): v for n, v in derived.data_vars.items()}
            self._rows |= _by_labels(summarise_draws(derived, fit.tables), derived)

    def dims(self, name: str) -> tuple[str, ...]:
        """The dims of an estimand beside those of draws."""
        return tuple(str(d) for d in self.draws[name].dims if d not in ("chain", "draw"))

    def labels(self, name: str, dim: str) -> list[str]:
        """The labels of one of its dims, as the summary has them."""
        return [str(label) for label in self.draws[name][dim].values]

    def value(self, name: str, at: Mapping[str, str], *, percent: bool = False, interval: bool = True) -> _Value | None:
        """Return a value as it is printed; None where there is none at these labels."""
        dims = self.dims(name)
        row = self._rows.get((name, tuple(at[d] for d in dims)))
        if row is None:
            return None
        place = {d: self.labels(name, d).index(at[d]) for d in dims}
        draws = self.draws[name].isel(place).transpose("chain", "draw").values.astype(float)
        factor = 100.0 if percent else 1.0
        is_exact = row["mcse"] == 0
        if is_probability(row):
            p = row["mean"]
            error = 0.0 if is_exact else float(row["mcse"])
            shown = probability_as_text(p, error)
            return _Value(shown, "", {"": round(p, decimals_of_error(error))})
        if np.isnan(row["median"]):
            return _Value("not known", "", {"": np.nan, "_lower": np.nan, "_upper": np.nan})
        numbers = [factor * row[word] for word in ("median", "lower", "upper")]
        errors = [0.0] * 3 if is_exact else [factor * e for e in self._errors(draws, row["level"])]
        if not interval:
            digits = min(1, decimals_of_error(factor * row["mcse"]))
            mean = factor * float(row["mean"])
            return _Value(number(mean, digits), "", {"": round(mean, digits)})
        if row["interval"]:  # one over another: the words have a decimal
            text = f"{number(numbers[0], 1)} ({row['interval']})"
            return _Value(text, self._p(row, draws), _rounded(numbers, [1, 1, 1]))
        each = decimals_of_each(numbers, errors, factor * row["null"])
        median, lower, upper = (number(x, d) for x, d in zip(numbers, each, strict=True))
        return _Value(f"{median} ({lower} to {upper})", self._p(row, draws), _rounded(numbers, each))

    def probability(self, name: str, at: Mapping[str, str]) -> float:
        """The probability of a value's lying above no effect, rounded as it is printed; NaN where there is none."""
        row = self._rows[name, tuple(at[d] for d in self.dims(name))]
        draws = self.draws[name].isel({d: self.labels(name, d).index(at[d]) for d in self.dims(name)}).values
        digits = min(max(decimals_of_error(self._error_of_p(row, draws)), 1), 3)
        return float(f"{row['prob_gt_null']:.{digits}f}")  # as it is printed

    def _errors(self, draws: np.ndarray, level: float) -> Iterator[float]:
        """Monte Carlo standard errors of the median and of the interval's ends, over versions of the data."""
        for prob in (0.5, (1 - level) / 2, (1 + level) / 2):
            each = [
                float(array_stats.mcse(x, chain_axis=0, draw_axis=1, method="quantile", prob=prob))
                for x in np.split(draws, self._fit.tables)
            ]
            yield float(np.linalg.norm(each)) / self._fit.tables

    def _error_of_p(self, row: "pd.Series[Any]", draws: np.ndarray) -> float:
        if row["mcse"] == 0:
            return 0.0
        above = (draws > row["null"]).astype(float)
        if above.min() == above.max():
            return 1 / draws.size  # all draws on one side: the error is at most of this order
        return float(array_stats.mcse(above.reshape(draws.shape), chain_axis=0, draw_axis=1, method="mean"))

    def _p(self, row: "pd.Series[Any]", draws: np.ndarray) -> str:
        p = row["prob_gt_null"]
        return "" if np.isnan(p) else probability_as_text(float(p), self._error_of_p(row, draws))

    def null(self, name: str) -> float:
        """The estimand's value of no effect."""
        attrs = self.draws[name].attrs
        return 0.0 if "reciprocal_of" in attrs else float(attrs.get("null", 0.0))


def _by_labels(summary: pd.DataFrame, draws: xr.Dataset) -> dict[tuple[str, tuple[str, ...]], "pd.Series[Any]"]:
    dims = {str(n): [str(d) for d in v.dims if d not in ("chain", "draw")] for n, v in draws.data_vars.items()}
    return {(row["estimand"], tuple(str(row[d]) for d in dims[row["estimand"]])): row for _, row in summary.iterrows()}


def _rounded(numbers: list[float], digits: list[int]) -> dict[str, float]:
    ends = ("", "_lower", "_upper")
    return {end: round(float(x), d) for end, x, d in zip(ends, numbers, digits, strict=True)}


# Rows and columns

# of rows, where a dim's name is not what a paper calls it
_HEADINGS = {
    "reported": "Time",
    "marker_reported": "Time",
    "later": "Time",
    "cell": "Step",
    "part": "Moderator",
    "before": "State before",
    "up_to": "Category or better",
}


def _heading(dim: str) -> str:
    return _HEADINGS.get(dim, dim.replace("_", " ").capitalize())


@dataclass(frozen=True)
class _Column:
    """One printed column: two lines of headings, and the names of its numbers."""

    head: tuple[str, str]
    source: Estimates | Facts
    label: str  # of `over`; empty where there is none
    is_p: bool = False

    @property
    def name(self) -> str:
        of = self.source.of if isinstance(self.source, Estimates) else self.source.name
        return f"{of}_{self.label}" if self.label else of


class _Grid:
    """A grid filled with the values of a fit."""

    def __init__(self, fit: Fit, layout: Grid) -> None:
        self.values = _Values(fit, None if layout.derived is None else layout.derived(fit.posterior))
        self.columns = [c for c in layout.columns if isinstance(c, Facts) or c.of in self.values.draws]
        dims = {d for c in self.columns for d in self._dims(c)}
        self.rows = [d for d in layout.rows if d in dims]

    def _dims(self, column: Estimates | Facts) -> tuple[str, ...]:
        return self.values.dims(column.of) if isinstance(column, Estimates) else tuple(map(str, column.values.dims))

    def _labels(self, column: Estimates | Facts, dim: str) -> list[str]:
        if isinstance(column, Estimates):
            return self.values.labels(column.of, dim)
        return [str(label) for label in column.values[dim].values]

    def made(self) -> tuple[list[tuple[str, str]], list[list[str]], pd.DataFrame]:
        """Headings, rows of texts, and the frame of numbers."""
        columns = [one for column in self.columns for one in self._spread(column)]
        of_rows = [
            list(dict.fromkeys(x for c in self.columns if dim in self._dims(c) for x in self._labels(c, dim)))
            for dim in self.rows
        ]
        head = [("", _heading(dim)) for dim in self.rows] + [c.head for c in columns]
        texts, numbers = [], []
        for labels in product(*of_rows):
            at = dict(zip(self.rows, labels, strict=True))
            cells = [self._cell(column, at) for column in columns]
            if all(text == "" for text, _ in cells):
                continue
            texts.append([*labels, *(text for text, _ in cells)])
            numbers.append({**at, **{name: x for _, found in cells for name, x in found.items()}})
        return head, texts, pd.DataFrame(numbers)

    def _spread(self, column: Estimates | Facts) -> Iterator[_Column]:
        """The columns over the labels of a dim, each with its probability where asked for."""
        labels = self._labels(column, column.over) if column.over in self._dims(column) else [""]
        several = len(labels) > 1
        for label in labels:
            yield _Column((column.heading if several else "", label if several else column.heading), column, label)
            if isinstance(column, Estimates) and column.probability:
                above = f"P(> {self.values.null(column.of):g})"
                yield _Column((column.heading, f"{label}, {above}") if several else ("", above), column, label, True)

    def _cell(self, column: _Column, at: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
        source = column.source
        here = {**at, **({source.over: column.label} if source.over else {})}
        if isinstance(source, Facts):
            if any(here[str(d)] not in self._labels(source, str(d)) for d in source.values.dims):
                return "", {column.name: np.nan}
            place = {str(d): self._labels(source, str(d)).index(here[str(d)]) for d in source.values.dims}
            return _fact(source.values.isel(place).item(), source.decimals, column.name)
        value = self.values.value(source.of, here, percent=source.percent, interval=source.interval)
        if column.is_p:
            missing = value is None or not value.p
            p = np.nan if missing else self.values.probability(source.of, here)
            return ("" if value is None else value.p), {f"{column.name}_p": p}
        if value is None:
            return "", {}
        return value.text, {f"{column.name}{end}": x for end, x in value.numbers.items()}


def _fact(value: Any, digits: int, name: str) -> tuple[str, dict[str, Any]]:
    if isinstance(value, str):
        return value, {name: value}
    if np.isnan(value):
        return "", {name: np.nan}
    return number(float(value), digits), {name: round(float(value), digits) if digits else int(value)}


def _listing(fit: Fit, layout: Listing) -> tuple[list[tuple[str, str]], list[list[str]], pd.DataFrame]:
    values = _Values(fit)
    texts, numbers = [], []
    for name, label in layout.estimands.items():
        if name not in values.draws:
            continue
        dims = values.dims(name)
        units = str(values.draws[name].attrs["units"])
        for labels in product(*(values.labels(name, d) for d in dims)):
            at = dict(zip(dims, labels, strict=True))
            value = values.value(name, at)
            if value is None:
                continue
            said = f"{label[:1].upper()}{label[1:]}"
            null = values.null(name)
            signed = bool(value.p) and name not in layout.unsigned
            above = f"{value.p} (> {null:g})" if signed else ""
            texts.append([said, ", ".join(labels), value.text, above, units])
            p = values.probability(name, at) if signed else np.nan
            found = {"estimate" if not end else end[1:]: x for end, x in value.numbers.items()}
            about = {"quantity": said, "estimand": name, "at": ", ".join(labels)}
            numbers.append({**about, **found, "null": null, "prob_gt_null": p, "units": units})
    head = ["Quantity", "", "Estimate (95% CrI)", "P(above no effect)", "Units"]
    kept = [k for k in range(len(head)) if k != 1 or any(row[1] for row in texts)]
    return [("", head[k]) for k in kept], [[row[k] for k in kept] for row in texts], pd.DataFrame(numbers)


# Samples


def _sample(layout: Sample) -> tuple[list[tuple[str, str]], list[list[str]], pd.DataFrame]:
    """The characteristics of a sample, by arm or group and of all together."""
    of = np.asarray(layout.group_of)
    members = [of == k for k in range(len(layout.labels))]
    labels = [*layout.labels]
    if len(members) > 1:
        members, labels = [*members, np.ones(len(of), bool)], [*labels, "All"]
    head = [("", "Characteristic"), *(("", f"{x} (n = {m.sum()})") for x, m in zip(labels, members, strict=True))]
    texts: list[list[str]] = []
    numbers: list[dict[str, Any]] = []

    def add(what: str, level: str, cells: list[tuple[str, dict[str, float]]]) -> None:
        texts.append([f"{what}: {level}" if level else what, *(text for text, _ in cells)])
        found = [
            {"characteristic": what, "level": level, "group": x, "n": int(m.sum()), **about}
            for x, m, (_, about) in zip(labels, members, cells, strict=True)
        ]
        numbers.extend(found)

    for one in layout.characteristics:
        values = np.asarray(one.values)
        if one.kind == "label":
            for level in dict.fromkeys(str(v) for v in values if v):
                add(one.name, level, [_share(values[m] == level, values[m] != "") for m in members])
            missing = values == ""
        else:
            values = values.astype(float)
            missing = np.isnan(values)
            if one.kind == "share":
                add(f"{one.name}, n (%)", "", [_share(values[m] > 0, ~missing[m]) for m in members])
            else:
                said = "mean (SD)" if one.kind == "number" else "median (quartiles)"
                add(f"{one.name}, {said}", "", [_moments(values[m], one.kind) for m in members])
        if missing.any():
            add(one.name, "not known", [_count(missing[m]) for m in members])
    return head, texts, pd.DataFrame(numbers)


def _count(which: np.ndarray) -> tuple[str, dict[str, float]]:
    return f"{which.sum()}", {"count": int(which.sum())}


def _share(which: np.ndarray, known: np.ndarray) -> tuple[str, dict[str, float]]:
    count, of = int((which & known).sum()), int(known.sum())
    if not of:
        return "", {}
    return f"{count} ({100 * count / of:.0f}%)", {"count": count, "percent": round(100 * count / of, 1)}


def _moments(values: np.ndarray, kind: str) -> tuple[str, dict[str, float]]:
    values = values[np.isfinite(values)]
    if not len(values):
        return "", {}
    if kind == "skewed":
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        digits = decimals(low, high)
        a, b, c = (number(x, digits) for x in (middle, low, high))
        numbers = {"median": middle, "q25": low, "q75": high}
        return f"{a} ({b} to {c})", {name: round(float(x), digits) for name, x in numbers.items()}
    mean, sd = float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else np.nan
    digits = decimals(0.0, sd) if np.isfinite(sd) else 1
    spread = f" ({as_text(sd, digits)})" if np.isfinite(sd) else ""
    return f"{number(mean, digits)}{spread}", {"mean": round(mean, digits), "sd": round(sd, digits)}
