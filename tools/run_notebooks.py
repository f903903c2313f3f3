"""Execute the notebooks and keep their outputs, which the site shows: `python tools/run_notebooks.py [FILE ...]`."""

import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
READ = ("lab_sheet.xlsx", "lab_sheet_commas.csv")
LONGEST = 3600  # seconds a cell may take


def main() -> None:
    """Execute the notebooks named on the command line, or all of them, each in a folder with the files they read."""
    for path in [Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            for name in READ:
                shutil.copy(NOTEBOOKS / name, folder)
            NotebookClient(notebook, timeout=LONGEST, resources={"metadata": {"path": folder}}).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times of day
        nbformat.write(notebook, path)
        print(path.name, flush=True)


if __name__ == "__main__":
    main()
