"""Scales item by item: the density against plain expressions, integrals by grids, estimands by simulation, messages.

Oracles: PyTensor's own expressions and finite differences; nested quadrature on even grids; closed moments of normals;
the simulator's truth. All data are synthetic.
"""

import decimal

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from scipy import optimize, special, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.designs.raison2013_items import CHANGE_BY_CRP, ITEMS, draw_raison2013_items, scale
from bayesdep.inference.evaluate import from_prior, uncompiled
from bayesdep.models.items import rough
from bayesdep.models.items.data import with_scores
from bayesdep.models.items.estimands import crude_differences, gauss_rule
from bayesdep.models.items.rough import (
    UNKNOWN,
    _minus_log_posterior,
    _modes,
    _of_items,
    _places,
    rough_severities,
)
from bayesdep.numerics.graded import (
    ends,
    graded_log_likelihood,
    graded_log_probabilities,
    graded_slopes,
    levels_of,
    probabilities_above,
)
from bayesdep.numerics.ordinal import log_probability_of

HIGHEST = {"mood": 4, "sleep": 2, "guilt": 4, "work": 3, "weight": 2, "drive": 1}


def item_table(people=12, visits=(0, 2, 4), seed=1, items=HIGHEST):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(people):
        own, crp = rng.normal(), float(np.exp(rng.normal(1, 1)))
        for j, week in enumerate(visits):
            level = own - j * 0.3 + (i % 2 - 0.5) * j * 0.4
            about = {"subject": f"p{i:02d}", "arm": ("placebo", "drug")[i % 2], "visit": week, "crp": crp}
            drawn = [int((rng.logistic() + level > np.linspace(-1.5, 1.5, top)).sum()) for top in items.values()]
            rows.append(about | dict(zip(items, drawn, strict=True)))
    return pd.DataFrame(rows)


def model(**settings):
    return bd.Items(**({"items": HIGHEST, "reference": "placebo"} | settings))


def cells(rows=7, seed=3, wild=1.0):
    """Random arguments of the density, one score missing."""
    rng, highest = np.random.default_rng(seed), np.array(list(HIGHEST.values()))
    thresholds = np.sort(rng.normal(0, 1.5 * wild, (len(highest), 4)), axis=1)
    gaps = np.diff(thresholds, axis=1, append=thresholds[:, -1:] + 1)
    score = rng.integers(0, highest + 1, (rows, len(highest)))
    score[2, 1] = -1
    given = [
        rng.normal(0, wild, rows), np.exp(rng.normal(0, 0.4, len(highest))), rng.normal(0, 0.5, (2, len(highest))),
        thresholds, np.log(-np.expm1(-gaps)),
    ]  # fmt: skip
    return given, score, rng.normal(size=(rows, 2)), highest


# The density


def in_plain_expressions(given, score, columns, highest):
    """The sum of log probabilities item by item, by the package's expressions for any ordinal outcome."""
    severity, discrimination, effects, thresholds, _ = given
    level, total = severity[:, None] * discrimination + pt.dot(columns, effects), 0.0
    for m, top in enumerate(highest):
        seen = score[:, m] >= 0
        cuts = pt.specify_shape(thresholds[m, :top], (int(top),))
        each = log_probability_of(score[seen, m], cuts, cuts[1:] - cuts[:-1], level[seen, m])
        total = total + each.sum()
    return total


@pytest.mark.parametrize("wild", [1.0, 8.0, 100.0, 1e4])
def test_the_density_and_its_slopes_are_those_of_plain_expressions(wild):
    given, score, columns, highest = cells(wild=wild)
    symbols = [pt.tensor(dtype="float64", shape=x.shape) for x in given]
    cuts = symbols[3]
    inside = pt.concatenate([pt.log1mexp(-(cuts[:, 1:] - cuts[:, :-1])), pt.zeros((len(highest), 1))], axis=1)
    ours = graded_log_likelihood(*symbols[:4], inside, score, columns, highest)
    plain = in_plain_expressions(symbols, score, columns, highest)
    outputs = [x for total in (ours, plain) for x in (total, *pytensor.grad(total, symbols[:4]))]
    found = pytensor.function(symbols[:4], outputs, mode=uncompiled())(*given[:4])
    for one, other in zip(found[:5], found[5:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    assert found[0] < 0  # a probability, however far out


@pytest.mark.parametrize("wild", [1.0, 1e4])
def test_compiled_code_has_the_same_numbers(wild):
    given, score, columns, highest = cells(wild=wild)
    symbols = [pt.tensor(dtype="float64", shape=(None,) * x.ndim) for x in given]
    total = graded_log_likelihood(*symbols, score, columns, highest)
    function = pytensor.function(symbols, [total, *pytensor.grad(total, symbols)], mode="NUMBA")
    for one, other in zip(function(*given), graded_slopes(*given, score, columns, highest), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("centre", [-40.0, -5.0, 0.0, 5.0, 40.0])
@pytest.mark.parametrize("gap", [1e-12, 1e-6, 0.1, 3.0])
def test_log_probabilities_are_right_to_ten_digits_far_out_and_in_narrow_categories(centre, gap):
    thresholds = np.array([[centre, centre + gap]])
    inside = np.array([[np.log(-np.expm1(-gap)), 0.0]])

    with decimal.localcontext(prec=80):
        up, down = (1 / (1 + (-decimal.Decimal(centre) - k * decimal.Decimal(gap)).exp()) for k in (0, 1))
        shares = [up, down - up, 1 - down]
        exact = [float(share.ln()) for share in shares]
    for y in range(3):
        score = np.array([[y]])
        loop = graded_slopes(np.zeros(1), np.ones(1), np.zeros((0, 1)), thresholds, inside, score, np.zeros((1, 0)),
                             np.array([2]))[0]  # fmt: skip
        array = graded_log_probabilities(np.zeros((1, 1)), thresholds, inside, score, np.array([2]))[0, 0]
        assert loop == pytest.approx(exact[y], rel=1e-10)
        assert array == pytest.approx(exact[y], rel=1e-10)


def test_probabilities_of_all_scores_add_up_to_one_and_expectations_follow():
    given, score, columns, highest = cells()
    level = levels_of(*given[:3], columns)
    above = probabilities_above(level, given[3], highest)
    for m, top in enumerate(highest):
        each = []
        for k in range(top + 1):
            put = np.full(score.shape, k)
            each.append(np.exp(graded_log_probabilities(level, given[3], given[4], put, highest)[:, m]))
        np.testing.assert_allclose(np.sum(each, axis=0), 1, rtol=1e-12)
        expected = np.arange(top + 1) @ np.array(each)
        np.testing.assert_allclose(above[:, m].sum(axis=-1), expected, rtol=1e-12)


def test_ends_give_slope_and_curvature():
    given, score, columns, highest = cells()
    level = levels_of(*given[:3], columns)

    def of(x):
        return graded_log_probabilities(x, given[3], given[4], score, highest)

    above, below = ends(level, given[3], score, highest)
    step = 1e-4
    np.testing.assert_allclose(below - above, (of(level + step) - of(level - step)) / (2 * step), atol=1e-7)
    second = (of(level + step) - 2 * of(level) + of(level - step)) / step**2
    np.testing.assert_allclose(above * (1 - above) + below * (1 - below), -second, atol=1e-6)


# Patients


def fixed(**values):
    """A model whose sds are as good as known."""
    priors = {k: {"dist": "LogNormal", "mu": np.log(v), "sigma": 1e-6} for k, v in values.items()}
    return model(priors=priors, lkj=1e9)  # the correlation is 0


def test_severities_have_the_moments_of_level_change_and_visits_whatever_the_rough_estimates_are():
    """The coordinates depend on the scores, the distribution does not: over draws of the prior."""
    table = item_table(people=4)
    ours = fixed(level_sd=0.8, slope_sd=1.1, visit_sd=0.5)
    data = ours.prepare(table)
    graph = ours.build(data)
    draws = 4000
    severity, visit_effect, arm_effect = from_prior(
        [graph["severity"], graph["visit_effect"], graph["arm_effect"]], draws, seed=1
    )
    code = data["arm_code"].values[0, data["arm_of"].values]
    mean = visit_effect[:, None, :] + (arm_effect @ np.eye(1))[:, :, None] * code[:, None] * data["course"].values
    own, t = severity - mean, data["time"].values
    expected = 0.64 + 1.21 * np.outer(t, t) + 0.25 * np.eye(3)
    for i in range(4):
        found = own[:, i].T @ own[:, i] / draws
        # the sd of an estimated covariance is sqrt((v_jj v_kk + v_jk^2) / n)
        error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / draws)
        assert (np.abs(found - expected) < 4.5 * error).all()


OWN = ("level_sd", "slope_sd", "visit_sd", "correlation_share", "level_latent", "slope_latent", "severity_latent")
WRITTEN = (
    "level", "slope", "severity", "level_sd", "slope_sd", "visit_sd", "correlation", "visit_effect", "arm_effect",
    "arm_by_moderator", "moderator_effect", "moderator_change", "departure", "departure_by_moderator",
    "discrimination", "threshold",
)  # fmt: skip


@pytest.fixture(scope="module")
def joint():
    """A model's density but for terms of PyMC's own distributions, with its parameters, and where to evaluate it."""
    ours = model(moderator="crp")
    table = item_table(people=4)
    table.loc[2, "mood"] = np.nan
    data = ours.prepare(table.drop(index=[4]))
    graph = ours.build(data)
    values = {graph.rvs_to_values[v].name: graph.rvs_to_values[v] for v in graph.free_RVs}
    others = [v for v in graph.free_RVs if v.name not in OWN]
    total = graph.logp(jacobian=True) - graph.logp(vars=others, jacobian=True)
    symbols = graph.replace_rvs_by_values([graph[name] for name in WRITTEN])
    function = pytensor.function(list(values.values()), [total, *symbols], mode=uncompiled(), on_unused_input="ignore")
    rng = np.random.default_rng(8)
    point = {k: x + rng.normal(0, 0.4, np.shape(x)) for k, x in graph.initial_point().items()}
    dims = {name: graph.named_vars_to_dims.get(name) or () for name in WRITTEN}

    def evaluate(point):
        total, *found = function(*(point[name] for name in values))
        return total, xr.Dataset({name: (dims[name], x) for name, x in zip(WRITTEN, found, strict=True)})

    return data, point, evaluate


@pytest.mark.parametrize("visit_sd", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("slope_sd", [0.05, 3.0])
def test_the_joint_density_is_that_of_the_written_model(joint, visit_sd, slope_sd):
    """Scores, severities with the Jacobian of their coordinates, sds and the correlation: all terms by SciPy."""
    data, point, evaluate = joint
    sds = {"level_sd": 0.7, "slope_sd": slope_sd, "visit_sd": visit_sd}
    point = point | {f"{name}_softplus__": np.asarray(np.log(np.expm1(x))) for name, x in sds.items()}
    found, draw = evaluate(point)
    # an effect is straight in its own coordinate, given those before it, so the Jacobian is triangular
    slopes = 0.0
    for name in OWN[4:]:
        effect = name.removesuffix("_latent")
        moved = evaluate(point | {name: point[name] + 1.0})[1]
        slopes += np.log(moved[effect].values - draw[effect].values).sum()
    assert found == pytest.approx(written_out(draw, data) + slopes, abs=1e-7)  # PyMC's Beta is off by 2e-8 throughout


def written_out(draw, data):
    """The log density of scores, severities, sds and the correlation, as the model's docstring has it."""
    sds = {name: draw[name].item() for name in ("level_sd", "slope_sd", "visit_sd")}
    share = (draw["correlation"].item() + 1) / 2
    total = stats.beta.logpdf(share, 2, 2) + np.log(share * (1 - share))  # sampled as log odds
    for name, x in sds.items():  # sampled as log(exp(x) - 1)
        total += stats.halfnorm.logpdf(x, scale=1 if name == "visit_sd" else 2) + np.log(-np.expm1(-x))
    between = draw["correlation"].item() * sds["level_sd"] * sds["slope_sd"]
    covariance = [[sds["level_sd"] ** 2, between], [between, sds["slope_sd"] ** 2]]
    total += stats.multivariate_normal(cov=covariance).logpdf(np.column_stack([draw["level"], draw["slope"]])).sum()
    x, s, t = data["moderator"].values, data["course"].values, np.array([0, 0.5, 1])
    code = np.array([-0.5, 0.5])[data["arm_of"].values]
    effect = draw["arm_effect"].values + draw["arm_by_moderator"].values * x
    by_visit = np.outer(code * effect + draw["moderator_change"].item() * x, s)
    mean = draw["visit_effect"].values + by_visit + draw["moderator_effect"].item() * x[:, None]
    mean = mean + draw["level"].values[:, None] + np.outer(draw["slope"].values, t)
    total += stats.norm.logpdf(draw["severity"].values, mean, sds["visit_sd"]).sum()
    cuts = np.split(draw["threshold"].values, np.cumsum(list(HIGHEST.values()))[:-1])
    departure, changed = draw["departure"].values[0], draw["departure_by_moderator"].values[0]
    for r, (i, j) in enumerate(zip(data["subject_of"].values, data["visit_of"].values, strict=True)):
        for m, y in enumerate(data["score"].values[r]):
            level = draw["discrimination"].values[m] * draw["severity"].values[i, j]
            level += s[j] * code[i] * (departure[m] + changed[m] * x[i])
            low, high = np.concatenate([[-np.inf], cuts[m], [np.inf]])[[y, y + 1]] - level
            if low > 0:  # the tail in which a difference keeps its digits
                low, high = -high, -low
            if y >= 0:
                total += np.log(special.expit(high) - special.expit(low))
    return total


def rough_arguments():
    """Free parameters of the rough model and what is given, one score missing."""
    score = item_table(people=10)[list(HIGHEST)].to_numpy(copy=True)
    highest = np.array(list(HIGHEST.values()))
    score[3, 2] = -1
    free = np.random.default_rng(2).normal(0, 0.5, len(highest) * 5)
    theta, _, information = _modes(free, score, highest)
    return free, _places(theta, 1 / np.sqrt(1 + information)), score, highest


def test_slopes_of_the_rough_density_are_its_differences():
    free, places, score, highest = rough_arguments()
    given = (*places, score, highest)

    def of(x):
        return _minus_log_posterior(x, *given)[0]

    # forward differences are off by 1.5e-8 times the second derivative, a few dozen here, in each of 30 directions
    assert optimize.check_grad(of, lambda x: _minus_log_posterior(x, *given)[1], free) < 1e-4


def test_the_rough_density_is_an_integral_over_standard_normal_severities(monkeypatch):
    """Nodes around each mode, more of them than are used, against an even grid; priors cancel in a difference."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    monkeypatch.setattr(rough, "_NODES", nodes)
    monkeypatch.setattr(rough, "_WEIGHTS", weights)
    free, places, score, highest = rough_arguments()
    a, cuts = _of_items(free, len(highest))
    z = np.linspace(-8, 8, 401)
    exact = np.zeros(len(score))
    for r, row in enumerate(score):
        p = stats.norm.pdf(z) * (z[1] - z[0])
        for m, y in enumerate(row):
            if y >= 0:
                up = special.expit(cuts[m, y] - a[m] * z) if y < highest[m] else 1.0
                p = p * (up - (special.expit(cuts[m, y - 1] - a[m] * z) if y > 0 else 0.0))
        exact[r] = np.log(p.sum())
    empty = _minus_log_posterior(free, places[0][:, :0], places[1][:, :0], score[:0], highest)[0]
    found = empty - _minus_log_posterior(free, *places, score, highest)[0]
    assert found == pytest.approx(exact.sum(), abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rough_severities_are_near_the_true_ones_where_items_discriminate_differently(seed):
    """60 patients with gaps: were severities parameters, one item's discrimination would grow until they followed it.

    The items are the design's; on its table of seed 1 the mode over severities and items was off by 3 standard errors.
    """
    rng = np.random.default_rng(seed)
    severity, a = rng.normal(0, 0.8, 441), np.array([x for _, x in ITEMS.values()])
    a = a / np.exp(np.log(a).mean())
    highest = np.array([len(shares) - 1 for shares, _ in ITEMS.values()])
    cuts = np.zeros((len(highest), 4))
    for m, (shares, _) in enumerate(ITEMS.values()):
        cuts[m, : highest[m]] = special.logit(np.cumsum(shares)[:-1])
    above = probabilities_above(severity[:, None] * a, cuts, highest)
    score = (rng.random((441, len(a), 1)) < above).sum(axis=-1)
    estimate, error = rough_severities(score, highest)
    assert 0.8 < ((estimate - severity) / error).std() < 1.25
    assert 0.85 < np.polyfit(severity, estimate, 1)[0] < 1.15
    assert np.corrcoef(estimate, severity)[0, 1] > 0.85


def test_rough_severities_are_near_the_true_ones_by_their_errors():
    """Seventeen items of 400 assessments: what estimates are off by has an sd of about one standard error."""
    rng, highest = np.random.default_rng(3), np.array([4, 2] * 8 + [4])
    severity = rng.normal(0, 0.8, 400)
    cuts = np.sort(rng.normal(0, 1.2, (17, 4)), axis=1)
    above = probabilities_above(np.repeat(severity[:, None], 17, axis=1), cuts, highest)
    score = (rng.random((400, 17, 1)) < above).sum(axis=-1)
    estimate, error = rough_severities(score, highest)
    off = (estimate - estimate.mean() - severity + severity.mean()) / error
    assert np.corrcoef(estimate, severity)[0, 1] > 0.8
    assert 0.8 < off.std() < 1.25


def a_few_draws(ours, data, count=3, seed=4):
    graph = ours.build(data)
    names = ["visit_effect", "arm_effect", "level_sd", "slope_sd", "visit_sd", "correlation", "discrimination",
             "departure", "departure_sd", "threshold"]  # fmt: skip
    if ours.moderator is not None:
        names += ["moderator_effect", "moderator_change", "arm_by_moderator", "departure_by_moderator"]
    drawn = from_prior([graph[name] for name in names], count, seed=seed)
    dims = {name: graph.named_vars_to_dims.get(name) or () for name in names}
    return xr.Dataset({
        name: (("chain", "draw", *dims[name]), values[None]) for name, values in zip(names, drawn, strict=True)
    })  # fmt: skip


def by_quadrature(draw, data, patient):
    """A patient's log integral: an even grid over level and change, and one over each visit's severity."""
    rows = np.flatnonzero(data["subject_of"].values == patient)
    highest, arm = data["highest"].values, int(data["arm_of"].values[patient])
    code, x = data["arm_code"].values[:, arm], float(data["moderator"].values[patient])
    cuts, k = np.zeros((len(highest), highest.max())), 0
    for m, top in enumerate(highest):
        cuts[m, :top] = draw["threshold"].values[k : k + top]
        k += top
    z = np.linspace(-7, 7, 57)
    weight = stats.norm.pdf(z) * (z[1] - z[0])
    level = draw["level_sd"].item() * z[:, None]
    rho = draw["correlation"].item()
    change = draw["slope_sd"].item() * (rho * z[:, None] + np.sqrt(1 - rho**2) * z)
    total = np.zeros((len(z), len(z)))
    for r in rows:
        j = int(data["visit_of"].values[r])
        t, s = float(data["time"].values[j]), float(data["course"].values[j])
        mean = draw["visit_effect"].values[j] + s * code @ draw["arm_effect"].values
        beside = s * code @ draw["departure"].values
        if "arm_by_moderator" in draw:
            mean = mean + s * x * code @ draw["arm_by_moderator"].values
            mean = mean + x * (draw["moderator_effect"].item() + s * draw["moderator_change"].item())
            beside = beside + s * x * code @ draw["departure_by_moderator"].values
        severity = (mean + level + change * t)[..., None] + draw["visit_sd"].item() * z
        p = np.ones(severity.shape)
        for m, top in enumerate(highest):
            y = data["score"].values[r, m]
            if y >= 0:
                place = severity * draw["discrimination"].values[m] + beside[m]
                up = special.expit(cuts[m, y] - place) if y < top else 1.0
                down = special.expit(cuts[m, y - 1] - place) if y > 0 else 0.0
                p *= up - down
        with np.errstate(divide="ignore"):  # far from the mode a visit has probability 0
            total += np.log(p @ weight)
    return np.log(weight @ np.exp(total) @ weight)


@pytest.mark.parametrize("settings", [{}, {"moderator": "crp", "course": "constant"}])
def test_patients_log_likelihood_is_the_integral_over_their_severities(settings):
    """Laplace's method is off by terms of order one over the number of scores, six a visit here."""
    table = item_table(people=4)
    table.loc[2, "mood"] = np.nan
    ours = model(**settings)
    data = ours.prepare(table.drop(index=[4]))
    draws = a_few_draws(ours, data)
    found = ours.log_likelihood(draws, data).values[0]
    for s in range(3):
        one = draws.isel(chain=0, draw=s)
        exact = [by_quadrature(one, data, i) for i in range(4)]
        np.testing.assert_allclose(found[s], exact, atol=0.1)


@pytest.mark.parametrize("settings", [{}, {"moderator": "crp", "course": "constant"}])
def test_each_score_has_its_probability_given_the_severity_of_the_visit(settings):
    """The model's docstring, score by score; severities are drawn for the purpose."""
    table = item_table(people=6)
    table.loc[2, "mood"] = np.nan
    ours = model(**settings)
    data = ours.prepare(table.drop(index=[4]))
    severity = np.random.default_rng(2).normal(0, 2, (1, 3, data.sizes["subject"], data.sizes["visit"]))
    draws = a_few_draws(ours, data).assign(severity=(("chain", "draw", "subject", "visit"), severity))
    (one,) = ours.observations(draws, data).values()
    low, high = one.law.around(one.lower, one.upper)
    cells = [(r, m) for r in range(data.sizes["assessment"]) for m in range(6) if data["score"].values[r, m] >= 0]
    assert len(cells) == len(one.lower) == 6 * 17 - 1
    for d in range(3):
        draw = draws.isel(chain=0, draw=d)
        cuts = np.split(draw["threshold"].values, np.cumsum(list(HIGHEST.values()))[:-1])
        for k, (r, m) in enumerate(cells):
            i, j, y = int(data["subject_of"][r]), int(data["visit_of"][r]), int(data["score"][r, m])
            code, s = data["arm_code"].values[:, int(data["arm_of"][i])], float(data["course"][j])
            beside = s * code @ draw["departure"].values
            if "departure_by_moderator" in draw:
                beside = beside + s * float(data["moderator"][i]) * code @ draw["departure_by_moderator"].values
            level = draw["discrimination"].values[m] * severity[0, d, i, j] + beside[m]
            below, up_to = special.expit(np.concatenate([[-np.inf], cuts[m], [np.inf]]) - level)[[y, y + 1]]
            assert low[d, k] == pytest.approx(below, rel=1e-9)
            assert high[d, k] == pytest.approx(up_to, rel=1e-9)
            assert one.with_later[d, k] == pytest.approx(np.log(up_to - below), rel=1e-8, abs=1e-8)
            of = data["subject"].values[i], data["visit"].values[j], data["item"].values[m], y
            assert (*(one.labels[name][k] for name in ("subject", "visit", "item")), one.lower[k]) == of


# Estimands


def test_gauss_rule_has_the_moments_of_the_numbers():
    x = np.random.default_rng(1).normal(size=40) ** 3
    places, weights = gauss_rule(x, 5)
    for k in range(10):
        assert (weights * places**k).sum() == pytest.approx((x**k).mean(), rel=1e-9)
    assert gauss_rule(np.array([1.0, 1.0, 2.0]), 5)[0].tolist() == pytest.approx([1, 2])


@pytest.mark.parametrize("settings", [{}, {"moderator": "crp", "at": [1, 5]}, {"course": "constant"}])
def test_expected_scores_are_means_over_new_patients(settings):
    """By simulation of 200,000 patients a draw, each put into both arms with the same random numbers."""
    ours = model(**settings)
    data = ours.prepare(item_table())
    draws = a_few_draws(ours, data, count=2)
    found = ours.estimands(draws, data)
    rng, size = np.random.default_rng(5), 200_000
    for s in range(2):
        one = draws.isel(chain=0, draw=s)
        x = rng.choice(data["moderator"].values, size)
        rho, last = one["correlation"].item(), float(data["course"].values[-1])
        z = rng.normal(size=(3, size))
        own = one["level_sd"].item() * z[0] + one["visit_sd"].item() * z[2]
        own += one["slope_sd"].item() * (rho * z[0] + np.sqrt(1 - rho**2) * z[1])
        noise, means = rng.logistic(size=(size, len(HIGHEST))), []
        for arm in (0, 1):
            code = data["arm_code"].values[0, arm] * last
            severity = own + one["visit_effect"].values[-1] + code * one["arm_effect"].values[0]
            beside = code * one["departure"].values[0] + np.zeros((size, 1))
            if "moderator" in settings:
                by = one["moderator_effect"].item() + last * one["moderator_change"].item()
                severity = severity + x * (by + code * one["arm_by_moderator"].values[0])
                beside = beside + code * x[:, None] * one["departure_by_moderator"].values[0]
            place = severity[:, None] * one["discrimination"].values + beside + noise
            cuts = np.split(one["threshold"].values, np.cumsum(list(HIGHEST.values()))[:-1])
            means.append(np.column_stack([(place[:, [m]] > c).sum(axis=1) for m, c in enumerate(cuts)]))
        change = means[1] - means[0]
        error = change.std(axis=0) / np.sqrt(size)
        item = found["item_difference"].values[0, s, 0]
        assert (np.abs(item - change.mean(axis=0)) < 4.5 * error + 1e-3).all()
        total = found["sum_difference"].values[0, s, 0, -1]
        assert abs(total - change.sum(axis=1).mean()) < 4.5 * change.sum(axis=1).std() / np.sqrt(size) + 5e-3
        present = found["present_difference"].values[0, s, 0]
        each = (means[1] > 0).astype(float) - (means[0] > 0)
        assert (np.abs(present - each.mean(axis=0)) < 4.5 * each.std(axis=0) / np.sqrt(size) + 1e-3).all()


def test_arms_are_alike_at_the_start_and_sums_are_sums_of_items():
    ours = model(moderator="crp", at=[1, 5])
    data = ours.prepare(item_table())
    found = ours.estimands(a_few_draws(ours, data), data)
    assert np.allclose(found["sum_difference"].values[..., 0], 0)
    total = found["item_difference"].sum("item")
    np.testing.assert_allclose(found["sum_difference"].isel(visit=-1), total, rtol=1e-10)
    along = found["item_difference_at"].sum("item")
    np.testing.assert_allclose(found["sum_difference_at"], along, rtol=1e-10)


def test_crude_differences_are_those_of_means():
    table = item_table(people=14)
    data = model().prepare(table)
    difference, error = crude_differences(data)
    last = table[table["visit"] == 4]
    drug, placebo = (last[last["arm"] == a][list(HIGHEST)] for a in ("drug", "placebo"))
    np.testing.assert_allclose(difference, drug.mean() - placebo.mean())
    np.testing.assert_allclose(error, np.sqrt(drug.var() / 7 + placebo.var() / 7))


# Tables


def long_table(wide):
    about = ["subject", "arm", "visit", "crp"]
    return wide.melt(about, var_name="item", value_name="score").sample(frac=1, random_state=1).reset_index(drop=True)


def test_one_row_a_score_is_the_same_as_one_column_an_item():
    wide = item_table()
    wide.loc[3, "sleep"] = np.nan
    one = model(moderator="crp").prepare(wide)
    other = model(moderator="crp", item="item").prepare(long_table(wide).sort_values("subject"))
    for name in one.data_vars:
        np.testing.assert_allclose(one[name].values, other[name].values, err_msg=name)


def test_missing_items_and_visits_are_left_out():
    table = item_table()
    table.loc[1, list(HIGHEST)] = np.nan
    table.loc[5, "guilt"] = np.nan
    data = model().prepare(table)
    assert data.sizes["assessment"] == 35
    assert (data["score"].values == -1).sum() == 1
    assert data["severity_se"].values[0, 1] == UNKNOWN
    assert "missed" in data.attrs["notes"]
    again = with_scores(data, np.zeros(data["score"].shape, dtype=int))
    assert (again["score"].values == -1).sum() == 1


def test_an_item_with_one_score_throughout_is_noted_and_fits():
    table = item_table().assign(weight=0)
    data = model().prepare(table)
    assert "'weight' is 0 in every assessment" in data.attrs["notes"]
    graph = model().build(data)
    assert np.isfinite(graph.compile_logp(mode=uncompiled())(graph.initial_point()))


def test_scores_of_replicates_are_missing_where_none_was_observed_and_within_range():
    table = item_table()
    table.loc[5, "guilt"] = np.nan
    ours = model(moderator="crp", pooling="student-t")
    data = ours.prepare(table)
    graph = ours.build(data)
    drawn = from_prior([graph["item_score"]], 20, seed=1)[0]
    assert ((drawn == -1) == (data["score"].values == -1)).all()
    assert (drawn <= data["highest"].values).all()
    for check in ours.checks(data):
        value = check.statistic(drawn)
        assert value.shape == (20,)
        assert np.isfinite(value).all()
        assert value[3] == pytest.approx(check.statistic(drawn[3]))


def test_a_score_outside_its_items_range_names_row_item_and_remedy():
    with pytest.raises(BadInput, match=r"'sleep'\): row 3 is 3, but this item is scored 0 to 2 .* state the item's"):
        model().prepare(item_table().assign(sleep=[0, 1, 3, *[0] * 33]))


# The simulator


def test_the_design_has_the_published_numbers():
    made = draw_raison2013_items(np.random.default_rng(3), (4000, 4000))
    table, truth = made.table, made.truth
    total = table[list(ITEMS)].sum(axis=1, min_count=len(ITEMS))
    start, last = table["week"] == 0, table["week"] == 12
    assert total[start].mean() == pytest.approx(23.85, abs=4 * 3.9 / np.sqrt(8000))
    assert total[start].std() == pytest.approx(3.9, abs=4 * 3.9 / np.sqrt(16000))
    above = table["crp"] > 5
    by_arm = [total[last & above & (table["arm"] == a)].dropna() for a in ("infliximab", "placebo")]
    error = np.sqrt(sum(x.var() / len(x) for x in by_arm))
    assert by_arm[0].mean() - by_arm[1].mean() == pytest.approx(-3.1, abs=4 * error)
    assert truth["sum_difference"]["4.98"] == pytest.approx(0, abs=1e-8)
    assert truth["sum_difference"]["crp > 5"] == pytest.approx(-3.1, abs=1e-8)
    item = dict(zip(truth["item"], truth["item_difference"]["crp > 5"], strict=True))
    named = ("psychic anxiety", "retardation", "work and activities", "suicide", "depressed mood")
    assert set(sorted(item, key=item.get)[:5]) == set(named)
    assert scale().level_sd > 0
    for m, name in enumerate(ITEMS):
        each = [table.loc[last & above & (table["arm"] == a), name].dropna() for a in ("infliximab", "placebo")]
        error = np.sqrt(sum(x.var() / len(x) for x in each))
        assert each[0].mean() - each[1].mean() == pytest.approx(truth["item_difference"]["crp > 5"][m], abs=4.2 * error)


def true_parameters(made, data):
    """The design's truth as a draw of the model's parameters, which count arms from midway between them."""
    truth, attrs, t = made.truth, data["moderator"].attrs, data["time"].values
    off = attrs["mean"] - truth["centre"]
    departure, by_crp = np.array(truth["departure"]), np.array(truth["departure_by_crp"])
    effect = truth["effect"] + truth["by_crp"] * off
    course = scale().shift + t * (CHANGE_BY_CRP * off + effect / 2)
    cuts = [special.logit(np.cumsum(shares)[:-1]) for shares, _ in ITEMS.values()]
    a = np.array(truth["discrimination"])
    values = {
        "visit_effect": course - course.mean(), "arm_effect": [effect],
        "arm_by_moderator": [truth["by_crp"] * attrs["sd"]], "moderator_effect": 0.0,
        "moderator_change": (CHANGE_BY_CRP + truth["by_crp"] / 2) * attrs["sd"],
        "departure": [departure + by_crp * off], "departure_by_moderator": [by_crp * attrs["sd"]], "discrimination": a,
        "threshold": np.concatenate([c - x * course.mean() for c, x in zip(cuts, a, strict=True)]), "correlation": 0.0,
        "level_sd": truth["level_sd"], "slope_sd": truth["slope_sd"], "visit_sd": truth["visit_sd"],
    }  # fmt: skip
    dims = {"visit_effect": "visit", "discrimination": "item", "threshold": "step"}
    dims |= {"arm_effect": "comparison", "arm_by_moderator": "comparison"}
    dims |= dict.fromkeys(("departure", "departure_by_moderator"), ("comparison", "item"))
    return xr.Dataset({name: (dims.get(name, ()), x) for name, x in values.items()})


@pytest.mark.parametrize("name", ["level_sd", "slope_sd", "visit_sd"])
def test_the_designs_spreads_are_the_models(name):
    """The slope of the log likelihood of 300 patients by each sd has expectation 0 at the simulator's truth."""
    made = draw_raison2013_items(np.random.default_rng(4), (150, 150), complete=True)
    ours = bd.Items(
        items={name: len(shares) - 1 for name, (shares, _) in ITEMS.items()}, reference="placebo", visit="week",
        moderator="crp",
    )  # fmt: skip
    data = ours.prepare(made.table)
    true = true_parameters(made, data)
    around = [true.assign({name: true[name] * factor}) for factor in (0.97, 1.03)]
    draws = xr.concat(around, "draw", data_vars="all").expand_dims("chain").transpose("chain", "draw", ...)
    low, high = ours.log_likelihood(draws, data).values[0]
    slope = high - low
    assert abs(slope.sum()) < 4 * slope.std() * np.sqrt(len(slope))
    wrong = true.assign({name: true[name] * 1.6}), true.assign({name: true[name] * 1.7})
    draws = xr.concat(wrong, "draw", data_vars="all").expand_dims("chain").transpose("chain", "draw", ...)
    low, high = ours.log_likelihood(draws, data).values[0]
    assert (high - low).sum() < -4 * (high - low).std() * np.sqrt(len(low))  # it can fail


def test_the_published_size_has_the_published_visits_and_counts():
    table = draw_raison2013_items(np.random.default_rng(1)).table
    patients = table.drop_duplicates("subject")
    assert (len(patients), (patients["crp"] > 5).sum()) == (60, 22)
    assert table.groupby("week").size()[[3, 10]].tolist() == [11, 32]
    highest = {name: len(shares) - 1 for name, (shares, _) in ITEMS.items()}
    assert all(table[name].max() <= top and table[name].isna().any() for name, top in highest.items() if top)
    assert sum(highest.values()) == 52


@pytest.mark.sampling
def test_the_difference_of_the_sum_is_that_of_a_trial_of_the_sum():
    """120 synthetic patients, six items, three visits: one posterior standard deviation apart at most, and as wide."""
    names = ["depressed mood", "guilt", "work and activities", "retardation", "psychic anxiety", "somatic anxiety"]
    made = draw_raison2013_items(np.random.default_rng(8), (60, 60), complete=True)
    visits = made.table[made.table["week"].isin([0, 6, 12])]
    short = {"draws": 500, "tune": 500, "chains": 2, "seed": 1, "progress": False}
    items = bd.Items(items={name: len(ITEMS[name][0]) - 1 for name in names}, reference="placebo", visit="week")
    of_items = bd.fit(items, visits, **short).estimands["sum_difference"].sel(visit="12").values
    sums = visits.assign(total=visits[names].sum(axis=1))
    start = sums[sums["week"] == 0].set_index("subject")["total"]
    later = sums[sums["week"] > 0].assign(before=lambda rows: rows["subject"].map(start))
    trial = bd.Trial(reference="placebo", outcome="total", baseline="before", visit="week", units="points")
    of_sums = bd.fit(trial, later, **short).estimands["difference"].sel(visit="12").values
    assert abs(of_items.mean() - of_sums.mean()) < of_sums.std()
    assert of_items.std() / of_sums.std() == pytest.approx(1.0, abs=0.3)
