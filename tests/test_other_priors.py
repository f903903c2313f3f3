"""A plan repeated under other priors: what is fitted, what is written, what is kept, and what is refused.

Oracle: the Beta posterior of a two-by-two table, known for every Beta prior.
"""

import json
import re

import jsonschema
import pandas as pd
import pytest
from common import SCHOOLS_PLAN, SCREEN_PLAN
from scipy import stats
from unsampled import made

import bayesdep as bd
from bayesdep import plan as plans
from bayesdep.data.errors import BadInput
from bayesdep.plan import read_plan
from bayesdep.planning.check import check_plan
from bayesdep.planning.schema import plan_schema
from bayesdep.reporting.other_priors import OWN, priors_in_words

PLAN = (
    SCREEN_PLAN
    + """
[priors]
specificity = { dist = "Beta", alpha = 2, beta = 1 }

[sampling]
draws = 500
"""
)
DOUBTS = """
[[sensitivity]]
name = "doubts"
why = "a test of a blood marker seldom finds eight of ten"
[sensitivity.priors]
sensitivity = { dist = "Beta", alpha = 20, beta = 20 }
"""
FLAT = """
[[sensitivity]]
name = "flat"
why = "nothing is known"
[sensitivity.priors]
sensitivity = { dist = "Beta", alpha = 1, beta = 1 }
specificity = { dist = "Beta", alpha = 1, beta = 1 }
"""
PRIORS = {OWN: (0.5, 0.5), "doubts": (20, 20), "flat": (1, 1)}  # of the sensitivity
HITS, MISSES = 15, 4


def text_of(name):
    alpha, beta = PRIORS[name]
    lower, median, upper = stats.beta(alpha + HITS, beta + MISSES).ppf([0.025, 0.5, 0.975])
    return f"{median:.2f} ({lower:.2f}, {upper:.2f})"


def written(folder, *parts):
    path = folder / "screen.toml"
    path.write_text("".join(parts))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return bd.run_plan(written(folder, PLAN, DOUBTS, FLAT), out=folder / "out")


def test_other_priors_replace_the_plans_and_leave_the_rest(tmp_path):
    doubts, flat = read_plan(written(tmp_path, PLAN, DOUBTS, FLAT)).alternatives
    assert (doubts.name, doubts.why) == ("doubts", "a test of a blood marker seldom finds eight of ten")
    assert (doubts.model.priors["sensitivity"]["alpha"], doubts.model.priors["specificity"]["alpha"]) == (20, 2)
    assert (flat.model.priors["sensitivity"]["alpha"], flat.model.priors["specificity"]["alpha"]) == (1, 1)


def test_the_table_has_the_exact_posterior_under_each(run):
    found = pd.read_csv(run.directory / "sensitivity.csv").set_index(["estimand", "priors"])
    for name, (alpha, beta) in PRIORS.items():
        posterior = stats.beta(alpha + HITS, beta + MISSES)
        row = found.loc[("sensitivity", name)]
        assert row[["lower", "median", "upper"]].to_numpy(float) == pytest.approx(posterior.ppf([0.025, 0.5, 0.975]))
        own = stats.beta(0.5 + HITS, 0.5 + MISSES)
        assert row["shift"] == pytest.approx((posterior.median() - own.median()) / own.std())
    assert found.loc[("specificity", "doubts"), "shift"] == 0  # its prior is the plan's
    assert found.loc[("sensitivity", "doubts"), "replaced"] == "sensitivity ~ Beta(alpha=20, beta=20)"
    assert found.loc[("sensitivity", "flat"), "why"] == "nothing is known"


def test_fits_report_and_diagnostics_are_in_the_run(run):
    assert list(run.refits) == ["doubts", "flat"]
    for name, fit in run.refits.items():
        assert bd.Fit.load(run.directory / "sensitivity" / f"{name}.nc").posterior.equals(fit.posterior)
    page = (run.directory / "report.html").read_text()
    part = page.partition('id="refits"')[2].partition("<h3")[0]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", part)
    assert cells[:10] == [
        "sensitivity", OWN, text_of(OWN), "", "passed",
        "sensitivity", "doubts", text_of("doubts"), cells[8], "passed",
    ]  # fmt: skip
    assert float(cells[8]) < -1
    assert "nothing is known" in part
    assert "The largest shift is" in part
    assert "under the priors &#39;doubts&#39;" in part
    assert set(json.loads((run.directory / "diagnostics.json").read_text())["other_priors"]) == {"doubts", "flat"}


def test_nothing_is_sampled_twice(run, monkeypatch):
    monkeypatch.setattr(plans, "fit_plan", lambda *_, **__: pytest.fail("fitted again"))
    again = bd.run_plan(run.plan, out=run.directory)
    assert again.is_kept
    assert again.refits["doubts"].posterior.equals(run.refits["doubts"].posterior)


def test_only_what_is_missing_is_fitted_again(tmp_path, monkeypatch):
    path = written(tmp_path, PLAN, DOUBTS, FLAT)
    first = bd.run_plan(path, out=tmp_path / "out")
    fits, real = [], plans.fit_plan
    monkeypatch.setattr(plans, "fit_plan", lambda plan, **how: fits.append(plan.model) or real(plan, **how))
    (tmp_path / "out" / "report.html").unlink()
    bd.run_plan(path, out=tmp_path / "out")
    assert not fits
    assert (tmp_path / "out" / "report.html").exists()
    (tmp_path / "out" / "sensitivity" / "flat.nc").write_bytes(b"damaged")
    second = bd.run_plan(path, out=tmp_path / "out")
    assert fits == [first.plan.alternatives[1].model]
    assert second.refits["flat"].posterior.equals(first.refits["flat"].posterior)


@pytest.mark.sampling
def test_an_interrupted_refit_goes_on_where_it_was(tmp_path, monkeypatch):
    """The plan's own chains are kept until the fits under other priors are written."""
    other = (
        '[[sensitivity]]\nname = "wide"\nwhy = "x"\n[sensitivity.priors]\ntau = { dist = "HalfNormal", sigma = 30 }\n'
    )
    path = tmp_path / "schools.toml"
    path.write_text(SCHOOLS_PLAN + other)
    whole = bd.run_plan(path, out=tmp_path / "whole")
    real = plans._refit
    monkeypatch.setattr(plans, "_refit", lambda *_: (_ for _ in ()).throw(RuntimeError("the machine went down")))
    with pytest.raises(RuntimeError, match="went down"):
        bd.run_plan(path, out=tmp_path / "out")
    monkeypatch.setattr(plans, "_refit", real)
    said = []
    found = bd.run_plan(path, out=tmp_path / "out", resume=True, say=said.append)
    assert any("goes on with the finished chains" in line for line in said)
    assert found.fit.posterior.equals(whole.fit.posterior)
    assert found.refits["wide"].posterior.equals(whole.refits["wide"].posterior)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "schools.toml", "whole"]  # no chains are left


def test_a_fit_that_fails_its_gate_is_said():
    trial = made("trial", draws=40)
    found = bd.compare_priors(trial, {"other": made("trial", draws=40, seed=2)})
    assert found.attrs["sentence"].endswith("FAILED THE GATE: the fit under 'other'; do not rely on it.")
    assert set(priors_in_words(found)["Gate"]) == {"FAILED"}


def test_other_models_and_data_are_refused():
    fit = made("meta")
    with pytest.raises(BadInput, match=r"'x' is a fit of a Screen, .* give fits of the same model"):
        bd.compare_priors(fit, {"x": made("screen")})
    asked = fit.with_primary("theta")
    with pytest.raises(BadInput, match="give fits of the same model to the same data"):
        bd.compare_priors(asked, {"x": made("meta", n=3)})
    assert len(bd.compare_priors(asked, {"x": made("meta")})) == 2 * 8


def test_the_command_line_prints_them(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said, _ = command("run", written(tmp_path, PLAN, DOUBTS), "--draws", 250, "--out", "out")
    assert code == 0
    assert re.search(rf"sensitivity +doubts +{re.escape(text_of('doubts'))} +-\d\.\d\d +passed", said)
    assert "The largest shift is" in said


def test_check_says_what_would_be_repeated(tmp_path):
    found = check_plan(written(tmp_path, PLAN, DOUBTS))
    assert "again under the priors 'doubts' (sensitivity): a test of a blood marker seldom finds eight of ten" in (
        found.lines
    )


REFUSED = [
    (DOUBTS + DOUBTS, "sensitivity 'doubts' stands twice; give each its own name", DOUBTS + FLAT),
    (DOUBTS.partition("sensitivity = {")[0], "replaces no prior; name one in [sensitivity.priors]", DOUBTS),
    (
        DOUBTS.replace("sensitivity = {", "specificity = {").replace("20", "2", 1).replace("20", "1"),
        "has the plan's own priors; change one",
        DOUBTS,
    ),
    (DOUBTS.replace("sensitivity = {", "sensitivty = {"), "sensitivity 'doubts': ", DOUBTS),
    (DOUBTS.replace("alpha = 20", "alpha = -1"), "sensitivity 'doubts': ", DOUBTS),
    (DOUBTS.replace('name = "doubts"\n', ""), "'sensitivity.1.name' is missing; add it", DOUBTS),
    (DOUBTS.replace('"doubts"', '"grave doubts/"'), "a name of letters, digits", DOUBTS),
    (re.sub("why = .*\n", "", DOUBTS), "'sensitivity.1.why' is missing; add it", DOUBTS),
    (DOUBTS.replace("why", "because"), "unknown key 'sensitivity.1.because'", DOUBTS),
]


@pytest.mark.parametrize(("text", "words", "advised"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_repeated_is_refused_and_the_advice_works(tmp_path, text, words, advised):
    with pytest.raises(BadInput) as refused:
        read_plan(written(tmp_path, PLAN, text))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert read_plan(written(tmp_path, PLAN, advised)).alternatives


def test_priors_that_this_table_refuses_are_found_before_anything_is_sampled(tmp_path, monkeypatch):
    """Three arms: a prior of effects that are correlated must be Normal."""
    rows = [{"subgroup": g, "arm": a, "events": 3, "n": 20} for g in "fm" for a in "pqr"]
    pd.DataFrame(rows).to_csv(tmp_path / "arms.csv", index=False)
    text = (
        '[study]\nname = "demo"\ntitle = "x"\n[data]\nsource = "arms.csv"\n[model]\nfamily = "counts"\ncontrol = "p"\n'
        '[[sensitivity]]\nname = "heavy"\nwhy = "x"\n[sensitivity.priors]\n'
        'effect_mean = { dist = "StudentT", nu = 4, mu = 0, sigma = 1 }\n'
    )
    path = tmp_path / "arms.toml"
    path.write_text(text)
    monkeypatch.setattr(plans, "fit_plan", lambda *_, **__: pytest.fail("fitted"))
    with pytest.raises(BadInput, match="sensitivity 'heavy': "):
        bd.run_plan(path, out=tmp_path / "out")
    assert any("sensitivity 'heavy': " in fault for fault in check_plan(path).faults)


def test_the_schema_knows_them():
    plan = {
        "study": {"name": "demo", "title": "x"},
        "data": {"source": "published:kiraly2017_fgf2_roc"},
        "model": {"family": "screen", "condition": "responder"},
        "sensitivity": [{"name": "x", "why": "y", "priors": {"sensitivity": {"dist": "Beta", "alpha": 1, "beta": 1}}}],
    }
    validator = jsonschema.Draft7Validator(plan_schema())
    assert validator.is_valid(plan)
    plan["sensitivity"][0]["priors"]["sensitivity"]["dist"] = "Beet"
    assert not validator.is_valid(plan)
