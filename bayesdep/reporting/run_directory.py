"""What a run leaves on disk: complete, or not at all."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bayesdep.criticism.checks import check
from bayesdep.criticism.sensitivity import sensitivity
from bayesdep.data.errors import BadInput
from bayesdep.data.files import whole_directory
from bayesdep.inference.diagnostics import Gate
from bayesdep.inference.fit import Fit
from bayesdep.inference.verdict import ModelVerdict
from bayesdep.reporting.estimands import oracle, summarise, summarise_parameters
from bayesdep.reporting.export import export
from bayesdep.reporting.figures import figures_of, png
from bayesdep.reporting.report import report

_MARK = "manifest.json"  # what makes a directory one of ours, and so replaceable


@dataclass(frozen=True)
class Outcome:
    """What a run has to say for itself, without its draws.

    Parameters
    ----------
    label
        Study and plan.
    gate
        The verdict on the sampling.
    verdict
        The verdict on the model.
    expects_warning
        The warning on the model that the plan states; empty where it states none.
    synthetic
        Whether the data were simulated.
    ledger
        Published numbers beside the posterior; None when the plan has none.
    directory
        Where the files are.
    notes
        What of the table was read differently than it is written.
    """

    label: str
    gate: Gate
    verdict: ModelVerdict
    expects_warning: str
    synthetic: bool
    ledger: pd.DataFrame | None
    directory: Path
    notes: tuple[str, ...] = ()

    @property
    def surprise(self) -> str:
        """What the plan does not say of its model's verdict, in one sentence; empty where it says what there is."""
        if not self.verdict.passed and not self.expects_warning:
            return f"{self.verdict.sentence}; if that is as it should be, say so in the plan: [study] expects_warning"
        if self.verdict.passed and self.expects_warning:
            return f"the plan expects a warning on the model ({self.expects_warning}), and there is none; take it out"
        return ""


def refuse_unwritable(directory: Path) -> None:
    """Refuse, before any sampling, a directory that a run could not be written to.

    Parameters
    ----------
    directory
        Where the run is to go.

    Raises
    ------
    BadInput
        When it holds something else or the folder this runs in, or its parent cannot be written to.
    """
    try:
        _refuse_unwritable(directory)
    except OSError as problem:
        raise BadInput(f"'{directory}' cannot be written ({problem.strerror}); give another with --out") from None


def _refuse_unwritable(directory: Path) -> None:
    if Path.cwd().is_relative_to(directory.resolve()):
        raise BadInput(
            f"--out '{directory}' holds the folder this runs in, and would be replaced whole; give one inside it"
        )
    if directory.exists() and not directory.is_dir():
        raise BadInput(f"--out '{directory}' is a file; give a directory")
    if directory.is_dir() and any(directory.iterdir()) and not (directory / _MARK).is_file():
        raise BadInput(f"--out '{directory}' is not empty and is no earlier run; give an empty or new directory")
    parent = directory.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise BadInput(f"'{parent}' is not writable, so '{directory}' cannot be made there; give another with --out")


def write_run(
    fit: Fit,
    directory: Path,
    *,
    title: str,
    question: str,
    plan: Mapping[str, Any],
    ledger: pd.DataFrame | None,
) -> None:
    """Write every file of a run.

    Parameters
    ----------
    fit
        The fit.
    directory
        Where the run is to stand; an earlier run there is replaced once this one is whole.
    title, question
        For the report.
    plan
        ``text`` and ``sha256`` of the plan, for the manifest.
    ledger
        Published numbers beside the posterior, if the plan has any.
    """
    with whole_directory(directory) as partial:
        fit.save(partial / "posterior.nc")
        export(summarise_parameters(fit), partial / "summary.csv")
        export(summarise(fit), partial / "estimands.csv")
        if ledger is not None:
            ledger.attrs = fit.attrs
            export(ledger, partial / "ledger.csv")
        images = {name: png(figure) for name, figure in figures_of(fit).items()}
        (partial / "figures").mkdir()
        for name, image in images.items():
            (partial / "figures" / f"{name}.png").write_bytes(image)
        report(
            fit,
            partial / "report.html",
            title=title,
            question=question,
            plan_text=plan["text"],
            ledger=ledger,
            figures=images,
        )
        _json(partial / "diagnostics.json", _diagnostics(fit))
        _json(partial / _MARK, _manifest(fit, plan))


def _diagnostics(fit: Fit) -> dict[str, Any]:
    exact = oracle(fit)
    return {
        **fit.gate.to_dict(),
        "model": fit.verdict.to_dict(),
        "checks": check(fit).to_dict("records"),
        "sensitivity": sensitivity(fit).to_dict("records"),
        "oracle": None if exact is None else exact.to_dict("records"),
    }


def _manifest(fit: Fit, plan: Mapping[str, Any]) -> dict[str, Any]:
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
