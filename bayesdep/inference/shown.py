"""How a notebook shows a fit: its verdict, what was asked first, and what to do next."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from bayesdep.data.html_text import paragraph, piece, preformatted, rows_of_cells
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
    exact: ExactPosterior | None,
) -> str:
    """Return a fit as a notebook shows it: nothing of its data but where they are from.

    Parameters
    ----------
    model, data, estimands, manifest
        Of the fit.
    verdicts
        The sentences of the verdicts on sampling and on the model, and whether each passed.
    exact
        The exact posterior, where the draws are of it.

    Returns
    -------
    str
        HTML.
    """
    rows = [row for name in model.primary_estimands if name in estimands for row in _rows(estimands[name], exact)]
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


def _rows(values: xr.DataArray, exact: ExactPosterior | None) -> list[list[str]]:
    """The values of an estimand: label, median, interval, probability of lying above no effect, units."""
    dims = [str(d) for d in values.dims if d not in ("chain", "draw")]
    flat = values.transpose("chain", "draw", *dims).values
    marginals = {} if exact is None else dict(exact.marginals)
    null = float(values.attrs.get("null", 0.0))
    rows = []
    for index in np.ndindex(*flat.shape[2:]):
        at = tuple((d, str(values[d].values[i])) for d, i in zip(dims, index, strict=True))
        draws = flat[(slice(None), slice(None), *index)]
        known = marginals.get((str(values.name), at))
        if known is None:
            lower, median, upper = np.quantile(draws, [0.025, 0.5, 0.975])
            above = float(np.mean(draws > null))
        else:
            lower, median, upper = known.quantile(np.array([0.025, 0.5, 0.975]))
            above = 1 - float(known.cdf(null)) if np.isfinite(null) else np.nan
        p = "" if not np.isfinite(null) else f"{above:.2f} (> {null:g})"
        label = ", ".join(text for _, text in at)
        said = str(values.attrs.get("description", values.name))
        units = str(values.attrs.get("units", ""))
        error = 0.0 if known is not None else float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="median"))
        digits = decimals(lower, upper, error)
        ends = f"{as_text(lower, digits)} to {as_text(upper, digits)}"
        rows.append([said, label, as_text(median, digits), ends, p, units])
    return rows
