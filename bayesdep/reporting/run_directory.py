"""What a run leaves on disk: complete, or not at all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bayesdep.criticism.checks import check
from bayesdep.criticism.sensitivity import sensitivity
from bayesdep.data.errors import BadInput
from bayesdep.data.files import whole_directory
from bayesdep.inference.fit import Fit
from bayesdep.reporting.estimands import oracle, summarise, summarise_parameters
from bayesdep.reporting.export import export
from bayesdep.reporting.figures import figures_of, png
from bayesdep.reporting.report import report

_MARK = "manifest.json"  # what makes a directory one of ours, and so replaceable


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
            ledger.attrs = {
                "gate": fit.gate.sentence,
                "gate_passed": fit.gate.passed,
                "synthetic": fit.synthetic,
            }
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
        "checks": check(fit).to_dict("records"),
        "sensitivity": sensitivity(fit).to_dict("records"),
        "oracle": None if exact is None else exact.to_dict("records"),
    }


def _manifest(fit: Fit, plan: Mapping[str, Any]) -> dict[str, Any]:
    data = {key: fit.data.attrs[key] for key in ("source", "title", "citation", "sha256", "left_out")}
    data["notes"] = str(fit.data.attrs.get("notes", ""))
    return {"plan": dict(plan), "data": {**data, "synthetic": fit.synthetic}, **fit.manifest}


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
