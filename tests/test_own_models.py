"""A model of somebody's own, in one file, is a model like the others: the tutorial's, run as it is printed."""

import ast
import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from scipy import stats

import bayesdep as bd
from bayesdep import modelling
from bayesdep.inference.evaluate import uncompiled
from bayesdep.inference.finished_chains import fingerprint
from bayesdep.models import register
from bayesdep.plan import prepare
from bayesdep.reporting.figures.composing import EVERY_FIT
from bayesdep.reporting.figures.register import FIGURES

ROOT = Path(__file__).parents[1]
TUTORIAL = (ROOT / "docs" / "howto" / "your_own_model.md").read_text()
MODEL, USE = re.findall(r"```python\n(.*?)```", TUTORIAL, flags=re.DOTALL)
(PLAN,) = re.findall(r"```toml\n(\[study\].*?)```", TUTORIAL, flags=re.DOTALL)


@pytest.fixture(autouse=True)
def nothing_stays_registered(monkeypatch):
    monkeypatch.setattr(register, "REGISTERED", {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The tutorial's model as a module of a user's, and a table of events."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "my_events.py").write_text(MODEL)
    table().to_csv(folder / "events.csv", index=False)
    (folder / "safety.toml").write_text(PLAN)
    return folder


@pytest.fixture
def module(folder, monkeypatch):
    """The module, imported as if for the first time."""
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    monkeypatch.delitem(sys.modules, "my_events", raising=False)
    return importlib.import_module("my_events")


def table():
    rng = np.random.default_rng(4)
    arm = np.repeat(["drug", "placebo"], (45, 40))
    years = np.round(rng.uniform(0.2, 2.0, len(arm)), 2)
    events = rng.poisson(years * np.where(arm == "drug", 0.9, 0.5))
    return pd.DataFrame({"arm": arm, "events": events, "years": years})


def totals(frame):
    """Events and person-years by arm, the control first: all that the likelihood knows of them."""
    by_arm = frame.groupby("arm")[["events", "years"]].sum().loc[["placebo", "drug"]]
    return by_arm["events"].to_numpy(), by_arm["years"].to_numpy()


def grid(events, years):
    """The posterior of an arm's log rate on a fine even grid: Poisson likelihood, Normal(-1, 2) prior."""
    x = np.linspace(-6, 4, 20001)
    log_density = stats.poisson.logpmf(events, years * np.exp(x)) + stats.norm.logpdf(x, -1, 2)
    weight = np.exp(log_density - log_density.max())
    return x, weight / weight.sum()


# The file.


def test_the_tutorials_model_has_forty_lines():
    (model,) = [node for node in ast.parse(MODEL).body if isinstance(node, ast.ClassDef)]
    lines = MODEL.splitlines()[model.decorator_list[0].lineno - 1 : model.end_lineno]
    assert len([line for line in lines if line.strip()]) == 40
    assert "The class has 40 lines" in TUTORIAL
    assert max(map(len, MODEL.splitlines())) <= 120


def test_the_tutorial_needs_nothing_but_public_names():
    tree = ast.parse(MODEL + USE)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"dataclasses", "numpy", "xarray", "pymc", "bayesdep"}
    asked = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    assert {n.attr for n in asked if n.value.id == "bd"} <= set(bd.__all__)
    assert {n.attr for n in asked if n.value.id == "bm"} <= set(modelling.__all__)


def test_everything_that_the_protocols_speak_of_is_public():
    """Whatever class of this package a protocol or one of its values names, can be had from bayesdep.modelling."""
    public = {name: getattr(modelling, name) for name in modelling.__all__}
    # what the quadrature of normal hierarchies returns is read by figures, not written by a model
    kinds = [value for value in public.values() if inspect.isclass(value) and value is not modelling.NormalNormal]
    missing = set()
    for kind in kinds:
        members = [m for name, m in vars(kind).items() if not name.startswith("_")]
        functions = [m.fget if isinstance(m, property) else m for m in members]
        hints = [typing.get_type_hints(f, NAMES) for f in functions if inspect.isfunction(f)]
        hints += [typing.get_type_hints(kind, NAMES)] if dataclasses.is_dataclass(kind) else []
        for hint in [h for of_one in hints for h in of_one.values()]:
            missing |= {c.__name__ for c in classes_in(hint) if c.__module__.startswith("bayesdep")} - set(public)
    assert missing == set()


NAMES = {"pm": importlib.import_module("pymc"), **vars(modelling), "xr": xr, "np": np}


def classes_in(hint):
    found = {hint} if inspect.isclass(hint) else set()
    return found.union(*(classes_in(part) for part in typing.get_args(hint)))


# The model by itself.


def test_the_table_becomes_patients_with_the_control_first(module):
    data = module.AdverseEvents(control="placebo").prepare(table())
    assert list(data["arm"].values) == ["placebo", "drug"]
    assert list(data["treatment"].values) == ["drug"]
    np.testing.assert_array_equal(data["events"], table()["events"])
    np.testing.assert_array_equal(data["arm_of"], (table()["arm"] == "drug").astype(int))
    assert data["events"].dtype.kind == "i"
    assert data.attrs["source"] == "a dataframe in memory"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"years": 0.0}, r"column 'years' \(years at risk\): row 3 is 0\.0, where a number above zero is needed"),
        ({"events": 0.5}, r"column 'events' \(adverse events\): row 3 is 0\.5, where a whole number"),
        ({"arm": None}, r"column 'arm' \(arm label\): row 3 is empty"),
    ],
)
def test_a_bad_cell_is_refused_by_column_and_row(module, change, said):
    frame = table().astype({"events": float})
    for column, value in change.items():
        frame.loc[2, column] = value
    with pytest.raises(bd.BadInput, match=said):
        module.AdverseEvents(control="placebo").prepare(frame)
    with pytest.raises(bd.BadInput, match="column 'arm' has no patients of 'sham' and another arm; correct it"):
        module.AdverseEvents(control="sham").prepare(table())


def test_its_density_is_that_written_by_hand(module):
    import pytensor

    frame = table()
    model = module.AdverseEvents(control="placebo")
    graph = model.build(model.prepare(frame))
    density = pytensor.function(graph.value_vars, graph.logp(), mode=uncompiled())
    for log_rate in ([0.0, 0.0], [-2.0, 1.5]):
        rate = np.exp(np.where(frame["arm"] == "drug", log_rate[1], log_rate[0]))
        expected = stats.poisson.logpmf(frame["events"], frame["years"] * rate).sum()
        expected += stats.norm.logpdf(log_rate, -1, 2).sum()
        assert float(density(np.array(log_rate))) == pytest.approx(expected, rel=1e-10)


def test_its_estimands_and_its_forest_are_those_worked_out_by_hand(module):
    model = module.AdverseEvents(control="placebo")
    data = model.prepare(table())
    draws = xr.Dataset(
        {"log_rate": (("chain", "draw", "arm"), np.log([[[0.5, 1.0], [2.0, 1.0]]]))}, {"arm": data["arm"]}
    )
    found = model.estimands(draws, data)
    np.testing.assert_allclose(found["rate_ratio"].values.ravel(), [2.0, 0.5])
    np.testing.assert_allclose(found["log_rate_ratio"].values.ravel(), np.log([2.0, 0.5]))
    np.testing.assert_allclose(found["rate"].values[0, 1], [2.0, 1.0])
    events, years = totals(table())
    ratio, se = model.forest.crude(data)
    assert ratio[0] == pytest.approx(np.log((events[1] + 0.5) / years[1]) - np.log((events[0] + 0.5) / years[0]))
    assert se[0] == pytest.approx(np.sqrt((1 / (events + 0.5)).sum()))


# The register.


def made(**changes):
    """A class like the tutorial's, changed."""
    namespace = {"__name__": "mine"}
    exec(compile(MODEL.replace("@bd.register\n", ""), "mine", "exec"), namespace)
    model = namespace["AdverseEvents"]
    for name, value in changes.items():
        setattr(model, name, value)
    return model


@pytest.mark.parametrize("part", register.PARTS)
def test_a_class_that_lacks_a_part_is_refused_by_its_name(part):
    model = made()
    if part == "priors":
        model = dataclasses.make_dataclass("AdverseEvents", [], bases=(Bare,), frozen=True)
        for name in set(register.PARTS) - {"priors"}:
            setattr(model, name, vars(made())[name])
    else:
        delattr(model, part)
    with pytest.raises(bd.BadInput, match=f"^AdverseEvents cannot be registered: it has no '{part}'; add it"):
        bd.register(model)
    assert register.REGISTERED == {}


def test_all_parts_that_a_class_lacks_are_named_at_once():
    model = made()
    for part in ("words", "forest", "checks"):
        delattr(model, part)
    with pytest.raises(bd.BadInput, match=r"it has no ('(words|forest|checks)'( and )?){3}; add them"):
        bd.register(model)


class Bare:
    """No part at all."""


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (made(family="meta"), "family = 'meta' is a model of this package; choose another"),
        (made(family="pooled"), "family = 'pooled' is a model of this package; choose another"),
        (made(family="Adverse events"), "family = 'Adverse events', but lower-case letters, digits and '-' are needed"),
        (made(family=None), "family = None, but lower-case letters"),
        (made(build="graph"), "its 'build' is no method; make it one"),
        (Bare, "it is no frozen dataclass; put @bd.register above"),
        (dataclasses.dataclass(type("Loose", (), {})), "it is no frozen dataclass"),
        (3, "it is no frozen dataclass"),
    ],
)
def test_what_cannot_be_a_model_is_refused(model, said):
    with pytest.raises(bd.BadInput, match=re.escape(said)):
        bd.register(model)
    assert register.REGISTERED == {}


def test_a_family_of_another_class_is_refused_and_the_same_class_again_is_not():
    bd.register(made())
    again = made()
    assert bd.register(again) is again  # a cell of a notebook that was run again
    assert register.model_class("adverse-events") is again
    other = made()
    other.__qualname__ = "Other"
    with pytest.raises(bd.BadInput, match="family = 'adverse-events' is mine:AdverseEvents; choose another family"):
        bd.register(other)


def test_settings_go_out_and_in(module):
    model = module.AdverseEvents(control="placebo", priors={"log_rate": bd.Prior("Normal", mu=0, sigma=3)})
    assert register.make_model("adverse-events", register.settings_of(model)) == model
    assert "adverse-events" in register.families()


def test_a_notebook_shows_it_as_it_shows_the_packages_own(module):
    page = module.AdverseEvents(control="<placebo>")._repr_html_()
    assert "at a rate per person-year that each arm has of its own" in page
    assert "events[i] ~ Poisson" in page
    assert "log events a year" in page
    assert "<placebo>" not in page


def test_a_change_of_its_code_is_a_change_of_the_run(module, folder):
    """Chains of a run that was cut off are not taken for those of another model."""
    model = module.AdverseEvents(control="placebo")
    code = register.code_of(model)
    assert code == register.code_of(module.AdverseEvents(control="drug"))
    (folder / "my_other_events.py").write_text(MODEL.replace("Poisson, at", "Poisson at"))
    register.REGISTERED.clear()
    other = importlib.import_module("my_other_events").AdverseEvents(control="placebo")
    assert register.code_of(other) != code
    data = model.prepare(table())
    assert fingerprint("plan", data, {}, code) != fingerprint("plan", data, {})
    assert register.code_of(bd.Counts(control="placebo")) == ""
    hidden = made()(control="placebo")  # no source to read: never taken for the same
    assert register.code_of(hidden) != register.code_of(hidden)


# Installed packages.


def install(folder, name, entry, code=MODEL, module=None):
    """What pip leaves of a package with one entry point."""
    about = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[bayesdep.models]\n{entry}\n")
    if code is not None:
        (folder / f"{module or entry.split('= ')[1].split(':')[0]}.py").write_text(code)


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [n for n in sys.modules if n.startswith("installed_")]:
        del sys.modules[name]


def test_an_installed_model_is_imported_when_its_family_is_asked_for_and_not_before(site):
    install(site, "safety-models", "adverse-events = installed_events:AdverseEvents")
    assert register.model_class("meta") is bd.Meta
    assert "adverse-events" in register.families()
    with pytest.raises(bd.BadInput, match="did you mean 'adverse-events'"):
        register.model_class("adverse-event")
    assert "installed_events" not in sys.modules
    (site / "safety.toml").write_text(PLAN)
    assert type(bd.read_plan(site / "safety.toml").model).__module__ == "installed_events"


@pytest.mark.parametrize(
    ("entry", "code", "said"),
    [
        ("events = installed_gone:AdverseEvents", None, "(ModuleNotFoundError: No module named 'installed_gone')"),
        ("events = installed_other:Gone", MODEL, "(AttributeError: module 'installed_other' has no attribute 'Gone')"),
        ("events = installed_raises:A", "1 / 0", "(ZeroDivisionError: division by zero)"),
        ("events = installed_no:A", "A = 3", "(BadInput: 3 cannot be registered: it is no frozen dataclass; put"),
        ("events = installed_named:AdverseEvents", MODEL, "(its class says family = 'adverse-events')"),
    ],
)
def test_a_broken_entry_point_is_refused_in_one_sentence_that_names_the_package(site, entry, code, said):
    install(site, "safety-models", entry, code)
    with pytest.raises(bd.BadInput) as refused:
        register.model_class("events")
    text = str(refused.value)
    assert text.startswith("the model family 'events' of the installed package 'safety-models' cannot be used (")
    assert said in text
    assert text.endswith("update or uninstall that package")
    assert register.model_class("meta") is bd.Meta  # nothing else is broken


def test_two_packages_with_one_family_are_refused(site):
    install(site, "safety-models", "adverse-events = installed_a:AdverseEvents")
    install(site, "other-models", "adverse-events = installed_b:AdverseEvents")
    with pytest.raises(bd.BadInput, match=r"the installed packages '.*' and '.*' both have a model family 'adverse-ev"):
        register.model_class("adverse-events")


def test_no_installed_package_takes_the_place_of_a_model_of_this_one(site):
    install(site, "bad-models", "meta = installed_meta:Meta", "raise SystemExit('this ran')")
    assert register.model_class("meta") is bd.Meta
    assert "installed_meta" not in sys.modules


# Plans and saved fits, here and in another process.


def test_a_plan_reads_its_settings_columns_and_priors(module, folder):
    plan = bd.read_plan(folder / "safety.toml")
    assert plan.model == module.AdverseEvents(control="placebo")
    assert prepare(plan).sizes["patient"] == 85
    text = PLAN.replace('years = "years"', 'year = "years"')
    (folder / "typo.toml").write_text(text)
    with pytest.raises(bd.BadInput, match=r"data\.columns\.year: .* reads no such column; did you mean 'years'"):
        bd.read_plan(folder / "typo.toml")
    (folder / "typo.toml").write_text(PLAN.replace("log_rate", "lograte"))
    with pytest.raises(bd.BadInput, match="lograte"):
        bd.read_plan(folder / "typo.toml")


def test_a_plan_of_a_family_that_is_not_known_says_what_to_do(folder):
    with pytest.raises(bd.BadInput) as refused:
        bd.read_plan(folder / "safety.toml")
    text = str(refused.value)
    assert "model.family = 'adverse-events' is not a model family here" in text
    assert text.endswith("if it is a model of your own, import the module that registers it or install its package")


def test_a_plan_can_name_no_module(folder, site):
    """A family is a name of the register; whatever else it looks like, nothing of that name is imported."""
    (site / "installed_evil.py").write_text("raise SystemExit('this ran')")
    for family in ("installed_evil", "installed_evil:Model", "installed_evil.Model", "../installed_evil"):
        (folder / "evil.toml").write_text(PLAN.replace("adverse-events", family))
        with pytest.raises(bd.BadInput, match="is not a model family here"):
            bd.read_plan(folder / "evil.toml")
    assert "installed_evil" not in sys.modules


@pytest.mark.sampling
def test_it_fits_reports_exports_saves_and_compares_as_the_tutorial_says(module, folder, capsys):
    namespace = dict(vars(module))
    exec(compile(USE, "your_own_model.md", "exec"), namespace)
    fit, out = namespace["fit"], capsys.readouterr().out
    assert out.startswith("passed the gate")
    assert fit.gate.passed
    assert fit.verdict.passed
    assert "leaving out one patient of 85 at a time" in out
    page = (folder / "report.html").read_text()
    assert "events[i] ~ Poisson" in page
    assert "log events a year" in page
    sheet = pd.read_excel(folder / "estimands.xlsx")
    assert {"rate", "log_rate_ratio", "rate_ratio"} <= set(sheet.astype(str).to_numpy().ravel())
    again = bd.Fit.load(folder / "posterior.nc")
    assert again.model == fit.model
    xr.testing.assert_identical(again.estimands, fit.estimands)

    # Against the posterior on a grid, whose arms are independent: four Monte Carlo standard errors.
    events, years = totals(table())
    (x, p), (_, q) = (grid(n, t) for n, t in zip(events, years, strict=True))
    mean = (q @ x) - (p @ x)
    sd = np.sqrt((q @ x**2 - (q @ x) ** 2) + (p @ x**2 - (p @ x) ** 2))
    ratio = (q @ np.exp(x)) * (p @ np.exp(-x))  # E[exp(drug - placebo)]
    for name, statistic, oracle in (
        ("log_rate_ratio", "mean", mean),
        ("log_rate_ratio", "sd", sd),
        ("rate_ratio", "mean", ratio),
    ):
        draws = fit.estimands[name].values[..., 0]
        found, error = getattr(np, statistic.replace("sd", "std"))(draws), array_stats.mcse(draws, method=statistic)
        assert error < 0.1 * draws.std()
        assert abs(found - oracle) < 4 * error


@pytest.mark.sampling
def test_another_process_needs_the_module_and_says_so(module, folder):
    run = bd.run_plan(
        folder / "safety.toml", out=folder / "run", draws=200, tune=300, chains=2, accept_failed_gate=True
    )
    assert {p.stem for p in (folder / "run" / "figures").iterdir()} == {
        "forest",
        "prior_posterior",
        "scaled_priors",
        "checks",
        "ranks",
    }
    code = "import bayesdep as bd, sys; fit = bd.Fit.load('run/posterior.nc'); print(fit.model)"
    alone = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert alone.returncode != 0
    said = alone.stderr.splitlines()[-1]
    assert "'run/posterior.nc' cannot be loaded: model.family = 'adverse-events' is not a model family here" in said
    with_it = subprocess.run(
        [sys.executable, "-c", f"import my_events; {code}"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert with_it.stdout.startswith("AdverseEvents(control='placebo'")
    command = [sys.executable, "-m", "bayesdep", "run", "safety.toml", "--out", "elsewhere"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "install its package" in done.stderr
    assert run.fit.model.family == "adverse-events"


# Figures.


def test_every_figure_is_listed_by_a_model_or_of_any_fit_and_no_model_lists_another():
    by_settings = {
        "meta": bd.Meta(measure="log-odds-ratio", study="study", within_correlation=0.5),
        "patient-meta": bd.PatientMeta(
            reference="control", moderators=["age", "sex"], combined=["age", "sex"], study_levels="random"
        ),
        "trajectories": bd.Trajectories(
            reference="saline",
            value="value",
            analyte="marker",
            association=("change",),
            subgroups={"old": "age > 50"},
        ),
    }
    listed = {
        name: getattr(by_settings.get(name, register.model_class(name)), "figures", ()) for name in register.SHIPPED
    }
    assert {*EVERY_FIT, *(figure for figures in listed.values() for figure in figures)} == set(FIGURES)
    plain = bd.Meta(measure="log-odds-ratio"), bd.PatientMeta(reference="control")
    assert [model.figures for model in plain] == [("leave_one_out", "funnel"), ("study_effects",)]


@pytest.mark.sampling
def test_a_figure_that_does_not_exist_or_cannot_be_drawn_is_refused_in_one_sentence(module):
    model = module.AdverseEvents(control="placebo")
    fit = bd.fit(model, table(), draws=50, tune=100, chains=2, progress=False)
    for listed, said in (
        (("funel",), "AdverseEvents lists the figure 'funel', which does not exist; did you mean 'funnel'"),
        (("trajectories",), "AdverseEvents lists a figure that needs Trial"),
        (("leave_one_out",), None),  # listed, but without the ability that it rests on: left out
    ):
        module.AdverseEvents.figures = listed
        if said is None:
            assert "leave_one_out" not in bd.report(fit, "report.html").read_text()
            continue
        with pytest.raises(bd.BadInput, match=said):
            bd.report(fit, "report.html")
    with pytest.raises(bd.BadInput, match=r"plot_funnel is for .*; bd\.plot_forest draws any fit"):
        bd.plot_funnel(fit)
    with pytest.raises(bd.BadInput, match=r"only a meta-analysis such as bd\.Meta has studies"):
        bd.leave_out_each_study(model, table())
    with pytest.raises(bd.BadInput, match=r"give a fit of bd\.Trial"):
        bd.check_dropout(fit, "delta")
    with pytest.raises(bd.BadInput, match=r"takes no moderators one at a time; give a bd\.PatientMeta"):
        bd.fit_each_moderator(model, table(), ["age"])
