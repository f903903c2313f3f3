"""Reports as a browser shows them and as paper has them: on a telephone, on a desk, read aloud, with no network."""

import dataclasses
import re

import pandas as pd
import pytest
from browsing import DESK, PHONE, Browser, require_browser
from unsampled import made

import bayesdep as bd
from bayesdep.reporting import pdf


@pytest.fixture(scope="module")
def browser():
    require_browser(axe=True)
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="module", params=["meta", "trial", "cytokines"])
def page(request, tmp_path_factory):
    require_browser(axe=True)
    return bd.report(made(request.param), tmp_path_factory.mktemp("page") / "report.html", question="Who benefits?")


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["390 px", "1200 px"])
def test_a_report_in_a_browser(page, browser, size):
    """No error, no request, nothing beyond the edge, links that lead somewhere, and no rule of axe-core broken."""
    browser.open(page, size)
    assert browser.complaints == []
    assert [url for url in browser.requested if not url.startswith(("file:", "data:"))] == []
    dead = (
        "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.querySelector(a.hash)).map(a => a.hash)"
    )
    assert browser.evaluate(dead) == []
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert browser.evaluate("[...document.images].filter(i => i.alt.length < 40).length") == 0
    assert browser.evaluate("[...document.images].every(i => i.naturalWidth > 300)")
    assert browser.violations() == []


def test_the_page_tests_would_find_a_broken_page(tmp_path, browser):
    broken = tmp_path / "broken.html"
    broken.write_text(
        "<!doctype html><html><head><title>x</title></head><body><img src='http://example.invalid/x.png'>"
        "<p style='color:#ccc;width:900px'>pale</p><script>throw new Error('no')</script></body></html>"
    )
    browser.open(broken, PHONE)
    assert browser.complaints
    assert any("example.invalid" in url for url in browser.requested)
    assert browser.evaluate("document.documentElement.scrollWidth") > PHONE[0]
    broken_rules = {rule for rule, _ in browser.violations()}
    assert "image-alt" in broken_rules
    assert any(rule.endswith("contrast") for rule in broken_rules)


def test_a_report_as_pdf_has_every_part_open(tmp_path):
    require_browser()
    fit = bd.fit(bd.Screen(condition="responder", positives="below_34_pg_per_mL"), bd.load("kiraly2017_fgf2_roc"))
    path = bd.report(fit, tmp_path / "report.pdf")
    content = path.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 3
    assert list(tmp_path.iterdir()) == [path]


def test_printing_a_page_opens_its_parts(browser, tmp_path):
    """Someone prints report.html from the browser: what is collapsed on the screen is on paper."""
    fit = bd.fit(bd.Screen(condition="responder", positives="below_34_pg_per_mL"), bd.load("kiraly2017_fgf2_roc"))
    browser.open(bd.report(fit, tmp_path / "report.html"))
    height = "document.getElementById('guidelines').offsetHeight"
    closed = browser.evaluate(height)
    browser.call("Emulation.setEmulatedMedia", media="print")
    opened = browser.evaluate(height)
    browser.call("Emulation.setEmulatedMedia", media="")
    assert opened > 5 * closed


def test_a_pdf_without_a_browser_is_refused_with_a_remedy(tmp_path, monkeypatch):
    fit = bd.fit(bd.Screen(condition="responder", positives="below_34_pg_per_mL"), bd.load("kiraly2017_fgf2_roc"))
    monkeypatch.setenv("BAYESDEP_BROWSER", "no-such-browser")
    with pytest.raises(bd.BadInput, match="BAYESDEP_BROWSER = 'no-such-browser' is no program; install one"):
        bd.report(fit, tmp_path / "report.pdf", figures={})
    monkeypatch.delenv("BAYESDEP_BROWSER")
    monkeypatch.setattr(pdf, "BROWSERS", ())
    monkeypatch.setattr(pdf, "_USUAL", ())
    with pytest.raises(bd.BadInput, match="no Chromium, Chrome or Edge is installed; install one"):
        bd.report(fit, tmp_path / "report.pdf", figures={})
    assert list(tmp_path.iterdir()) == []
    assert bd.report(fit, tmp_path / "report.html", figures={}).is_file(), "the remedy works"


# What a report says of single people: nothing.

OF_PEOPLE = (
    "trial", "trial-arms", "cytokines", "crossover", "patient-meta", "trajectories", "growth", "ordinal", "transitions",
    "response", "correlation",
)  # fmt: skip


@pytest.mark.parametrize("family", OF_PEOPLE)
def test_no_label_and_no_cell_of_a_person_stands_in_a_report(family, tmp_path, capsys, monkeypatch):
    import unsampled

    value = 23.718281828  # of one person, in every column of numbers

    def marked(table):
        table = table.copy()
        table["subject"] = ["Zx-PID-" + str(label) for label in table["subject"]]
        first = table.index[table["subject"] == table["subject"].iloc[0]]
        for column in ("outcome", "value", "baseline", "score"):
            if column in table and pd.api.types.is_float_dtype(table[column]):
                table.loc[first, column] = table.loc[first, column].where(table.loc[first, column].isna(), value)
        return table

    for name in ("visits", "occasions", "stages", "periods", "panel", "patients", "courses"):
        original = getattr(unsampled, name)
        monkeypatch.setattr(unsampled, name, lambda *a, original=original, **k: marked(original(*a, **k)))
    fit = made(family)
    fit = dataclasses.replace(fit, manifest={**fit.manifest})
    text = bd.report(fit, tmp_path / "report.html").read_text(encoding="utf-8")
    said = capsys.readouterr()
    for where in (text, said.out, said.err, repr(fit)):
        assert "Zx-PID" not in where
        assert "23.718" not in where


def test_people_are_named_in_a_report_where_they_are_asked_for(tmp_path, monkeypatch):
    import unsampled

    original = unsampled.panel
    label = "Zx-PID-"
    monkeypatch.setattr(
        unsampled, "panel", lambda *a, **k: original(*a, **k).assign(subject=lambda t: label + t["subject"].astype(str))
    )
    fit = made("cytokines")
    assert label not in bd.report(fit, tmp_path / "hidden.html", figures={}).read_text(encoding="utf-8")
    asked = bd.report(fit, tmp_path / "asked.html", figures={}, people=True).read_text(encoding="utf-8")
    assert label in asked
    assert "are of single people and not shown" not in asked


def test_the_title_of_a_report_of_your_own_file_is_its_name_and_not_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"study": ["a", "b", "c"], "effect": [0.1, 0.2, 0.3], "se": [0.1, 0.1, 0.2]}).to_csv("mine.csv")
    fit = bd.fit(bd.Meta(measure="standardised-difference"), bd.read_table(tmp_path / "mine.csv"), draws=200, seed=1)
    text = bd.report(fit, "report.html", figures={}).read_text(encoding="utf-8")
    assert "<title>Meta of mine.csv</title>" in text
    assert "Meta of mine.csv.</p>" in text, "and no citation that nobody stated"
    assert str(tmp_path) not in text
