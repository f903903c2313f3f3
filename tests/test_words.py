"""The field's words: private phrases stay out; single words and British spelling are in `_typos.toml`."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("bayesdep", "benchmarks", "docs", "models", "notebooks", "tests", "tools")
ENDINGS = {".py", ".md", ".toml", ".jinja", ".ipynb", ".R", ".sh"}
# what was written -> what the field says
PHRASES = {
    r"leaves? the house": "is written",
    r"the house (is|keeps)": "the package",
    r"(hang|hung|hangs) (together|below)": "strongly correlated; drawn from its conditional",
    r"what is left to learn": "reparametrised by its approximate conditional posterior",
    r"narrow (neck|place)s?": "region of high curvature, funnel",
    r"(lie|lies) in the dark": "lie in the shaded region",
    r"counts? for one in so many": "R-hat is averaged and ESS summed over versions",
    r"the fit has not": "not in the fit",
    r"cannot be had": "is not available",
    r"saturated trees?": "maximum tree depth reached",
    r"one to spare": "unused",
    r"as if nobody had told": "ignores that values are censored",
    r"for want of": "because ... is missing",
    r"the gate lives": "the convergence check is",
    r"walks? through the rooms": "pass through the subpackages",
}


def files():
    inside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in ENDINGS]
    return sorted({*inside, *ROOT.glob("*.md"), *ROOT.glob("Makefile")} - {Path(__file__)})


def found_in(text):
    """Phrases of the list in a text, whatever its line breaks and comment signs."""
    joined = re.sub(r"[\s#]+", " ", text)
    return [phrase for phrase in PHRASES if re.search(rf"\b({phrase})\b", joined, re.IGNORECASE)]


def test_no_file_has_a_phrase_of_the_list():
    hits = [(path.relative_to(ROOT).as_posix(), phrase) for path in files() for phrase in found_in(path.read_text())]
    assert not hits, "\n".join(f"{path}: '{phrase}'; write: {PHRASES[phrase]}" for path, phrase in hits)


def test_a_phrase_is_found_across_lines():
    assert found_in("# effects hang\n    # below the data") == [r"(hang|hung|hangs) (together|below)"]
    assert found_in("these overhang togetherness") == []


@pytest.mark.skipif(shutil.which("typos") is None, reason="the word list is checked by `make lint`, with typos")
@pytest.mark.parametrize("word", ["foretell", "embarrass", "mended", "lest", "color", "behavior"])
def test_the_word_list_refuses(word, tmp_path):
    file = tmp_path / "text.md"
    file.write_text(f"This sentence has the word {word} in it.\n")
    command = ["typos", "--config", str(ROOT / "_typos.toml"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert word in done.stdout
