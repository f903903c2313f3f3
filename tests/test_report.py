"""The report opens with no network, says everything a referee asks, and lets no text become markup."""

import base64
import dataclasses
import html
import io
import re
from html.parser import HTMLParser

import matplotlib.image
import pandas as pd
import pytest

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import Criterion, Gate
from bayesdep.reporting.estimands import summarise
from bayesdep.reporting.figures.register import FIGURES, figures_of, png
from bayesdep.reporting.ledger import Published, ledger
from bayesdep.reporting.report import report

HOSTILE = '<script>alert("x")</script> & <img src=http://evil.example/x.png>'
PLAN = f'[study]\nname = "demo"\ntitle = "{HOSTILE}"\n# published <b>elsewhere</b>\n'
FAILURE = Gate((Criterion("R-hat", 1.23, 1.01, False, "sensitivity"),))


@pytest.fixture(scope="module")
def fit():
    model = bd.Screen(
        condition="responder",
        positives="below_34_pg_per_mL",
        priors={"sensitivity": bd.Prior("Beta", alpha=2, beta=1)},
    )
    return bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)


@pytest.fixture(scope="module")
def images(fit):
    return {name: png(figure) for name, figure in figures_of(fit).items()}


@pytest.fixture(scope="module")
def rows(fit):
    published = [
        Published(estimand="sensitivity", source="Kiraly 2017, Figure 3c", value=0.79, note=HOSTILE),
        Published(estimand="likelihood_ratio_positive", source="Kiraly 2017, Figure 3c", value=1e4),
    ]
    return ledger(published, summarise(fit))


@pytest.fixture(scope="module")
def page(fit, rows, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    made = report(fit, path, title=HOSTILE, question=HOSTILE + "?", plan_text=PLAN, ledger=rows, figures=images)
    assert made == path
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Elements with their attributes, and the visible text."""

    VOID = ("meta", "img", "link", "br", "hr", "input")

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open = [], "", []
        self.feed(text)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.text += " " if tag in ("td", "th") else ""

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.text += data


@pytest.fixture(scope="module")
def read(page):
    return Page(page)


def test_report_asks_nothing_of_the_network(page, read):
    for tag, attrs in read.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "srcset", "data", "action", "background", "poster"):
            assert attrs.get(name, "data:").startswith(("data:", "#"))
        assert not any(name.startswith("on") for name in attrs), "no handlers of events"
        assert "url(" not in (attrs.get("style") or "")
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_images_are_the_figures_themselves(read, images):
    sources = [attrs["src"] for tag, attrs in read.elements if tag == "img"]
    prefix = "data:image/png;base64,"
    shown = [base64.b64decode(s.removeprefix(prefix)) for s in sources]
    assert sorted(shown) == sorted(images.values())
    assert shown[0] == images["forest"], "the main figure comes first"
    for name in images:
        assert FIGURES[name].caption in read.text


def test_hostile_text_is_shown_and_never_run(page, read):
    assert "<script" not in page
    assert read.text.count(HOSTILE) >= 4  # title, question, plan, note of the ledger
    assert PLAN in read.text
    assert f"<title>{html.escape(HOSTILE, quote=False)}" in page.replace("&#34;", '"')


def test_the_answer_stands_first_and_the_rest_is_grouped_by_question(page):
    parts = re.findall(r'<(?:section|details) id="([a-z-]+)"', page)
    assert parts == [
        *["answer", "sample", "estimands", "decisions", "what-was-fitted", "does-it-fit", "prior-dependence"],
        *["computation", "reproduce", "guidelines"],
    ]
    assert page.index('class="answer"') < page.index("<img") < page.index("<nav") < page.index('id="sample"')


def test_every_internal_link_leads_somewhere_and_every_item_of_the_guidelines_has_its_place(page):
    targets = set(re.findall(r'id="([^"]+)"', page))
    links = re.findall(r'href="#([^"]+)"', page)
    assert len(links) > 25
    assert set(links) <= targets
    listed = section(page, "guidelines")
    for item in ("1.A", "1.C", "1.E", "2.B", "2.C", "3.A", "3.B", "5.C"):
        assert re.search(rf"{item} [A-Z]\S", listed), item


def section(page, name):
    """The text of a part of the page, or of what follows one of its headings."""
    if f'<h3 id="{name}">' in page:
        body = re.search(rf'<h3 id="{name}">(.*?)(<h3|</details>|</section>)', page, re.DOTALL)[1]
        body = body.partition("</h3>")[2]
    else:
        body = re.search(rf'<(?:section|details) id="{name}"[^>]*>(.*?)</(?:section|details)>', page, re.DOTALL)[1]
    return " ".join(Page(f"<div>{re.sub(r'<img[^>]*>', '', body)}</div>").text.split())


def test_data_are_named_with_citation_place_and_hash(page, fit):
    text = section(page, "data")
    table = bd.load("kiraly2017_fgf2_roc")
    assert table.attrs["title"] in text
    assert table.attrs["citation"] in text
    assert table.attrs["place"] in text
    assert "published:kiraly2017_fgf2_roc" in text
    assert fit.data.attrs["sha256"][:16] in text
    for known in table.attrs["inconsistencies"]:
        assert known in text


def test_model_is_told_in_words_and_as_a_formula(page, fit):
    text = section(page, "what-was-fitted")
    assert fit.model.words in text
    for line in fit.model.formula:
        assert line in text


def test_priors_say_what_they_mean_in_units_and_who_chose_them(page):
    text = section(page, "priors")
    lower, upper = bd.Prior("Beta", alpha=2, beta=1).interval
    assert "Parameter Prior Meaning 95% between Units Justification" in text
    assert (
        f"sensitivity Beta(alpha=2, beta=1) the sensitivity {lower:.3f} to {upper:.3f} "
        "probability chosen for this study; no reason was stated" in text
    )
    assert "specificity Beta(alpha=0.5, beta=0.5) the specificity 0.00" in text
    assert "the model's default: weakly informative" in text


def test_gate_is_told_first_as_a_sentence_and_then_criterion_by_criterion(page, read, fit):
    assert fit.gate.passed
    assert fit.gate.sentence in read.text.partition("Analysed")[0].partition("Contents")[0]
    text = section(page, "sampling")
    for criterion in fit.gate.criteria:
        assert criterion.name in text
        assert f"{criterion.value:.4g}" in text
    assert "independent draws" in text
    assert "(seed 1)" in text


def test_estimands_checks_and_sensitivity_list_every_one(page, fit):
    shown, sensitive = section(page, "estimands"), section(page, "sensitivity")
    for name in fit.estimands.data_vars:
        assert str(name) in shown
        assert str(name) in sensitive
    lower, upper = summarise(fit).set_index("estimand").loc["sensitivity", ["lower", "upper"]]
    assert f"{lower:.2f} to {upper:.2f}" in shown
    for name in ("share positive: responder", "share positive: non-responder"):
        assert name in section(page, "checks")


def test_ledger_shows_verdicts(page):
    text = section(page, "ledger")
    assert re.search(r"sensitivity 0\.79 0\.\d+ \(0\.\d+, 0\.\d+\) yes Kiraly 2017, Figure 3c", text)
    assert re.search(r"likelihood_ratio_positive 10000 .* no Kiraly 2017, Figure 3c", text)


def test_versions_machine_and_timings_are_there(page, fit):
    text = section(page, "reproduce")
    for package, version in fit.manifest["versions"].items():
        assert f"{package} {version}" in text
    assert fit.manifest["machine"] in text
    assert "sample" in text


def test_report_without_plan_and_ledger_leaves_their_parts_out(fit, images, tmp_path):
    page = report(fit, tmp_path / "r.html", figures=images).read_text(encoding="utf-8")
    assert 'id="ledger"' not in page
    assert 'id="plan"' not in page
    assert f"<h1>{html.escape(fit.data.attrs['title'])}</h1>" in page


def test_failed_gate_is_said_before_anything_else(fit, images, tmp_path):
    failed = dataclasses.replace(fit, manifest={**fit.manifest, "gate": FAILURE.to_dict()})
    page = report(failed, tmp_path / "r.html", title="Title", figures=images).read_text(encoding="utf-8")
    body = Page(page.partition("<body>")[2].partition("</header>")[0] + "</header>").text
    assert body.strip().startswith("FAILED THE GATE, do not use these numbers: R-hat 1.23")
    assert "passed the gate" not in page
    assert page.index("FAILED THE GATE") < page.index("<h1>")


def test_synthetic_data_are_said_before_the_title_and_on_every_figure(tmp_path):
    model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    fit = bd.fit(model, bd.simulate("kiraly2017_fgf2_roc", seed=3).table, draws=100)
    figures = figures_of(fit)
    for figure in figures.values():
        assert "SYNTHETIC DATA" in figure.get_suptitle()
    images = {name: png(figure) for name, figure in figures.items()}
    page = report(fit, tmp_path / "r.html", figures=images).read_text(encoding="utf-8")
    assert page.index("SYNTHETIC DATA") < page.index("<h1>")


def test_report_of_real_data_does_not_say_synthetic(page):
    assert "SYNTHETIC" not in page


def test_report_that_cannot_be_written_is_refused(fit, images, tmp_path):
    with pytest.raises(BadInput, match="cannot be written"):
        report(fit, tmp_path / "nowhere" / "r.html", figures=images)


# Figures.


def test_every_figure_but_the_rank_plot_is_drawn_of_independent_draws(images):
    assert set(images) == {"forest", "prior_posterior", "scaled_priors", "checks"}


def test_figures_are_drawn_and_not_white(images):
    for name, image in images.items():
        assert image.startswith(b"\x89PNG\r\n\x1a\n")
        pixels = matplotlib.image.imread(io.BytesIO(image))
        height, width = pixels.shape[:2]
        assert width >= 500, name
        assert height >= 150, name
        inked = (pixels[..., :3] < 0.98).any(axis=-1).mean()
        assert 0.005 < inked < 0.9, name


def test_same_figure_gives_the_same_bytes(fit, images):
    assert png(bd.plot_forest(fit)) == images["forest"]


def test_figures_of_a_failed_fit_say_so(fit):
    failed = dataclasses.replace(fit, manifest={**fit.manifest, "gate": FAILURE.to_dict()})
    assert bd.plot_checks(failed).get_suptitle() == "FAILED THE GATE"
    assert bd.plot_checks(fit).get_suptitle() == ""


def test_forest_shows_crude_estimates_and_the_posterior_median(fit):
    axes = bd.plot_forest(fit).axes[0]
    drawn = {float(x) for line in axes.lines for x in line.get_xdata()}
    table = summarise(fit).set_index("estimand")
    for name, crude in {"sensitivity": 15 / 19, "specificity": 11 / 12, "youden": 15 / 19 - 1 / 12}.items():
        assert min(abs(x - crude) for x in drawn) < 1e-12
        assert table.loc[name, "median"] in drawn


def test_rank_plot_of_chains_is_drawn(fit):
    """Of draws in chains; independent ones have none to compare."""
    with pytest.raises(bd.BadInput, match="plot_ranks is for fits with chains"):
        bd.plot_ranks(fit)
    figure = bd.plot_ranks(dataclasses.replace(fit, manifest={**fit.manifest, "sampler": "nutpie"}))
    lines = figure.axes[0].lines
    assert len(lines) == fit.posterior.sizes["chain"] + 1
    assert pd.Series([len(line.get_xdata()) for line in lines]).max() > 100
