"""How a notebook shows a fit: its verdict, what was asked first, and what to do next."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from bayesdep.data.html_text import paragraph, piece, preformatted, rows_of_cells
from bayesdep.inference.primary import Primary
from bayesdep.inference.ropes import values_at
from bayesdep.models.model import ExactPosterior, Model
from bayesdep.numerics.rounding import as_text, decimals

_MOST = 20  # rows of estimands
_NEXT = """\
bd.table(fit).to("table.docx")      # what a paper prints; also "sample", "supplement"
bd.report(fit, "report.html")       # what a referee asks for
bd.plot_forest(fit)                 # estimates as a figure
bd.summarise(fit)                   # every estimand"""


def fit_as_html(
    model: Model,
    data: xr.Dataset,
    estimands: xr.Dataset,
    manifest: Mapping[str, Any],
    verdicts: Mapping[str, bool],
    primary: Sequence[Primary],
    exact: ExactPosterior | None,
) -> str:
    """Return a fit as a notebook shows it: nothing of its data but where they are from.

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

    Returns
    -------
    str
        HTML.
    """
    rows = [
        _row(estimands[one.estimand], dict(at), draws.values.astype(float), exact)
        for one in primary
        for at, draws in values_at(estimands, one.estimand, one.at)
    ]
    cut = f"{_MOST} of {len(rows)} rows; bd.summarise(fit) has all." if len(rows) > _MOST else ""
    source = str(data.attrs.get("title") or data.attrs.get("source", "data"))
    notes = len(str(data.attrs.get("notes", "")).splitlines())
    said = f" Notes on how it was read ({notes}): fit.data.attrs['notes']." if notes else ""
    how = f"{manifest['chains']} chains of {manifest['draws']} draws, {manifest['sampler']}"
    mark = "SYNTHETIC DATA: these numbers describe a simulation, not patients." if data.attrs.get("synthetic") else ""
    return piece(
        paragraph(mark, warning=True),
        *(paragraph(sentence, warning=not passed) for sentence, passed in verdicts.items()),
        paragraph(f"{type(model).__name__}, {how}. {source}.{said}"),
        rows_of_cells("", ["Asked first", "", "Median", "95% interval", "P(above no effect)", "Units"], rows[:_MOST]),
        paragraph(cut),
        paragraph("Next:"),
        preformatted(_NEXT),
    )


def _row(values: xr.DataArray, at: Mapping[str, str], draws: np.ndarray, exact: ExactPosterior | None) -> list[str]:
    """A value of an estimand: what it is, labels, median, interval, probability of lying above no effect, units."""
    about = [str(values.attrs.get("description", values.name)), ", ".join(at.values())]
    units = str(values.attrs.get("units", ""))
    if "probability" in values.attrs:
        return [*about, f"{draws.mean():.2f}", "", "", units]
    if "reciprocal_of" in values.attrs:  # its interval may run through infinity
        return [*about, "", "see bd.summarise(fit)", "", units]
    null = float(values.attrs.get("null", 0.0))
    known = None if exact is None else exact.marginals.get((str(values.name), tuple(at.items())))
    if known is None:
        lower, median, upper = np.quantile(draws, [0.025, 0.5, 0.975])
        above, error = float(np.mean(draws > null)), _error_of_median(draws)
    else:
        lower, median, upper = known.quantile(np.array([0.025, 0.5, 0.975]))
        above, error = 1 - float(known.cdf(null)) if np.isfinite(null) else np.nan, 0.0
    digits = decimals(lower, upper, error)
    ends = f"{as_text(lower, digits)} to {as_text(upper, digits)}"
    p = f"{above:.2f} (> {null:g})" if np.isfinite(null) else ""
    return [*about, as_text(median, digits), ends, p, units]


def _error_of_median(draws: np.ndarray) -> float:
    """Monte Carlo standard error, draws of shape (chain, draw)."""
    return float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="median"))
