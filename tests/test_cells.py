"""Measurements of the same people: every density against the same written row by row and integrated by hand."""

import functools

import numpy as np
import pandas as pd
import pytensor
import pytest
from common import draws_of
from scipy import special, stats

from bayesdep.inference.evaluate import uncompiled
from bayesdep.inference.labelled import label_draws
from bayesdep.models.cytokines import scores as scores_module
from bayesdep.models.cytokines.cells import Cells
from bayesdep.models.cytokines.model import Cytokines

NAMES = {"analyte": "analyte", "subject": "subject"}
FULL = {
    **NAMES,
    "group": "group",
    "reference": "HC",
    "time": "time",
    "plate": "plate",
    "group_by_time": True,
    "shared_factor": True,
    "covariates": "age",
}
MODELS = {
    "once": Cytokines(**NAMES, group="group", reference="HC", plate="plate"),
    "once, Student t": Cytokines(**NAMES, group="group", reference="HC", robust=True),
    "one analyte": Cytokines(subject="subject"),
    "repeated": Cytokines(**FULL),
    "repeated, each on its own": Cytokines(**FULL, pooling="none"),
    "repeated, one analyte": Cytokines(subject="subject", time="time"),
    "repeated, Student t": Cytokines(**FULL, robust=True),
}


def panel(analytes=3, subjects=6, times=3, seed=4):
    """Log-normal values with gaps; some below 0.6, above 3, or between 0.6 and 0.9."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(subjects):
        own, age = rng.normal(0, 0.5), float(rng.integers(20, 60))
        for a in range(analytes):
            for t in range(times):
                x = round(float(np.exp(0.2 + own + 0.2 * a + rng.normal(0, 0.7))), 3)
                cell = "<0.6" if x < 0.6 else ">3" if x > 3 else "0.6-0.9" if x < 0.9 else f"{x}"
                who = {"subject": f"s{i}", "group": ("HC", "TRD")[i % 2], "plate": f"p{i // 3}", "age": age}
                rows.append({**who, "analyte": "abc"[a], "time": t, "concentration": cell})
    table = pd.DataFrame(rows)
    return table[rng.random(len(table)) > 0.1].reset_index(drop=True)


@functools.cache
def case(name):
    """A model, its data and its model; models without times see the first one, of one analyte the first."""
    model, table = MODELS[name], panel()
    if model.time is None:
        table = table[table["time"] == 0]
    if model.analyte is None:
        table = table[table["analyte"] == "b"]
    data = model.prepare(table.reset_index(drop=True))
    return model, data, model.build(data)


def points_and_values(name, **options):
    """Random unconstrained points, and every parameter there on its own scale, by name."""
    points, posterior = draws_of(case(name)[2], **{"scale": 0.6, **options})
    return points, {parameter: values.values[0] for parameter, values in posterior.data_vars.items()}


def etas(model, data, values, d):
    """Expected log concentrations of draw d, row by row, from the class's docstring."""
    x = {k: v[d] for k, v in values.items()}
    people = data.sizes["subject"]
    in_group = len(set(data["subject_of"].values[data["group_of"].values == 1]))
    out = []
    for m in range(data.sizes["measurement"]):
        a, i, g, t, p = (
            int(data[f"{w}_of"][m]) for w in ("analyte", "subject", "group", "time", "plate")
        )  # fmt: skip
        code = float(g == 1) - in_group / people
        eta = x["level"][a] + float(data["centre"][a])
        if model.group is not None:
            eta += code * x["group_effect"][a, 0]
        if model.time is not None and t > 0:
            eta += x["time_effect"][a, t - 1]
        if model.group_by_time and t > 0:
            eta += code * x["interaction"][a, 0, t - 1]
        if model.plate is not None:
            eta += x["plate_sd"] * x["plate_latent"][a, p]
        if model.covariates is not None:
            eta += float(data["covariates"][m, 0]) * x["covariate_effect"][a, 0]
        if "subject_sd" in x:
            eta += x["subject_effect"][i]
        if model.shared_factor:
            eta += x["loading_sd"] * x["loading_latent"][a] * x["factor"][i]
        out.append(eta)
    return np.array(out)


def row_log_density(data, m, eta, sd, nu=None):
    """scipy's log density, or log probability of the interval, of measurement m; eta may be an array."""
    law = stats.norm(eta, sd) if nu is None else stats.t(nu, eta, sd)
    low, high = float(data["lower"][m]), float(data["upper"][m])
    if low == high:
        return law.logpdf(low)
    if np.isinf(low):
        return law.logcdf(high)
    if np.isinf(high):
        return law.logsf(low)
    left = low + high < 2 * np.asarray(eta)
    with np.errstate(divide="ignore"):  # at the far ends of the grid
        return np.log(np.where(left, law.cdf(high) - law.cdf(low), law.sf(low) - law.sf(high)))


GRID = np.linspace(-25, 25, 5001)


def integrated_cell(data, rows, eta, sd, psi, nu=None):
    """Log of the cell's likelihood with its effect integrated out.

    The trapezoidal rule with 0.01 sd between points: for a smooth integrand that vanishes at both ends its error is
    below e^(-2 pi^2 / 0.01) times what the integrand grows off the real line, so rounding is what remains.
    """
    log_f = stats.norm.logpdf(GRID)
    for m in rows:
        log_f = log_f + row_log_density(data, m, eta[m] + sd[m] * psi * GRID, sd[m], nu)
    return special.logsumexp(log_f) + np.log(GRID[1] - GRID[0])


@functools.cache
def model_log_likelihood(name):
    """The built model's log likelihood of the observed variable, as a function of a point."""
    _, _, model = case(name)
    logp = model.logp(vars=[model["log_concentration"]])
    f = pytensor.function(model.value_vars, logp, mode=uncompiled(), on_unused_input="ignore")
    return lambda point: float(f(*(point[v.name] for v in model.value_vars)))


def rows_by_cell(data):
    key = pd.Series(list(zip(data["subject_of"].values, data["analyte_of"].values, strict=True)))
    return {k: list(rows) for k, rows in key.groupby(key).groups.items()}


def test_the_panels_hold_every_kind_of_value_and_of_cell():
    for name in MODELS:
        model, data, _ = case(name)
        kinds = set(data["kind"].values)
        if model.analyte is not None or model.time is not None:
            assert kinds == {0, 1, 2, 3}, name
        assert len(kinds) > 1, name
        if model.time is not None:
            beyond = Cells.read(data, integrate=True).beyond
            assert {0, 1, 2} <= set(beyond), name
            assert len(set(np.bincount(Cells.read(data, integrate=True).of))) > 1, name  # gaps


def conditional(data, values, d, m, eta, sd):
    """The model's term of measurement m: Student t where it was seen, else a normal of its own precision."""
    nu = values["nu"][d] if "nu" in values else None
    if nu is not None and data["kind"].values[m] != 0:
        unseen = int((data["kind"].values[:m] != 0).sum())
        return row_log_density(data, m, eta, sd / np.exp(values["precision_latent"][d, unseen] / np.sqrt(2 * nu)))
    return row_log_density(data, m, eta, sd, nu)


@pytest.mark.parametrize("name", [n for n, s in MODELS.items() if s.time is None])
def test_without_repeats_the_log_likelihood_is_the_sum_of_scipys_densities(name):
    model, data, _ = case(name)
    points, values = points_and_values(name)
    scored = scored_by_model(name, values)
    for d, point in enumerate(points):
        eta, nu = etas(model, data, values, d), values["nu"][d] if model.robust else None
        sd = values["residual_sd"][d][data["analyte_of"].values]
        terms = [conditional(data, values, d, m, eta[m], sd[m]) for m in range(len(eta))]
        assert model_log_likelihood(name)(point) == pytest.approx(sum(terms), rel=1e-10)
        by_hand = np.array([row_log_density(data, m, eta[m], sd[m], nu) for m in range(len(eta))])
        np.testing.assert_allclose(scored[d], by_hand, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [n for n, s in MODELS.items() if s.time is not None])
def test_with_repeats_cells_are_integrated_or_conditional_on_their_effects(name):
    """A cell's effect is integrated out up to one censored value, else a parameter (all of Student t's are)."""
    model, data, _ = case(name)
    points, values = points_and_values(name)
    latent = {}
    for key, rows in rows_by_cell(data).items():  # keys in the order of subject, then analyte
        if model.robust or (data["kind"].values[rows] != 0).sum() > 1:
            latent[key] = len(latent)
    assert values["cell_latent"].shape[1] == len(latent)
    for d, point in enumerate(points):
        eta, psi = etas(model, data, values, d), values["cell_ratio"][d]
        sd = values["residual_sd"][d][data["analyte_of"].values]
        total = 0.0
        for key, rows in rows_by_cell(data).items():
            if key in latent:
                v = values["cell_latent"][d, latent[key]]
                total += sum(conditional(data, values, d, m, eta[m] + sd[m] * psi * v, sd[m]) for m in rows)
            else:
                total += integrated_cell(data, rows, eta, sd, psi)
        assert model_log_likelihood(name)(point) == pytest.approx(total, rel=1e-8)


def scored_by_model(name, values):
    model, data, graph = case(name)
    return model.log_likelihood(label_draws({k: v[None] for k, v in values.items()}, graph), data).values[0]


def cells_by_hand(name, values):
    model, data, _ = case(name)
    out = []
    for d, psi in enumerate(values["cell_ratio"]):
        eta, nu = etas(model, data, values, d), values["nu"][d] if model.robust else None
        sd = values["residual_sd"][d][data["analyte_of"].values]
        out.append([integrated_cell(data, rows, eta, sd, psi, nu) for rows in rows_by_cell(data).values()])
    return np.array(out)


@pytest.mark.parametrize("name", [n for n, s in MODELS.items() if s.time is not None and not s.robust])
def test_leave_one_out_scores_every_cell_with_its_effect_integrated_out(name, monkeypatch):
    _, values = points_and_values(name, count=6, seed=2)
    expected = cells_by_hand(name, values)
    np.testing.assert_allclose(scored_by_model(name, values), expected, rtol=0, atol=1e-6)
    assert scores_module.NODES == 21
    monkeypatch.setattr(scores_module, "NODES", 41)
    np.testing.assert_allclose(scored_by_model(name, values), expected, rtol=0, atol=1e-9)


def test_with_students_residuals_21_nodes_are_good_to_a_thousandth(monkeypatch):
    """Student t densities have poles near the real line: the rule converges, but slowly (121 nodes for 1e-6).

    A thousandth of a unit of log likelihood is far below what a comparison can tell, whose errors are above 0.1.
    """
    name = "repeated, Student t"
    _, values = points_and_values(name, count=6, seed=2, scale=0.3)
    expected = cells_by_hand(name, values)
    for nodes, error in ((21, 1e-3), (41, 1e-4), (121, 1e-6)):
        monkeypatch.setattr(scores_module, "NODES", nodes)
        np.testing.assert_allclose(scored_by_model(name, values), expected, rtol=0, atol=error)


@pytest.mark.parametrize("times", [1, 2])
def test_a_robust_panel_without_non_detects_is_student_t(times):
    """Nothing is hidden, so there are no precisions to sample: the density is scipy's t in every row."""
    table = panel(times=times)
    table["concentration"] = pd.to_numeric(table["concentration"], errors="coerce")
    table = table.dropna().reset_index(drop=True)
    model = Cytokines(**NAMES, robust=True, time="time" if times > 1 else None)
    data = model.prepare(table)
    graph = model.build(data)
    assert "precision_latent" not in graph.named_vars
    logp = graph.logp(vars=[graph["log_concentration"]])
    f = pytensor.function(graph.value_vars, logp, mode=uncompiled(), on_unused_input="ignore")
    (point,), posterior = draws_of(graph, count=1, seed=5)
    values = {parameter: draws.values[0] for parameter, draws in posterior.data_vars.items()}
    eta = etas(model, data, values, 0)
    sd = values["residual_sd"][0][data["analyte_of"].values]
    if times > 1:
        key = data["subject_of"].values * data.sizes["analyte"] + data["analyte_of"].values
        effect = values["cell_latent"][0][np.unique(key, return_inverse=True)[1]]
        eta = eta + sd * values["cell_ratio"][0] * effect
    expected = stats.t.logpdf(data["upper"].values, values["nu"][0], eta, sd).sum()
    assert float(f(*(point[v.name] for v in graph.value_vars))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("robust", [False, True])
def test_density_and_gradient_are_finite_where_a_sampler_may_stray(robust):
    model = Cytokines(**NAMES, time="time", pooling="none", robust=robust)
    data = model.prepare(panel())
    graph = model.build(data)
    logp = graph.logp()
    f = pytensor.function(graph.value_vars, [logp, *pytensor.grad(logp, graph.value_vars)], mode=uncompiled())
    start = graph.initial_point()
    name_of = {rv.name: graph.rvs_to_values[rv].name for rv in graph.free_RVs}
    for sd in (1e-3, 1.0, 1e3):
        for level in (-50.0, 0.0, 50.0):
            for ratio in (1e-3, 1.0, 1e2):
                at = {"residual_sd": sd, "cell_ratio": ratio}
                point = dict(start) | {name_of["level"]: np.full(3, level)}
                for name, value in at.items():
                    rv = graph[name]
                    raw = graph.rvs_to_transforms[rv].forward(np.asarray(value), *rv.owner.inputs).eval()
                    point[name_of[name]] = np.full(np.shape(start[name_of[name]]), raw)
                for x in f(*(point[v.name] for v in graph.value_vars)):
                    assert np.isfinite(x).all(), (sd, level, ratio)
