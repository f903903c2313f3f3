"""The documentation site: what its check finds, and that it says all of what is public."""

import doctest
import inspect
import re
import tomllib
from pathlib import Path

import check_site
import pytest

import bayesdep as bd

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

PAGE = """<!doctype html><html lang="en"><head><title>t</title><link rel="canonical" href="https://example.org/">
<link rel="stylesheet" href="a.css"></head><body id="top"><h1 id="one">One</h1><a href="#one">here</a>
<a href="sub/b.html#two">there</a><a href="https://example.org">away</a><img src="a.png" alt="A line that falls">
</body></html>"""
OTHER = '<html><body><p id="two">Two</p><a href="../index.html">back</a></body></html>'


@pytest.fixture
def site(tmp_path):
    (tmp_path / "sub").mkdir()
    for name, text in {"index.html": PAGE, "sub/b.html": OTHER, "a.css": "p { color: red }", "a.png": ""}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_page_whose_links_lead_somewhere_passes(site):
    assert list(check_site.faults(site)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('href="#one"', 'href="#three"', "the link #three leads to a page without that place"),
        ("sub/b.html#two", "sub/c.html", "the link sub/c.html leads nowhere"),
        ("sub/b.html#two", "sub/b.html#three", "the link sub/b.html#three leads to a page without that place"),
        (
            'href="a.css"',
            'href="https://fonts.example.org/a.css"',
            "loads https://fonts.example.org/a.css from the network",
        ),
        ('href="a.css"', 'href="b.css"', "loads b.css, which is not there"),
        (
            "</body>",
            '<script src="//cdn.example.org/a.js"></script></body>',
            "loads //cdn.example.org/a.js from the network",
        ),
        (
            "</head>",
            "<style>@import url(https://e.org/f.css)</style></head>",
            "loads https://e.org/f.css from the network",
        ),
        ('alt="A line that falls"', "", "the figure a.png has no text that says what it shows"),
        ('alt="A line that falls"', 'alt="../_images/a.png"', "the figure a.png has no text that says what it shows"),
    ],
)
def test_each_fault_of_a_page_is_found(site, old, new, fault):
    assert old in PAGE
    (site / "index.html").write_text(PAGE.replace(old, new, 1))
    assert list(check_site.faults(site)) == [f"index.html: {fault}"]


def test_style_sheets_that_load_from_the_network_are_found(site):
    (site / "a.css").write_text("/* url(https://a.org) */ @font-face { src: url('https://fonts.example.org/x.woff2') }")
    assert list(check_site.faults(site)) == ["a.css: loads https://fonts.example.org/x.woff2 from the network"]


def test_an_empty_site_is_a_fault(tmp_path):
    assert list(check_site.faults(tmp_path)) == [f"{tmp_path}: there is no page"]


@pytest.mark.parametrize("name", bd.__all__)
def test_every_public_name_is_documented_with_an_example(name):
    text = inspect.getdoc(getattr(bd, name)) or ""
    assert re.search(r"^Examples\n-+\n(?:.*\n)*?>>> ", text, flags=re.M)


def skipped_examples():
    """Public names whose example is not run with the others, because its fit takes a minute."""
    return [name for name in bd.__all__ if "+SKIP" in (inspect.getdoc(getattr(bd, name)) or "")]


@pytest.mark.slow
@pytest.mark.parametrize("name", skipped_examples())
def test_an_example_that_takes_a_minute_runs(name):
    text = inspect.getdoc(getattr(bd, name)).replace("# doctest: +SKIP", "")
    made = {}
    for example in doctest.DocTestParser().get_examples(text):
        exec(example.source, made)
    assert {"figure", "table"} & set(made)


def test_the_reference_lists_every_public_name_once():
    listed = re.findall(r"^   (\w+)$", (DOCS / "reference" / "index.md").read_text(), flags=re.M)
    assert sorted(listed) == bd.__all__


def families():
    return sorted(
        path.parent.name for path in (ROOT / "bayesdep" / "models").glob("*/settings.py") if path.parent.name != "parts"
    )


def test_every_model_has_a_page_and_a_row_in_the_table_of_models():
    pages = {path.stem for path in (DOCS / "models").glob("*.md")} - {"index"}
    assert pages == set(families())
    index, choice, readme = (
        path.read_text() for path in (DOCS / "models" / "index.md", DOCS / "which_model.md", ROOT / "README.md")
    )
    for family in pages:
        (public,) = re.findall(r"^# (\w+):", (DOCS / "models" / f"{family}.md").read_text())
        assert f"\n{family}\n" in index
        assert f"[{public}](models/{family}.md)" in choice
        assert f"| `{public}` |" in readme
        assert public in bd.__all__


@pytest.mark.parametrize("family", families())
def test_the_page_of_a_model_says_all_of_it(family):
    text = (DOCS / "models" / f"{family}.md").read_text()
    parts = re.findall(r"^## (.*)$", text, flags=re.M)
    assert parts == [
        *("The model", "Formula and priors, in units", "What it reports", "How it is derived", "What it assumes"),
        *("Calibration", "Agreement with R and other references"),
    ]
    for part in ("How it is derived", "What it assumes", "Agreement with R and other references"):
        written = text.split(f"## {part}\n")[1].split("\n## ")[0]
        assert len(written.split()) >= 15, part


def test_every_figure_of_the_gallery_is_there_and_says_what_it_shows():
    gallery = tomllib.loads((DOCS / "figures" / "gallery.toml").read_text(encoding="utf-8"))
    for name, entry in gallery.items():
        assert (DOCS / "figures" / f"{name}.png").stat().st_size > 5_000
        assert (ROOT / "models" / f"{entry['plan']}.toml").exists()
        assert len(entry["alt"].split()) >= 10


def test_figures_of_documents_have_a_text():
    for path in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]:
        for text, _ in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
            assert len(text.split()) >= 4, path
