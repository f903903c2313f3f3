"""The HTML report of a fit: one file that needs no network, with all that a referee asks for."""

import base64
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from bayesdep.criticism.checks import check_predictions
from bayesdep.criticism.equivalence import check_equivalence, in_words
from bayesdep.criticism.missing_information import check_missing_information
from bayesdep.criticism.sensitivity import THRESHOLD, check_prior_sensitivity
from bayesdep.data.files import whole_files
from bayesdep.inference.fit import Fit
from bayesdep.models.model import CountsQuestions
from bayesdep.models.parts.scale import in_outcome_units, priors_of
from bayesdep.reporting.estimands import oracle, summarise
from bayesdep.reporting.evidence import rank_evidence
from bayesdep.reporting.export import journal_table
from bayesdep.reporting.figures.register import FIGURES, figures_of, png

_LONG = 40  # longest table; longer ones are cut
_FEW = 20  # most rows of an estimand that a cut table shows
_MOST_DEPENDENT = 30


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
        Title and question of the analysis; by default the data's title.
    plan_text
        The plan's text.
    ledger
        As :func:`bayesdep.reporting.ledger.ledger` returns it.
    figures
        PNG files, if they exist already, by name in :data:`~bayesdep.reporting.figures.register.FIGURES`.

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
    moved = check_prior_sensitivity(fit)
    shown = _first_class(fit)
    in_units = in_outcome_units(fit.model, fit.data)
    text = page.render(
        title=title or fit.data.attrs["title"] or "Analysis",
        question=question,
        gate=fit.gate,
        verdict=fit.verdict,
        synthetic=fit.synthetic,
        data=fit.data.attrs,
        sizes=", ".join(f"{d} {n}" for d, n in fit.data.sizes.items()),
        words=in_units.words,
        formula="\n".join(in_units.formula),
        priors=_priors(fit),
        sampling=_sampling(fit),
        criteria=_criteria(fit),
        oracle=oracle_sentence(fit),
        evidence=_evidence(fit),
        evidence_sentence=rank_evidence(fit, fit.model.forest.rows[0]).attrs["sentence"] if _by_evidence(fit) else "",
        equivalence=in_words(check_equivalence(fit)) if fit.ropes else None,
        looked_at=fit.model.looked_at(fit.estimands, fit.data) if isinstance(fit.model, CountsQuestions) else "",
        estimands=journal_table(shown),
        estimands_sentence=_rest(summarise(fit), shown),
        figures=[
            {"name": name, "png": base64.b64encode(image).decode(), "caption": FIGURES[name].caption}
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
    """Return the ledger for readers: one line per number, with both values side by side.

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
                "Agrees": row["agrees"],
                "Published in": row["source"],
                "Note": row["note"],
            }
        )
    return pd.DataFrame(rows)


def oracle_sentence(fit: Fit) -> str:
    """Say in one sentence how far the sampled posterior is from the exact one, if that is known.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    str
        Empty if there is nothing to compare.
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
    in_units = priors_of(fit.model, fit.data)
    for name, slot in fit.model.slots.items():
        if name not in fit.posterior:  # such as terms that differ between visits, in a trial with one visit
            continue
        prior = fit.model.priors[name]
        lower, upper = in_units[name].interval
        wide = f" ({prior}, and scale is {float(fit.data['scale']):.4g})" if prior.times_scale else ""
        rows.append(
            {
                "Parameter": name,
                "Prior": f"{in_units[name]}{wide}",
                "Meaning": f"{slot.meaning}: 95% between {lower:.3g} and {upper:.3g} {slot.units}",
                "Chosen by": "the model's default" if prior == slot.default else "the plan",
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
    each, open_ = "", ""
    if fit.tables > 1:
        each = f" for each of {fit.tables} versions of the data, all draws together"
        missing = check_missing_information(fit)
        worst = missing.iloc[int(missing["fraction_missing"].argmax())]
        coordinates = ", ".join(str(worst[dim]) for dim in missing.attrs["dims"] if pd.notna(worst[dim]))
        open_ = (
            f" Versions differ in imputed values. The fraction of missing information is largest for "
            f"{worst['estimand']}{f'[{coordinates}]' if coordinates else ''}: {worst['fraction_missing']:.0%}."
        )
    return (
        f"No-U-turn sampler of {m['sampler']}, {m['chains']} chains of {m['draws']} draws after {m['tune']} for "
        f"tuning{each}, seed {m['seed']}.{open_}"
    )


def _by_evidence(fit: Fit) -> bool:
    return fit.model.forest.by_evidence


def _evidence(fit: Fit) -> pd.DataFrame | None:
    """The model's units ranked by evidence, rounded; None for models without such a table."""
    if not _by_evidence(fit):
        return None
    table = rank_evidence(fit, fit.model.forest.rows[0])
    dims = list(table.columns[: table.columns.get_loc("median")])
    dims = [d for d in dims if table[d].nunique() > 1] or dims[:1]
    words = {d.replace("_", " ").capitalize(): table[d] for d in dims}
    words["Median"] = table["median"].map("{:.2f}".format)
    words["95% interval"] = table["lower"].map("{:.2f}".format) + " to " + table["upper"].map("{:.2f}".format)
    for heading, column in (
        ("P(above)", "prob_above"),
        ("False sign", "false_sign_rate"),
        ("P(practically equal)", "prob_in_rope"),
        ("All so far", "joint"),
    ):
        if table[column].notna().any():
            words[heading] = table[column].map("{:.3f}".format)
    return pd.DataFrame(words)


def _first_class(fit: Fit) -> pd.DataFrame:
    """The estimands to show: all, or of a long table those with few values; the forest plot shows the others."""
    table = summarise(fit)
    if len(table) <= _LONG:
        return table
    few = {
        str(name)
        for name, values in fit.estimands.data_vars.items()
        if prod(size for dim, size in values.sizes.items() if dim not in ("chain", "draw")) <= _FEW
    }
    return table[table["estimand"].isin(few)]


def _rest(table: pd.DataFrame, shown: pd.DataFrame) -> str:
    names = [name for name in table["estimand"].unique() if name not in set(shown["estimand"])]
    if not names:
        return ""
    return (
        f"{len(shown)} of {len(table)} numbers. The others ({', '.join(names)}) are in estimands.csv beside this "
        "report, or in bayesdep.summarise(fit)."
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
    for _, row in check_predictions(fit).iterrows():
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
    if len(moved) > _LONG:
        moved = moved.sort_values("prior", ascending=False, kind="stable").head(_MOST_DEPENDENT)
    shown: dict[str, Any] = {
        "Estimand": [f"{e}[{a}]" if a else e for e, a in zip(moved["estimand"], moved["at"], strict=True)],
        "Prior": moved["prior"].map("{:.3f}".format),
        "Likelihood": moved["likelihood"].map("{:.3f}".format),
        "Diagnosis": moved["diagnosis"],
    }
    return pd.DataFrame(shown)


def _sensitivity_sentence(moved: pd.DataFrame) -> str:
    dependent = moved[moved["diagnosis"] != "robust"].sort_values("prior", ascending=False, kind="stable")
    cut = f" The table shows the {_MOST_DEPENDENT} most dependent of {len(moved)}." if len(moved) > _LONG else ""
    if dependent.empty:
        return (
            "No estimand moves noticeably when the priors are strengthened or weakened a little (all below "
            f"{THRESHOLD})." + cut
        )
    names = [f"{e}[{a}]" if a else e for e, a in zip(dependent["estimand"], dependent["at"], strict=True)]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return (
        f"{len(dependent)} of {len(moved)} estimands depend on the priors (power-scaling sensitivity above 0.05): "
        f"{shown}. "
        "Report them with another prior beside this one." + cut
    )
