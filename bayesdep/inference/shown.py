"""How a notebook shows a fit: its verdict, what was asked first, and what to do next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from bayesdep.data.html_text import paragraph, piece, preformatted, rows_of_cells
from bayesdep.inference.primary import Primary
from bayesdep.inference.ropes import values_at
from bayesdep.models.model import ExactPosterior, Model
from bayesdep.numerics.rounding import as_text, decimals_of_each, probability_as_text

_MOST = 20  # rows of estimands in a notebook
_MOST_LINES = 8  # and in a terminal
_QUANTILES = (0.5, 0.025, 0.975)
_ALONE = "all"  # the visit, or the arm, of a table that has no other
_NEXT = """\
bd.table(fit).to("table.docx")      # what a paper prints; also "sample", "supplement"
bd.report(fit, "report.html")       # what a referee asks for
bd.sentences(fit)                   # the answers in words
bd.plot_forest(fit)                 # estimates as a figure
bd.summarise(fit)                   # every estimand"""


@dataclass(frozen=True)
class Shown:
    """What is shown of a fit.

    Parameters
    ----------
    model, data, estimands, manifest
        Of the fit.
    verdicts
        The sentences of the verdicts on sampling and on the model, and whether each passed.
    primary
        What was asked first.
    exact
        The exact posterior, where the draws are of it.
    """

    model: Model
    data: xr.Dataset
    estimands: xr.Dataset
    manifest: Mapping[str, Any]
    verdicts: Mapping[str, bool]
    primary: Sequence[Primary]
    exact: ExactPosterior | None

    @property
    def rows(self) -> list[list[str]]:
        """A row of cells for each value of a primary estimand, as many as are shown."""
        return [
            _row(self.estimands[name], at, draws.values.astype(float), self.exact)
            for name, at, draws in self._values[:_MOST]
        ]

    @property
    def count(self) -> int:
        """How many values the primary estimands have."""
        return len(self._values)

    @property
    def _values(self) -> list[tuple[str, dict[str, str], xr.DataArray]]:
        return [
            (one.estimand, dict(at), draws)
            for one in self.primary
            for at, draws in values_at(self.estimands, one.estimand, one.at)
        ]

    @property
    def how(self) -> str:
        """The model and how it was sampled."""
        m = self.manifest
        tables = int(m.get("tables", 1))
        each = f" for each of {tables} tables" if tables > 1 else ""
        size = f"{m['chains']} chains x {m['draws']} draws{each}"
        return f"{type(self.model).__name__}, {size}, {m['sampler']}, seed {m['seed']}"

    @property
    def source(self) -> str:
        """What the data are."""
        return str(self.data.attrs.get("title") or self.data.attrs.get("source", "data"))

    @property
    def notes(self) -> str:
        """How many notes there are on how the table was read, and where they are: they may quote what stands in it."""
        count = len(str(self.data.attrs.get("notes", "")).splitlines())
        return f"Notes on how it was read ({count}): fit.data.attrs['notes']." if count else ""


def fit_as_text(shown: Shown) -> str:
    """Return a fit as a terminal shows it.

    Parameters
    ----------
    shown
        What is shown of it.

    Returns
    -------
    str
        The verdict, what was asked first, and what to do next.
    """
    mark = "SYNTHETIC DATA: " if shown.data.attrs.get("synthetic") else ""
    rows = shown.rows[:_MOST_LINES]
    lines = []
    for about, labels, median, interval, probability, null, units in rows:
        where = f" [{labels}]" if labels else ""
        value = f"{median} ({interval})" if median and interval else median or interval
        sure = f", P({null}) {probability}" if probability else ""
        lines.append(f"  {about}{where}: {value} {units}{sure}")
    left = shown.count - len(rows)
    more = [f"  and {left} more"] if left else []
    notes = [shown.notes] if shown.notes else []
    following = [line.split("#")[0].strip() for line in _NEXT.splitlines()]
    return "\n".join(
        [*shown.verdicts, shown.how, f"{mark}{shown.source}", *lines, *more, *notes, f"next: {', '.join(following)}"]
    )


def fit_as_html(shown: Shown) -> str:
    """Return a fit as a notebook shows it: nothing of its data but where they are from.

    Parameters
    ----------
    shown
        What is shown of it.

    Returns
    -------
    str
        HTML.
    """
    rows = [
        [*first, f"{probability} ({null})" if probability else "", units]
        for *first, probability, null, units in shown.rows
    ]
    cut = f"{_MOST} of {shown.count} rows; bd.summarise(fit) has all." if shown.count > _MOST else ""
    mark = (
        "SYNTHETIC DATA: these numbers describe a simulation, not patients."
        if shown.data.attrs.get("synthetic")
        else ""
    )
    return piece(
        paragraph(mark, warning=True),
        *(paragraph(sentence, warning=not passed) for sentence, passed in shown.verdicts.items()),
        paragraph(f"{shown.how}. {shown.source}. {shown.notes}".strip()),
        rows_of_cells("", ["Asked first", "", "Median", "95% interval", "P(above no effect)", "Units"], rows),
        paragraph(cut),
        paragraph("Next:"),
        preformatted(_NEXT),
    )


def _row(values: xr.DataArray, at: Mapping[str, str], draws: np.ndarray, exact: ExactPosterior | None) -> list[str]:
    """A value of an estimand: what it is, labels, median, interval, probability above no effect, no effect, units."""
    several = [label for dim, label in at.items() if label != _ALONE or values.sizes[dim] > 1]
    about = [str(values.attrs.get("description", values.name)), ", ".join(several)]
    units = str(values.attrs.get("units", ""))
    if "probability" in values.attrs:
        return [*about, f"{draws.mean():.2f}", "", "", "", units]
    if "reciprocal_of" in values.attrs:  # its interval may run through infinity
        return [*about, "", "see bd.summarise(fit)", "", "", units]
    null = float(values.attrs.get("null", 0.0))
    known = None if exact is None else exact.marginals.get((str(values.name), tuple(at.items())))
    if known is None:
        median, lower, upper = np.quantile(draws, _QUANTILES)
        errors = [_error_of_quantile(draws, q) for q in _QUANTILES]
        above, error_above = float(np.mean(draws > null)), _error_of_share(draws > null)
    else:
        median, lower, upper = known.quantile(np.array(_QUANTILES))
        errors = [0.0] * 3
        above, error_above = 1 - float(known.cdf(null)) if np.isfinite(null) else np.nan, 0.0
    digits = decimals_of_each([median, lower, upper], errors, null)
    middle, *ends = (as_text(x, d) for x, d in zip((median, lower, upper), digits, strict=True))
    p = [probability_as_text(above, error_above), f"> {null:g}"] if np.isfinite(null) else ["", ""]
    return [*about, middle, f"{ends[0]} to {ends[1]}", *p, units]


def _error_of_quantile(draws: np.ndarray, prob: float) -> float:
    """Monte Carlo standard error, draws of shape (chain, draw); 0 where it is not known, as for one value alone."""
    error = float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="quantile", prob=prob))
    return error if np.isfinite(error) else 0.0


def _error_of_share(is_above: np.ndarray) -> float:
    """Monte Carlo standard error of a share of draws, shape (chain, draw); one draw where all or none of them are."""
    if is_above.all() or not is_above.any():
        return 1 / is_above.size
    return float(array_stats.mcse(is_above.astype(float), chain_axis=0, draw_axis=1, method="mean"))
