"""The report of a fit: the answer first, then all that a referee asks for, in one page that needs no network."""

import base64
import dataclasses
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image, UnidentifiedImageError

from bayesdep.criticism.each_prior import check_each_prior
from bayesdep.criticism.equivalence import check_equivalence, in_words
from bayesdep.criticism.sensitivity import check_prior_sensitivity
from bayesdep.data.files import whole_files
from bayesdep.inference.fit import Fit
from bayesdep.models.model import CountsQuestions
from bayesdep.models.parts.scale import in_outcome_units
from bayesdep.models.register import settings_of
from bayesdep.reporting import report_tables as tables
from bayesdep.reporting.estimands import summarise
from bayesdep.reporting.evidence import rank_evidence
from bayesdep.reporting.export import journal_table
from bayesdep.reporting.figures.register import FIGURES, figures_of, png
from bayesdep.reporting.guidelines import checklist
from bayesdep.reporting.ledger import ledger_in_words
from bayesdep.reporting.other_priors import alternatives_in_words, compare_priors, priors_in_words
from bayesdep.reporting.pdf import write_pdf
from bayesdep.reporting.sample import describe_sample, sizes_in_words
from bayesdep.reporting.sentences import default_note, primary_sentences

_MAIN = ("trajectories", "categories", "roc", "state_occupancy", "study_effects")  # the main figure; else the forest
_OF_CHECKS = ("checks", "residuals", "dropout_by_arm", "shares", "ecdf", "plates")
_OF_PRIORS = ("scaled_priors", "prior_posterior", "within_correlation")
_OF_CHAINS = ("ranks",)
_SHORT = 12  # rows of a table of the sample that stands open
_INTERVALS = "Intervals are equal-tailed 95% credible intervals; the number before them is the posterior median."


def report(
    fit: Fit,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    question: str = "",
    plan_text: str = "",
    plan_path: str = "",
    ledger: pd.DataFrame | None = None,
    figures: Mapping[str, bytes] | None = None,
    refits: Mapping[str, Fit] | None = None,
    people: bool = False,
) -> Path:
    """Write a self-contained report of a fit, as a page or as a PDF.

    It begins with a sentence for each primary estimand (:meth:`~bayesdep.Fit.with_primary`, or ``[study] primary`` of a
    plan) and the main figure. It shows counts, means and posteriors: no label of a single person, unless asked for, and
    no cell of the table. Every item of the Bayesian analysis reporting guidelines has its place, listed at the end
    (Kruschke 2021, doi:10.1038/s41562-021-01177-7).

    Parameters
    ----------
    fit
        Any fit.
    path
        The file to write: ``.pdf`` for a PDF, which needs Chromium, Chrome or Edge; a page of HTML otherwise.
    title, question
        Title and question of the analysis; by default the data's title, or the model and the file of the data.
    plan_text, plan_path
        The plan's text and the path by which it is run.
    ledger
        As :func:`bayesdep.reporting.ledger.ledger` returns it.
    figures
        PNG files, if they exist already, by name in :data:`~bayesdep.reporting.figures.register.FIGURES`.
    refits
        Fits of the same data under other priors, by what a reader calls these.
    people
        Whether to name single people, by their labels in the table, where the report lists parameters of theirs and
        says which of them sampled worst. A report that leaves the study has none of them.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    BadInput
        When it cannot be written, or a PDF is asked for and there is no browser to print it.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bd.report(fit, Path(folder) / "report.html", question="Does coaching help?").name
    'report.html'
    """
    path = Path(path)
    is_pdf = path.suffix.lower() == ".pdf"
    images = figures if figures is not None else {name: png(f) for name, f in figures_of(fit).items()}
    page = Environment(
        loader=PackageLoader("bayesdep.reporting", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("page.html.jinja")
    context = {
        **_head(fit, title, question),
        **_answer(fit, images),
        **_sample(fit),
        **_model(fit),
        **_decisions(fit, ledger),
        **_computation(fit, refits or {}, people=people),
        **_repetition(fit, plan_text, plan_path),
        "guidelines": checklist(fit, question=question, has_refits=bool(refits), has_plan=bool(plan_text)),
        "opened": is_pdf,
    }
    text = page.render(context | {"parts": _parts(context)})
    with whole_files(path) as (partial,):
        if is_pdf:
            write_pdf(text, partial)
        else:
            partial.write_text(text, encoding="utf-8")
    return path


def _parts(context: Mapping[str, Any]) -> list[dict[str, str]]:
    """The parts of the page in order; those without a template stand open."""
    has_decisions = any(context[word] is not None for word in ("evidence", "equivalence", "ledger"))
    listed = [
        ("answer", "Answer", "", True),
        ("sample", "Sample", "", True),
        ("estimands", "What else was estimated?", "estimands.jinja", True),
        ("decisions", "What is decided, and how does it agree with others?", "decisions.jinja", has_decisions),
        ("figures", "Further figures", "figures.jinja", bool(context["figures"])),
        ("what-was-fitted", "What exactly was fitted?", "model.jinja", True),
        ("does-it-fit", "Does the model fit the data?", "fit.jinja", True),
        ("prior-dependence", "Does the answer depend on the priors?", "priors.jinja", True),
        ("computation", "Can the computation be trusted?", "sampling.jinja", True),
        ("reproduce", "How is it repeated?", "reproduce.jinja", True),
        ("guidelines", "Reporting guidelines: where is what?", "guidelines.jinja", True),
    ]
    return [{"id": name, "title": title, "template": file} for name, title, file, is_there in listed if is_there]


def _head(fit: Fit, title: str | None, question: str) -> dict[str, Any]:
    return {
        "title": title or title_of(fit),
        "question": question,
        "gate": fit.gate,
        "verdict": fit.verdict,
        "synthetic": fit.synthetic,
    }


def title_of(fit: Fit) -> str:
    """Return the title of a fit's report: the data's own, or else what was fitted to which file.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    str
        Without the folders of a path.
    """
    own = str(fit.data.attrs.get("title", ""))
    source = str(fit.data.attrs.get("source", ""))
    name = Path(source).name if source else "a table"
    return own if own and own != source else f"{type(fit.model).__name__} of {name}"


def _answer(fit: Fit, images: Mapping[str, bytes]) -> dict[str, Any]:
    pictures = {name: _picture(name, image) for name, image in images.items()}
    main = next((name for name in _MAIN if name in pictures), "forest")
    placed = {main, *_OF_CHECKS, *_OF_PRIORS, *_OF_CHAINS}
    return {
        "sentences": primary_sentences(fit),
        "default_note": default_note(fit),
        "interval_kind": _INTERVALS,
        "main_figure": pictures.get(main),
        "figures": [picture for name, picture in pictures.items() if name not in placed],
        "check_figures": [pictures[name] for name in _OF_CHECKS if name in pictures],
        "prior_figures": [pictures[name] for name in _OF_PRIORS if name in pictures],
        "chain_figures": [pictures[name] for name in _OF_CHAINS if name in pictures],
    }


def _picture(name: str, image: bytes) -> dict[str, str]:
    """A figure for the page; the file itself holds what is seen in it."""
    try:
        seen = str(Image.open(io.BytesIO(image)).info.get("Description", ""))
    except UnidentifiedImageError:  # no picture of this package: its caption says what it is
        seen = ""
    caption = FIGURES[name].caption
    return {"name": name, "png": base64.b64encode(image).decode(), "caption": caption, "alt": seen or caption}


def _sample(fit: Fit) -> dict[str, Any]:
    attrs = fit.data.attrs
    parts = [f"{title_of(fit)}."]
    parts += [f"{attrs['citation']}."] if attrs.get("citation") else []
    parts += [f"Read from: {attrs['place']}."] if attrs.get("place") else []
    return {
        "sample": describe_sample(fit),
        "short": _SHORT,
        "data": attrs,
        "data_sentence": " ".join(parts),
        "sizes": sizes_in_words(fit.data),
    }


def _model(fit: Fit) -> dict[str, Any]:
    in_units = in_outcome_units(fit.model, fit.data)
    shown = tables.shown_estimands(fit)
    return {
        "words": in_units.words,
        "formula": "\n".join(in_units.formula),
        "estimands": journal_table(shown),
        "estimands_sentence": tables.rest_sentence(summarise(fit), shown),
        "meanings": tables.meanings_table(fit),
        "looked_at": fit.model.looked_at(fit.estimands, fit.data) if isinstance(fit.model, CountsQuestions) else "",
    }


def _decisions(fit: Fit, ledger: pd.DataFrame | None) -> dict[str, Any]:
    ranked = tables.is_ranked(fit)
    return {
        "evidence": tables.evidence_table(fit),
        "evidence_sentence": rank_evidence(fit, fit.model.forest.rows[0]).attrs["sentence"] if ranked else "",
        "equivalence": in_words(check_equivalence(fit)) if fit.ropes else None,
        "ledger": None if ledger is None else ledger_in_words(ledger),
    }


def _computation(fit: Fit, refits: Mapping[str, Fit], *, people: bool) -> dict[str, Any]:
    moved = check_prior_sensitivity(fit)
    parameters, sentence = tables.parameters_table(fit, people=people)
    return {
        "priors": tables.priors_table(fit),
        "sensitivity": tables.sensitivity_table(moved),
        "sensitivity_sentence": tables.sensitivity_sentence(moved),
        "each_prior": tables.each_prior_table(check_each_prior(fit)),
        **_refits(fit, refits),
        "sampling": tables.sampling_sentence(fit),
        "criteria": tables.criteria_table(fit, people=people),
        "oracle": tables.oracle_sentence(fit),
        "parameters": parameters,
        "parameters_sentence": sentence,
        "checks": tables.checks_table(fit),
    }


def _refits(fit: Fit, refits: Mapping[str, Fit]) -> dict[str, Any]:
    """The primary estimands under other priors, and what these are."""
    if not refits:
        return {"refits": None}
    compared = compare_priors(fit, refits)
    return {
        "refits": priors_in_words(compared, _SHORT),
        "refits_sentence": compared.attrs["sentence"],
        "alternatives": alternatives_in_words(compared),
        "refits_left_out": max(0, len(compared) // (1 + len(refits)) - _SHORT),
    }


def _repetition(fit: Fit, plan_text: str, plan_path: str) -> dict[str, Any]:
    manifest = fit.manifest
    return {
        "plan_text": plan_text,
        "versions": ", ".join(f"{k} {v}" for k, v in manifest["versions"].items()),
        "machine": manifest["machine"],
        "timings": ", ".join(f"{k} {v:.2g} s" for k, v in manifest["timings_s"].items()),
        "commands": commands(fit, plan_path),
    }


def commands(fit: Fit, plan_path: str = "") -> str:
    """Return the two commands that repeat an analysis: one installs the software, the other makes the fit.

    Parameters
    ----------
    fit
        Any fit.
    plan_path
        The plan that it was run from; empty if it was made from Python.

    Returns
    -------
    str
        Two lines for a shell, the second one of Python where there is no plan.
    """
    manifest = fit.manifest
    wanted = {name: text for name, text in manifest["versions"].items() if name != "python"}
    install = "pip install " + " ".join(f'"{name}=={text}"' for name, text in wanted.items())
    how = " ".join(f"--{word} {manifest[word]}" for word in ("draws", "tune", "chains", "seed"))
    if plan_path:
        data = " --data FILE" if str(fit.data.attrs.get("source")) == "path" else ""
        return f"{install}\nbayesdep run {plan_path}{data} {how}"
    settings = ", ".join(f"{name}={value!r}" for name, value in _chosen_settings(fit).items())
    draws = ", ".join(f"{word}={manifest[word]!r}" for word in ("draws", "tune", "chains", "seed", "sampler"))
    return f"{install}\nbd.fit(bd.{type(fit.model).__name__}({settings}), TABLE, {draws})"


def _chosen_settings(fit: Fit) -> dict[str, Any]:
    """The settings of a fit's model that are not its defaults."""
    model = fit.model
    usual = {field.name: field.default for field in dataclasses.fields(model)}  # type: ignore[arg-type]  # models are dataclasses
    given = {name: value for name, value in settings_of(model).items() if name != "priors"}
    given = {name: value for name, value in given.items() if value != usual[name] and value not in ({}, [], ())}
    priors = {name: prior.to_dict() for name, prior in model.priors.items() if prior != model.slots[name].default}
    return given | ({"priors": priors} if priors else {})
