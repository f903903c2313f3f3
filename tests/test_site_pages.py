"""Pages of the documentation site as a browser shows them: on a telephone and on a desk, with no network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from browsing import DESK, PHONE, Browser, require_browser

ROOT = Path(__file__).parents[1]
# One of each kind; the tutorials have outputs of notebooks, the ledger wide lines, the reference long signatures.
PAGES = (
    "index.html", "start.html", "which_model.html", "models/trial.html", "gallery.html",
    "tutorials/your_lab_sheet.html", "tutorials/stages.html", "howto/reading.html", "ledger.html", "glossary.html",
    "reference/index.html", "reference/generated/bayesdep.Trial.html",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as ``make docs`` builds it; or one that was built, named by BAYESDEP_SITE."""
    require_browser(axe=True)
    if "BAYESDEP_SITE" in os.environ:
        return Path(os.environ["BAYESDEP_SITE"])
    out = tmp_path_factory.mktemp("site")
    build = ["-m", "sphinx", "-W", "-q", "-b", "html", "-d", str(out / "trees"), "docs", str(out / "site")]
    subprocess.run([sys.executable, *build], cwd=ROOT, check=True, capture_output=True, text=True)
    return out / "site"


@pytest.fixture(scope="module")
def browser():
    require_browser(axe=True)
    browser = Browser()
    yield browser
    browser.close()


@pytest.mark.slow
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["390 px", "1200 px"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_the_site_in_a_browser(page, size, site, browser):
    """No error, nothing from the network, nothing beyond the edge, and no rule of axe-core broken."""
    browser.open(site / page, size)
    assert browser.complaints == []
    assert [url for url in browser.requested if not url.startswith(("file:", "data:"))] == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert browser.evaluate("[...document.querySelectorAll('main img')].filter(i => i.alt.length < 40).length") == 0
    assert browser.violations() == []
