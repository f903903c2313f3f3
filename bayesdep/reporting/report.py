"""A report that opens with no network: everything a referee asks for, in one file."""

import base64
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from bayesdep.criticism.checks import check
from bayesdep.criticism.sensitivity import sensitivity
from bayesdep.data.files import whole_files
from bayesdep.inference.fit import Fit
from bayesdep.reporting.estimands import oracle, summarise
from bayesdep.reporting.export import journal_table
from bayesdep.reporting.plots import FIGURES


def figures_of(fit: Fit) -> dict[str, Figure]:
    """Draw every figure that makes sense for a fit.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    dict of matplotlib.figure.Figure
        By name; no rank plot for independent draws, which have no chains to compare.
    """
    return {name: draw(fit) for name, (draw, _) in FIGURES.items() if not (name == "ranks" and fit.is_exact)}


def png(figure: Figure) -> bytes:
    """Render a figure as PNG.

    Parameters
    ----------
    figure
        A matplotlib figure.

    Returns
    -------
    bytes
        The file's content, the same for the same figure.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def report(
    fit: Fit,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    question: str = "",
    plan_text: str = "",
    ledger: pd.DataFrame | None = None,
    figures: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a self-contained HTML report of a fit.

    Parameters
    ----------
    fit
        Any fit.
    path
        The file to write.
    title, question
        What the analysis is called and asks; by default the data's title.
    plan_text
        The plan, shown whole.
    ledger
        As :func:`bayesdep.reporting.ledger.ledger` returns it.
    figures
        PNG files by name of :data:`~bayesdep.reporting.plots.FIGURES`, when they have been drawn already.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    BadInput
        When it cannot be written.
    """
    images = figures if figures is not None else {name: png(f) for name, f in figures_of(fit).items()}
    page = Environment(
        loader=PackageLoader("bayesdep.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    ).get_template("report.html.jinja")
    moved = sensitivity(fit)
    text = page.render(
        title=title or fit.data.attrs["title"] or "Analysis",
        question=question,
        gate=fit.gate,
        synthetic=fit.synthetic,
        data=fit.data.attrs,
        sizes=", ".join(f"{d} {n}" for d, n in fit.data.sizes.items()),
        words=fit.model.words,
        formula="\n".join(fit.model.formula),
        priors=_priors(fit),
        sampling=_sampling(fit),
        criteria=_criteria(fit),
        oracle=oracle_sentence(fit),
        estimands=journal_table(summarise(fit)),
        figures=[
            {"name": name, "png": base64.b64encode(image).decode(), "caption": FIGURES[name][1]}
            for name, image in images.items()
        ],
        checks=_checks(fit),
        sensitivity=_sensitivity(moved),
        sensitivity_sentence=_sensitivity_sentence(moved),
        ledger=None if ledger is None else ledger_in_words(ledger),
        plan_text=plan_text,
        versions=", ".join(f"{k} {v}" for k, v in fit.manifest["versions"].items()),
        machine=fit.manifest["machine"],
        timings=", ".join(f"{k} {v:.2g} s" for k, v in fit.manifest["timings_s"].items()),
    )
    with whole_files(path) as (partial,):
        partial.write_text(text, encoding="utf-8")
    return Path(path)


def ledger_in_words(ledger: pd.DataFrame) -> pd.DataFrame:
    """Return the ledger as people read it: one line a number, the two values side by side.

    Parameters
    ----------
    ledger
        As :func:`bayesdep.reporting.ledger.ledger` returns it.

    Returns
    -------
    pandas.DataFrame
        Columns ``Estimand``, ``Published``, ``Posterior``, ``Agrees``, ``Published in``, ``Note``.
    """
    rows = []
    for _, row in ledger.iterrows():
        width = abs(row["upper"] - row["lower"])
        digits = int(np.clip(1 - np.floor(np.log10(width)), 0, 4)) if np.isfinite(width) and width > 0 else 2
        interval = row["interval"] or f"{row['lower']:.{digits}f}, {row['upper']:.{digits}f}"
        posterior = f"{row['posterior']:.{digits}f} ({interval})"
        if row["prob"] is not None and np.isfinite(row["prob"]):
            posterior += f", P {row['prob']:.3f}"
        rows.append(
            {
                "Estimand": row["estimand"],
                "Published": row["published_as"],
                "Posterior": posterior,
                "Agrees": row["agrees"],
                "Published in": row["source"],
                "Note": row["note"],
            }
        )
    return pd.DataFrame(rows)


def oracle_sentence(fit: Fit) -> str:
    """Say in one sentence how far the sampled posterior is from the exact one, where that is known.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    str
        Empty where there is nothing to compare.
    """
    table = oracle(fit)
    if table is None:
        return ""
    z = table["z"].abs()
    worst = table.iloc[int(np.argmax(z))]
    what = f"{worst['statistic']} of {worst['estimand']} {worst['at']}".strip()
    return (
        f"This posterior is also known exactly, by quadrature: of {len(table)} means, standard deviations and "
        f"interval ends, {(z < 2).mean():.0%} agree within 2 Monte Carlo standard errors and the worst ({what}) "
        f"is {abs(worst['z']):.1f} away."
    )


def _priors(fit: Fit) -> pd.DataFrame:
    rows = []
    for name, slot in fit.model.slots.items():
        prior = fit.model.priors[name]
        lower, upper = prior.interval
        rows.append(
            {
                "Parameter": name,
                "Prior": repr(prior),
                "Meaning": f"{slot.meaning}: 95% between {lower:.3g} and {upper:.3g} {slot.units}",
                "Chosen by": "the story's default" if prior == slot.default else "the plan",
            }
        )
    return pd.DataFrame(rows)


def _sampling(fit: Fit) -> str:
    m = fit.manifest
    if fit.is_exact:
        return (
            f"No sampler was needed: the posterior is known, and {m['chains'] * m['draws']} independent draws were "
            f"taken from it (seed {m['seed']}) for predictive checks. Estimands are computed exactly wherever their "
            "distribution is known."
        )
    return (
        f"No-U-turn sampler of {m['sampler']}, {m['chains']} chains of {m['draws']} draws after {m['tune']} for "
        f"tuning, seed {m['seed']}."
    )


def _criteria(fit: Fit) -> pd.DataFrame:
    rows = [
        {
            "Criterion": c.name,
            "Value": f"{c.value:.4g}",
            "Needs": str(c).rsplit("needs ", 1)[1],
            "Worst in": c.where,
            "Met": "yes" if c.passed else "no",
        }
        for c in fit.gate.criteria
    ]
    return pd.DataFrame(rows)


def _checks(fit: Fit) -> pd.DataFrame:
    rows = []
    for _, row in check(fit).iterrows():
        rows.append(
            {
                "Statistic": row["check"],
                "Data": f"{row['observed']:.3g}",
                "Replicates": f"{row['median']:.3g} ({row['lower']:.3g}, {row['upper']:.3g})",
                "Units": row["units"],
                "p": f"{row['p']:.3f}",
                "Prior p": f"{row['prior_p']:.3f}",
            }
        )
    return pd.DataFrame(rows)


def _sensitivity(moved: pd.DataFrame) -> pd.DataFrame:
    shown: dict[str, Any] = {
        "Estimand": [f"{e}[{a}]" if a else e for e, a in zip(moved["estimand"], moved["at"], strict=True)],
        "Prior": moved["prior"].map("{:.3f}".format),
        "Likelihood": moved["likelihood"].map("{:.3f}".format),
        "Diagnosis": moved["diagnosis"],
    }
    return pd.DataFrame(shown)


def _sensitivity_sentence(moved: pd.DataFrame) -> str:
    dependent = moved[moved["diagnosis"] != "robust"]
    if dependent.empty:
        return "No estimand moves noticeably when the priors are strengthened or weakened a little (all below 0.05)."
    names = [f"{e}[{a}]" if a else e for e, a in zip(dependent["estimand"], dependent["at"], strict=True)]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return (
        f"{len(dependent)} of {len(moved)} estimands depend on the priors (power-scaling sensitivity above 0.05): "
        f"{shown}. "
        "Report them with another prior beside this one."
    )
