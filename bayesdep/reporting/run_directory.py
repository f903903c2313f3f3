"""The directory of a run, written completely or not at all."""

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial as partial_of
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bayesdep.criticism.checks import check_predictions
from bayesdep.criticism.each_prior import check_each_prior
from bayesdep.criticism.equivalence import check_equivalence
from bayesdep.criticism.sensitivity import check_prior_sensitivity
from bayesdep.data.errors import BadInput
from bayesdep.data.files import whole_directory
from bayesdep.inference.diagnostics import Gate
from bayesdep.inference.fit import Fit
from bayesdep.inference.verdict import ModelVerdict
from bayesdep.reporting.estimands import oracle, summarise, summarise_parameters
from bayesdep.reporting.export import formula_note, write_table
from bayesdep.reporting.figures.register import FIGURES, applies, png, unknown_figures, vector_files
from bayesdep.reporting.other_priors import compare_priors
from bayesdep.reporting.places import Manifest, Place, refit_file, write_manifest
from bayesdep.reporting.report import report


@dataclass(frozen=True)
class Outcome:
    """A summary of a run, without its draws.

    Parameters
    ----------
    label
        Study and plan.
    gate
        The verdict on the sampling.
    verdict
        The verdict on the model.
    expects_warning
        The warning on the model that the plan expects; empty if none.
    synthetic
        Whether the data were simulated.
    ledger
        Published numbers compared with the posterior; None if the plan has none.
    directory
        The run's directory.
    notes
        Notes on how the table was read.
    missing
        The reason why a file could not be made, by file.
    equivalence
        The verdicts on presence and absence, for readers; None if the plan states no region of practical equivalence.
    other_priors
        Primary estimands under the plan's other priors; None if it has none.
    """

    label: str
    gate: Gate
    verdict: ModelVerdict
    expects_warning: str
    synthetic: bool
    ledger: pd.DataFrame | None
    directory: Path
    notes: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    equivalence: pd.DataFrame | None = None
    other_priors: pd.DataFrame | None = None

    @property
    def incomplete(self) -> str:
        """The files that the run lacks, in one sentence; empty if none."""
        files = ", ".join(f"{name} ({why})" for name, why in self.missing.items())
        return files and f"was fitted, but lacks {files}; the same command makes it without sampling"

    @property
    def surprise(self) -> str:
        """How the verdict on the model differs from the plan's expectation, in one sentence; empty if not."""
        if not self.verdict.passed and not self.expects_warning:
            return f"{self.verdict.sentence}; if it is expected, state it in the plan: [study] expects_warning"
        if self.verdict.passed and self.expects_warning:
            return f"the plan expects a warning on the model ({self.expects_warning}), and there is none; take it out"
        return ""


@dataclass(frozen=True)
class Written:
    """The results of writing a run.

    Parameters
    ----------
    ledger
        Published numbers compared with the posterior; None if there are none, or if the comparison failed.
    missing
        The reason why a file could not be made, by file.
    notes
        Warnings for those who open the tables in a spreadsheet.
    """

    ledger: pd.DataFrame | None
    missing: Mapping[str, str]
    notes: tuple[str, ...] = ()


def write_run(
    fit: Fit,
    place: Place,
    earlier: Manifest | None,
    *,
    title: str,
    question: str,
    plan: Mapping[str, Any],
    ledger: Callable[[Fit], pd.DataFrame | None],
    refits: Mapping[str, Fit] | None = None,
    fingerprint: str = "",
    spreadsheet_safe: bool = False,
    vector: bool = True,
) -> Written:
    """Write every file of a run, the posterior first; if another file cannot be made, the others are still written.

    Parameters
    ----------
    fit
        The fit.
    place
        The directory of the run.
    earlier
        The manifest of the directory before sampling: its files are replaced when this run is complete, and all
        others stay. A run written since then is not replaced.
    title, question
        For the report.
    plan
        ``text`` and ``sha256`` of the plan, for the manifest.
    ledger
        Compares published numbers with the posterior, if the plan has any.
    refits
        Fits under the plan's other priors, by name.
    fingerprint
        Of the run, for the manifest.
    spreadsheet_safe
        As in :func:`~bayesdep.reporting.export.export`.
    vector
        Whether to write figures as PDF and SVG too; as PNG they are always there.

    Returns
    -------
    Written
        The ledger, missing files and notes.

    Raises
    ------
    BadInput
        When the posterior or the manifest cannot be written, or another run has been written there meanwhile.
    """
    stands, refits = place.manifest, refits or {}
    with whole_directory(place.path, stands.replaceable if stands else ()) as partial:
        _save(fit, partial / "posterior.nc")
        parts = _Parts(partial, place.others)
        tables = _Tables(spreadsheet_safe)
        for name, one in refits.items():
            parts.make(refit_file(name), partial_of(_save, one))
        parts.make("summary.csv", lambda path: tables.write(summarise_parameters(fit), path))
        parts.make("estimands.csv", lambda path: tables.write(summarise(fit), path))
        if fit.ropes:
            parts.make("equivalence.csv", lambda path: tables.write(check_equivalence(fit), path))
        if refits:
            parts.make("sensitivity.csv", lambda path: tables.write(compare_priors(fit, refits), path))
        rows = parts.make("ledger.csv", lambda path: _ledger(fit, ledger, tables, path))
        names = (*FIGURES, *unknown_figures(fit))
        images = {name: image for name in names if (image := _figures(fit, name, parts, vector=vector)) is not None}
        parts.make(
            "report.html",
            lambda path: report(
                fit,
                path,
                title=title,
                question=question,
                plan_text=plan["text"],
                plan_path=plan["path"],
                ledger=rows,
                figures=images,
                refits=refits,
            ),
        )
        parts.make("diagnostics.json", lambda path: _json(path, _diagnostics(fit, refits)))
        write_manifest(
            partial,
            place.what,
            _about(fit, plan) | {"spreadsheet_safe": spreadsheet_safe, "vector": vector},
            failed=not fit.gate.passed,
            fingerprint=fingerprint,
            missing=parts.missing,
        )
        now = place.manifest
        if now is not None and now.follows(earlier):  # possible on a disk without locks
            raise BadInput(
                f"another run was written to '{place.asked}' while this one sampled, and was kept; run this one again "
                "or give another place with --out"
            )
    return Written(rows, parts.missing, tables.notes)


class _Tables:
    """Writes tables of a run as .csv files, and collects warnings on them."""

    def __init__(self, spreadsheet_safe: bool) -> None:
        self._safe = spreadsheet_safe
        self._written: list[pd.DataFrame] = []

    def write(self, table: pd.DataFrame, path: Path) -> None:
        """Write one of them."""
        write_table(table, path, spreadsheet_safe=self._safe)
        self._written.append(table)

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence, or none."""
        sentence = "" if self._safe else formula_note(*self._written)
        return (sentence,) if sentence else ()


def _save(fit: Fit, path: Path) -> None:
    """Save a fit; an error of the file system is raised as such, and reported by the caller."""
    try:
        fit.save(path)
    except BadInput as problem:
        raise problem.__context__ if isinstance(problem.__context__, OSError) else problem from None


class _Parts:
    """Files of a run that is being written; those that cannot be made are listed as missing."""

    def __init__(self, folder: Path, taken: Collection[str]) -> None:
        self._folder, self._taken = folder, taken
        self.missing: dict[str, str] = {}

    def make[T](self, name: str, how: Callable[[Path], T]) -> T | None:
        """Make a file; None if that fails."""
        path = self._folder / name
        try:
            if name in self._taken:
                raise BadInput("there is a file of this name that no run wrote")
            path.parent.mkdir(exist_ok=True)
            return how(path)
        except Exception as problem:  # a file that fails must not cost the fit: it is named as missing
            with suppress(OSError):
                path.unlink(missing_ok=True)
            cause = problem.__context__ if isinstance(problem, BadInput) else problem
            reason = cause.strerror if isinstance(cause, OSError) else str(problem).split("\n")[0]
            is_expected = isinstance(problem, (BadInput, OSError))
            self.missing[name] = str(reason) if is_expected and reason else f"{type(problem).__name__}: {reason}"
            return None


def _ledger(fit: Fit, ledger: Callable[[Fit], pd.DataFrame | None], tables: _Tables, path: Path) -> pd.DataFrame | None:
    rows = ledger(fit)
    if rows is not None:
        rows.attrs = fit.attrs
        tables.write(rows, path)
    return rows


def _figures(fit: Fit, name: str, parts: _Parts, *, vector: bool) -> bytes | None:
    """Draw one figure of the register and write it in one format or three; the PNG, or None if it does not apply."""
    figure = parts.make(f"figures/{name}.png", partial_of(_figure, fit, name))
    if figure is None:
        return None
    image, drawn = figure
    for ending, content in (vector_files(drawn) if vector else {}).items():
        parts.make(f"figures/{name}.{ending}", partial_of(_write, content))
    return image


def _figure(fit: Fit, name: str, path: Path) -> tuple[bytes, Figure] | None:
    if not applies(name, fit):
        return None
    figure = FIGURES[name].draw(fit)
    image = png(figure)
    path.write_bytes(image)
    return image, figure


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _diagnostics(fit: Fit, refits: Mapping[str, Fit]) -> dict[str, Any]:
    exact = oracle(fit)
    return {
        **fit.gate.to_dict(),
        "model": fit.verdict.to_dict(),
        "checks": check_predictions(fit).to_dict("records"),
        "sensitivity": check_prior_sensitivity(fit).to_dict("records"),
        "sensitivity_by_prior": check_each_prior(fit).to_dict("records"),
        "other_priors": {name: one.gate.to_dict() for name, one in refits.items()},
        "oracle": None if exact is None else exact.to_dict("records"),
    }


def _about(fit: Fit, plan: Mapping[str, Any]) -> dict[str, Any]:
    data = {key: fit.data.attrs[key] for key in ("source", "title", "citation", "sha256", "left_out")}
    data["notes"] = str(fit.data.attrs.get("notes", ""))
    return {
        "plan": dict(plan),
        "data": {**data, "synthetic": fit.synthetic},
        **fit.manifest,
        "verdict": fit.verdict.to_dict(),
    }


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
