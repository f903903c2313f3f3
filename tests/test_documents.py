"""What the documents promise is what the code does: README's example runs, the ledger has every plan."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LEDGER = (ROOT / "docs" / "ledger.md").read_text()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FILES = [path for path in (ROOT / "notebooks").iterdir() if path.suffix in (".xlsx", ".csv")]  # which they read


@pytest.mark.sampling
def test_the_readme_example_runs_and_is_twelve_lines(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[:1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("passed the gate")
    assert (tmp_path / "forest.png").stat().st_size > 5_000
    assert "MADRS points" in (tmp_path / "report.html").read_text()


def test_the_ledger_lists_every_plan():
    from bayesdep.plan import find_plans, read_plan

    for path in find_plans(ROOT / "models"):
        plan = read_plan(path)
        assert f"{plan.study.name}/{plan.name}" in LEDGER


def parts_of_the_ledger():
    """The lines of real and of synthetic data, and the sentence that counts each."""
    (text,) = re.findall(r"```text\n(.*?)```", LEDGER, flags=re.DOTALL)
    lines = text.splitlines()
    ends = [
        next(i for i, line in enumerate(lines) if line.startswith(f"{kind} data,")) for kind in ("Real", "Synthetic")
    ]
    return lines[: ends[0]], lines[ends[0]], lines[ends[0] + 1 : ends[1]], lines[ends[1]]


def test_the_ledger_has_real_and_synthetic_data_apart_and_counts_them():
    from bayesdep.reporting.console import total_in_words

    real, real_total, made, made_total = parts_of_the_ledger()
    for lines, total, heading, synthetic in (
        (real, real_total, "Agrees", False),
        (made, made_total, "Recovered", True),
    ):
        start, end = lines[0].index(heading), lines[0].index("Published in")
        verdicts = [line[start:end].strip() for line in lines[1:] if line.startswith("  ")]
        assert total == total_in_words(verdicts, synthetic)
        assert sum(int(n) for n in re.findall(r"(?<=[:,] )\d+(?= [a-z])", total)[1:]) == len(verdicts)
        titles = [line for line in lines[1:] if not line.startswith("  ")]
        assert all(("SYNTHETIC DATA" in title) == synthetic for title in titles)
    assert not any("yes" in line.split() for line in made)


def test_the_readme_is_short_and_its_links_lead_somewhere():
    assert len(README.splitlines()) < 150
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_the_readme_names_every_command_of_the_command_line():
    out = subprocess.run(
        [sys.executable, "-m", "bayesdep.cli", "--help"], capture_output=True, text=True, check=True
    ).stdout
    commands = re.findall(r"│ ([a-z]+)  ", out)
    assert {"run", "compare", "reproduce", "export", "datasets", "simulate"} <= set(commands)
    for command in commands:
        assert f"bayesdep {command}" in README


@pytest.mark.sampling
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_run_from_top_to_bottom(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    for file in FILES:
        shutil.copy(file, tmp_path)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)


def test_the_notebooks_files_are_those_that_the_readers_are_tested_on():
    assert {path.name for path in FILES} == {"lab_sheet.xlsx", "lab_sheet_commas.csv"}
    for path in FILES:
        assert path.read_bytes() == (ROOT / "tests" / "data" / path.name).read_bytes()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_site_shows_what_the_notebooks_give(path):
    """Outputs are committed, without a machine's paths or an error; each picture says what it shows."""
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    text = path.read_text(encoding="utf-8")
    assert "/tmp/" not in text
    assert "/work/" not in text
    for cell in cells:
        kinds = [output.output_type for output in cell.outputs]
        assert "error" not in kinds
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            assert len(cell.metadata["mystnb"]["image"]["alt"]) > 40, cell.source
    assert path.stat().st_size < 700_000


def test_the_lock_names_no_host():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--hash=sha256:" in lock
