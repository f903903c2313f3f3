"""Single observations: their distributions, what leaves them out, and where they lie in what the others predict.

Exact oracles: Schur complements and joint densities for predictions one step ahead, the models' own dense scores for
sums over a unit, conjugate posteriors for leave-one-out, and uniformity where data are drawn from the model.
"""

import dataclasses

import arviz_stats
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, special, stats
from test_invariance import EXAMPLES
from unsampled import courses, patients, unsampled, visits

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import from_prior
from bayesdep.inference.labelled import label_draws
from bayesdep.inference.observations import Predicted, arviz_tree
from bayesdep.models.meta.binomial_arms import log_marginal_arms
from bayesdep.models.meta.binomial_pair import log_marginal
from bayesdep.models.meta.scores import midpoints_of, parameters_of
from bayesdep.models.model import PredictsObservations
from bayesdep.models.parts.observations import Binomials, Categories, Graded, Normals, of_groups, of_steps
from bayesdep.models.parts.replicates import put
from bayesdep.models.register import SHIPPED, model_class
from bayesdep.numerics.logit_normal_counts import probability_up_to, quantile
from bayesdep.numerics.one_step_ahead import OneStepAhead

# Mathematics.


def covariance(k, seed=0):
    root = np.random.default_rng(seed).normal(size=(k, k))
    return root @ root.T + np.eye(k)


def test_one_step_ahead_is_the_conditional_normal_by_schur_complements():
    matrix, mean, y = covariance(4), np.array([1.0, -2.0, 0.5, 3.0]), np.array([0.3, -1.0, 2.0, 1.0])
    found = OneStepAhead.of(y[None], mean[None, None], np.linalg.cholesky(matrix)[None])
    for j in range(4):
        weight = np.linalg.solve(matrix[:j, :j], matrix[:j, j])
        location = mean[j] + weight @ (y[:j] - mean[:j])
        sd = np.sqrt(matrix[j, j] - weight @ matrix[:j, j])
        np.testing.assert_allclose([found.location[0, 0, j], found.scale[0, 0, j]], [location, sd], rtol=1e-12)
        assert found.log_density[0, 0, j] == pytest.approx(stats.norm.logpdf(y[j], location, sd), rel=1e-12)
    joint = stats.multivariate_normal(mean, matrix)
    assert found.with_later[0, 0, 0] == pytest.approx(joint.logpdf(y), rel=1e-12)
    last = stats.multivariate_normal(mean[:2], matrix[:2, :2])
    assert found.with_later[0, 0, 2] == pytest.approx(joint.logpdf(y) - last.logpdf(y[:2]), rel=1e-12)


def test_one_step_ahead_of_a_t_is_its_joint_density_over_that_of_the_earlier():
    matrix, mean, y, nu = covariance(3, 1), np.array([1.0, -2.0, 0.5]), np.array([0.3, 3.0, 2.0]), 4.5
    found = OneStepAhead.of(y[None], mean[None, None], np.linalg.cholesky(matrix)[None], np.array([nu]))
    for j in range(3):
        here, before = (stats.multivariate_t(mean[:k], matrix[:k, :k], df=nu) for k in (j + 1, max(j, 1)))
        earlier = before.logpdf(y[:j]) if j else 0.0
        assert found.log_density[0, 0, j] == pytest.approx(here.logpdf(y[: j + 1]) - earlier, rel=1e-10)
        below = stats.t(found.nu[0, 0, j]).cdf((y[j] - found.location[0, 0, j]) / found.scale[0, 0, j])
        integral = integrate.quad(
            lambda x, j=j, here=here, earlier=earlier: np.exp(here.logpdf([*y[:j], x]) - earlier), -np.inf, y[j]
        )[0]
        assert below == pytest.approx(integral, abs=1e-7)


def test_values_between_limits_are_quantiles_of_the_distribution_cut_there():
    rng = np.random.default_rng(0)
    location, scale = rng.normal(size=(3, 1, 1)), rng.uniform(0.5, 2, (3, 1, 1))
    weight = np.array([0.2, 0.5, 0.3])[:, None, None]
    share = rng.random((1, 20000))
    for nu in (None, np.full((3, 1, 1), 5.0)):
        law = Normals(*(np.broadcast_to(x, (3, 1, 20000)) for x in (location, scale, weight)), nu=nu)
        lower, upper = np.full(20000, -0.5), np.full(20000, 1.2)
        drawn = law.at(share, lower, upper)[0]
        assert drawn.min() >= -0.5
        assert drawn.max() <= 1.2

        def below(x, law=law):
            return law.around(np.full(20000, x), np.full(20000, x))[0][0, 0]

        ends = below(-0.5), below(1.2)
        for x in (-0.2, 0.3, 0.9):  # 20,000 draws: four standard errors of a share are 0.014
            assert np.mean(drawn < x) == pytest.approx((below(x) - ends[0]) / (ends[1] - ends[0]), abs=0.014)


def test_numbers_have_the_probabilities_below_and_up_to_them():
    of_items = np.array([[[-1.0, 0.5], [0.3, np.inf]]])
    graded = Graded(np.array([[0.4, 0.4]]), of_items, np.array([0, 1]))
    low, high = graded.around(np.array([1, 1]), np.array([1, 1]))
    np.testing.assert_allclose(low, [special.expit([-1.4, -0.1])])
    np.testing.assert_allclose(high, [[special.expit(0.1), 1]])
    for score, share in ((0, 0.19), (1, 0.21), (2, 0.53)):
        assert graded.at(np.array([[share, 0.47]]), np.zeros(2), np.zeros(2)).tolist() == [[score, 0.0]]
    assert graded.at(np.array([[0.3, 0.999]]), np.zeros(2), np.zeros(2)).tolist() == [[1.0, 1.0]]
    law = Categories.of(np.array([[[0.2, 0.5, 0.3], [0.2, 0.5, 0.3]]]))
    low, high = law.around(np.array([0, 2]), np.array([0, 2]))
    np.testing.assert_allclose(low, [[0, 0.7]])
    np.testing.assert_allclose(high, [[0.2, 1]])
    assert law.at(np.array([[0.1, 0.69]]), np.zeros(2), np.zeros(2)).tolist() == [[0.0, 1.0]]
    assert law.at(np.array([[0.21, 0.999]]), np.zeros(2), np.zeros(2)).tolist() == [[1.0, 2.0]]


def by_quadrature(k, n, location, scale):
    """P(count <= k) by Gauss-Legendre quadrature in pieces shorter than any width of what is integrated."""
    pieces = int(np.clip(18 * scale * np.sqrt(n), 60, 6000))
    x, w = np.polynomial.legendre.leggauss(8)
    ends = location + scale * np.linspace(-9, 9, pieces + 1)
    half = np.diff(ends) / 2
    at = (ends[:-1] + half)[:, None] + half[:, None] * x
    inside = stats.norm.pdf(at, location, scale) * stats.binom.cdf(k, n, special.expit(at))
    return float((inside @ w) @ half)


@pytest.mark.parametrize("n", [1, 7, 80, 2000])
@pytest.mark.parametrize("scale", [1e-4, 0.02, 0.3, 1.5, 6.0])
def test_a_count_whose_log_odds_are_normal_has_the_probability_of_the_integral(n, scale):
    for location in (-5.0, -0.7, 3.0):
        counts = np.unique([0, n // 20, n // 3, n - 1])
        found = probability_up_to(counts, np.array(n), np.full(len(counts), location), np.full(len(counts), scale))
        expected = [by_quadrature(k, n, location, scale) for k in counts]
        np.testing.assert_allclose(found, expected, atol=3e-9)
        share = np.random.default_rng(1).random(50)
        drawn = quantile(share, np.array(n), np.full(50, location), np.full(50, scale))
        up_to = [probability_up_to(drawn - d, np.array(n), np.full(50, location), np.full(50, scale)) for d in (0, 1)]
        assert (up_to[0] > share).all()
        assert (up_to[1] <= share).all()


def test_counts_of_mixed_log_odds_are_drawn_from_the_mixture():
    location, scale, weight = (np.array(x)[:, None, None] for x in ([-2.0, 1.0], [0.3, 0.8], [0.3, 0.7]))
    law, everywhere = Binomials(location, scale, weight, np.array([9])), np.full(1, np.inf)
    drawn = law.at((np.arange(20000)[:, None] + 0.5) / 20000, -everywhere, everywhere)[:, 0]
    for k in range(9):
        low, high = law.around(np.array([k]), np.array([k]))
        mixed = sum(w * by_quadrature(k, 9, m, s) for m, s, w in zip([-2, 1], [0.3, 0.8], [0.3, 0.7], strict=True))
        assert high[0, 0] == pytest.approx(mixed, abs=1e-9)
        assert np.mean(drawn <= k) == pytest.approx(mixed, abs=1e-3)  # evenly spaced: within 2 of 20,000
        assert np.mean(drawn < k) == pytest.approx(low[0, 0], abs=1e-3)


# Patients of several studies, beside formulas written out.


def test_a_patient_of_a_study_is_predicted_from_its_deviations_and_the_first_time():
    """y_t = intercept_t + own_kt + (T - share) effect_t + (T - 1/2) deviation_kt, times correlated."""
    model = bd.PatientMeta(reference="arm 0", time="time", times=["time 0", "time 1"], study_levels="random")
    table = patients()
    table.loc[[5, 40], "outcome"] = np.nan  # a second time, and a first one
    fit = unsampled(model, table, draws=4, chains=1)
    draw, data = fit.posterior.isel(chain=0, draw=2), fit.data
    few = fit.posterior.isel(chain=[0], draw=[2])
    (one,) = model.observations(few, data).values()
    rows = 0
    for i in range(data.sizes["subject"]):
        treated, study = int(data["arm_of"][i]), int(data["study_of"][i])
        own = draw["deviation"].transpose("study", "time", "which").values[study]
        mean = draw["intercept"].values + (treated - float(data["share_treated"])) * draw["effect"].values
        mean = mean + own[:, 0] + (treated - 0.5) * own[:, 1]
        sd = draw["study_sd"].transpose("study", "time").values[study] * data["outcome_sd"].values
        mean = data["outcome_mean"].values + data["outcome_sd"].values * mean
        rho, y = float(draw["residual_correlation"]), data["outcome"].values[i]
        expected = []
        if not np.isnan(y[0]):
            expected.append(stats.norm.cdf(y[0], mean[0], sd[0]))
        if not np.isnan(y[1]):
            known = not np.isnan(y[0])
            centre = mean[1] + known * rho * sd[1] / sd[0] * (np.nan_to_num(y[0]) - mean[0])
            expected.append(stats.norm.cdf(y[1], centre, sd[1] * np.sqrt(1 - known * rho**2)))
        found = one.law.around(one.lower, one.upper)[0][0, rows : rows + len(expected)]
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        rows += len(expected)
    assert rows == len(one.lower) == 2 * data.sizes["subject"] - 2


# Counts of studies, beside sums over all counts that an arm could have.


def meta_of_counts(name):
    model, table = COUNTS[name]
    data = model.prepare(table)
    graph = model.build(data)
    names = [v.name for v in graph.unobserved_RVs]
    values = from_prior([graph[n] for n in names], 6, seed=8)
    posterior = label_draws({n: v[None] for n, v in zip(names, values, strict=True)}, graph)
    return model, data, posterior


@pytest.mark.parametrize("name", ["two arms", "midpoints", "covariates"])
def test_treated_arms_are_predicted_from_their_controls(name):
    """P(treated <= k | control), from joint probabilities of all pairs, by the model's scores at more nodes."""
    model, data, posterior = meta_of_counts(name)
    (one,) = model.observations(posterior, data).values()
    below, up_to = one.law.around(one.lower, one.upper)
    _, tau, mean = parameters_of(model, posterior, data)
    baseline, rho = midpoints_of(posterior)
    mean = np.broadcast_to(mean if mean.ndim == 2 else mean[:, None], (len(tau), data.sizes["study"]))
    for i, ((e0, e1), (n0, n1)) in enumerate(zip(data["events"].values, data["n"].values, strict=True)):
        possible = np.array([[e0, k] for k in range(n1 + 1)]), np.tile([n0, n1], (n1 + 1, 1))
        joint = np.exp(log_marginal(*possible, np.tile(mean[:, [i]], n1 + 1), tau, baseline, rho, nodes=41))
        given = np.cumsum(joint, axis=1) / joint.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(up_to[:, 2 * i + 1], given[:, e1], atol=2e-7)
        np.testing.assert_allclose(below[:, 2 * i + 1], given[:, e1 - 1] if e1 else 0.0, atol=2e-7)
        np.testing.assert_allclose((up_to - below)[:, 2 * i], joint.sum(axis=1), atol=2e-7)
        np.testing.assert_allclose(np.exp(one.with_later[:, 2 * i]), joint[:, e1], atol=2e-7)
        np.testing.assert_allclose(one.with_later[:, 2 * i + 1], np.log(joint[:, e1] / joint.sum(axis=1)), atol=1e-6)
    assert one.labels["arm"].tolist() == ["control", "treated"] * data.sizes["study"]


def test_arms_that_share_a_control_are_predicted_from_all_earlier_ones():
    """Three arms: sums over what the second, and the third, could have had, by the model's scores at more nodes."""
    model, data, posterior = meta_of_counts("several arms")
    (one,) = model.observations(posterior, data).values()
    low, high = one.law.around(one.lower, one.upper)
    _, tau, mean = parameters_of(model, posterior, data)
    baseline, _ = midpoints_of(posterior)
    rows = [str(x) for x in one.labels["arm"]]
    at = [rows.index(x) for x in ("A: control", "A, 10 mg: treated", "A, 20 mg: treated")]
    assert one.labels["control_group"][at].tolist() == ["A"] * 3
    n, e = data["n"].values[at], data["events"].values[at]
    by_effect = np.tile(mean[:, None], 2)

    def probability(j, k):
        return np.exp(log_marginal_arms(np.array([e[0], j, k]), n, by_effect, tau, baseline, nodes=21))

    joint = np.array([[probability(j, k) for k in range(n[2] + 1)] for j in range(n[1] + 1)])
    assert joint.shape == (n[1] + 1, n[2] + 1, len(tau))
    third = np.cumsum(joint[e[1]], axis=0) / joint[e[1]].sum(axis=0)
    second = np.cumsum(joint.sum(axis=1), axis=0) / joint.sum(axis=(0, 1))
    # with 15 nodes on either axis scores are right to 1e-4 (tests/test_binomial_arms.py)
    for row, k, given in ((at[2], e[2], third), (at[1], e[1], second)):
        np.testing.assert_allclose(high[:, row], given[k], atol=1e-4)
        np.testing.assert_allclose(low[:, row], given[k - 1], atol=1e-4)
    np.testing.assert_allclose((high - low)[:, at[0]], joint.sum(axis=(0, 1)), atol=1e-4)
    np.testing.assert_allclose(one.with_later[:, at[2]], np.log(joint[e[1], e[2]] / joint[e[1]].sum(axis=0)), atol=1e-4)
    np.testing.assert_allclose(one.with_later[:, at[1]], np.log(joint[e[1], e[2]] / joint.sum(axis=(0, 1))), atol=1e-4)


def test_single_arms_have_the_probability_of_their_counts():
    model, data, posterior = meta_of_counts("single arms")
    (one,) = model.observations(posterior, data).values()
    low, high = one.law.around(one.lower, one.upper)
    for d in range(6):
        mu, tau = (float(posterior[name][0, d]) for name in ("mu", "tau"))
        for i, (e, n) in enumerate(zip(data["events"].values, data["n"].values, strict=True)):
            assert high[d, i] == pytest.approx(by_quadrature(e, n, mu, tau), abs=3e-9)
            assert low[d, i] == pytest.approx(by_quadrature(e - 1, n, mu, tau), abs=3e-9)
    np.testing.assert_allclose(np.log(high - low), one.with_later, rtol=1e-6)


# Leave-one-out, beside posteriors known in closed form.


@dataclasses.dataclass(frozen=True)
class Known:
    """Vectors around an unknown mean, of known covariance: the posterior without any part of the data is known."""

    matrix: np.ndarray

    def observations(self, posterior, data):
        mean = posterior["mean"].values.reshape(-1)
        y = data["y"].values
        steps = OneStepAhead.of(y, np.broadcast_to(mean[:, None, None], (len(mean), *y.shape)),
                                np.linalg.cholesky(self.matrix)[None])  # fmt: skip
        who, when = np.indices(y.shape).reshape(2, -1)
        return {
            "y": of_groups({"unit": who, "visit": when}, y.ravel(), y.ravel(), [of_steps(np.arange(y.size), steps)])
        }


def predicted_by_all_else(matrix, y, i, j, prior_sd):
    """Where y_ij lies given the other units and the unit's first j: dense normal algebra of all numbers at once."""
    n, k = y.shape
    joint = np.kron(np.eye(n), matrix) + prior_sd**2
    at, known = i * k + j, [*range(i * k + j), *range((i + 1) * k, n * k)]
    weight = np.linalg.solve(joint[np.ix_(known, known)], joint[known, at])
    return stats.norm.cdf(y[i, j], weight @ y.ravel()[known], np.sqrt(joint[at, at] - weight @ joint[known, at]))


def test_left_out_probabilities_are_those_of_the_exact_posterior():
    """The mean has a conjugate prior: every observation's distribution given all that comes before it is known."""
    rng, matrix, prior_sd, n = np.random.default_rng(3), np.array([[1.0, 0.6], [0.6, 1.5]]), 2.0, 12
    y = rng.multivariate_normal([0.7, 0.7], matrix, n)
    one = np.ones(2) @ np.linalg.inv(matrix)
    precision = n * one.sum() + 1 / prior_sd**2
    draws = rng.normal((y @ one).sum() / precision, precision**-0.5, (4, 5000))
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"mean": (("chain", "draw"), draws)}),
            "constant_data": xr.Dataset({"y": (("i", "j"), y)}),
        }
    )
    found = Predicted.of(Known(matrix), tree, tables=1)
    weights, k = found.weights("y")
    one = found.observations["y"]
    pit = (weights * one.law.around(one.lower, one.upper)[0]).sum(axis=0)
    exact = [predicted_by_all_else(matrix, y, i, j, prior_sd) for i in range(n) for j in range(2)]
    assert k.max() < 0.5
    np.testing.assert_allclose(pit, exact, atol=0.004)  # 20,000 draws of a mean with an sd of 0.25: 0.0007 each
    whole = (one.law.around(one.lower, one.upper)[0]).mean(axis=0)
    assert np.abs(whole - exact).max() > 0.02  # the whole posterior knows the observation itself

    groups = {name: group.to_dataset() for name, group in tree.children.items()}
    groups["observed_data"] = groups["constant_data"]
    groups["log_likelihood"] = xr.Dataset({"by_unit": (("chain", "draw", "i"), np.zeros((4, 5000, n)))})
    of_arviz = arviz_tree(Known(matrix), xr.DataTree.from_dict(groups), tables=1, seed=1)
    # a share of 20,000 replicates, weighted: four standard errors of 0.0035 each
    np.testing.assert_allclose(arviz_stats.loo_pit(of_arviz)["y"].values, exact, atol=0.015)
    assert list(of_arviz["log_likelihood"].data_vars) == ["y", "by_unit"]


def test_observations_of_several_versions_of_the_data_are_refused():
    one = patients().assign(outcome=lambda t: t["outcome"].round())
    model = bd.PatientMeta(reference="arm 0", time="time", times=["time 0", "time 1"], study_levels="random")
    fit = unsampled(model, one, draws=4, chains=1)
    several = dataclasses.replace(fit, manifest=fit.manifest | {"tables": 2})
    for asked in (lambda: several.arviz, lambda: bd.check_loo_pit(several)):
        with pytest.raises(BadInput, match=r"this fit is of 2 versions of the data.*; fit one table for checks"):
            asked()
    assert len(bd.check_loo_pit(fit)) == len(one)


def test_people_left_out_of_a_cell_are_predicted_by_the_others():
    """With Beta(1/2, 1/2) priors, a person without the event is predicted by (events + 1/2) / n of the others."""
    table = pd.DataFrame({"subgroup": ["s", "s"], "arm": ["drug", "placebo"], "events": [8, 3], "n": [13, 9]})
    fit = bd.fit(bd.Counts(control="placebo", pooling="none"), table, draws=4000, seed=1)
    found = bd.check_loo_pit(fit)
    assert found.columns.to_list() == ["variable", "subgroup", "arm", "person", "below", "up_to", "pit", "pareto_k"]
    for arm, events, n in (("drug", 8, 13), ("placebo", 3, 9)):
        mine = found[found["arm"] == arm]
        with_event, without = mine.iloc[0], mine.iloc[-1]
        assert len(mine) == n
        # Beta(8.5, 5.5) has an sd of 0.13: 16,000 draws, four standard errors 0.004, with the weights' own 0.006
        assert with_event["below"] == pytest.approx(1 - (events - 0.5) / n, abs=0.006)
        assert without["up_to"] == pytest.approx(1 - (events + 0.5) / n, abs=0.006)
        assert with_event["up_to"] == pytest.approx(1)
        assert without["below"] == 0
    assert ((found["below"] <= found["pit"]) & (found["pit"] <= found["up_to"])).all()


# Every model, at draws of its parameters.

TRIALS = pd.DataFrame(
    {
        "study": list("ABCDE"), "events_treated": [4, 0, 9, 21, 3], "n_treated": [20, 12, 31, 60, 9],
        "events_control": [7, 3, 11, 30, 1], "n_control": [21, 14, 29, 58, 11], "year": [1990, 1994, 2001, 2003, 2010],
    }
)  # fmt: skip
ARMS = pd.DataFrame(
    {
        "study": ["A", "A", "A", "B", "B", "C", "C", "C", "C"],
        "arm": ["placebo", "10 mg", "20 mg", "20 mg", "placebo", "placebo", "10 mg", "20 mg", "40 mg"],
        "events": [4, 7, 9, 12, 6, 3, 5, 0, 8], "n": [12, 13, 12, 60, 58, 10, 11, 9, 10],
    }
)  # fmt: skip
SINGLE = pd.DataFrame({"study": list("ABCD"), "events": [3, 0, 12, 40], "n": [10, 6, 15, 90]})
OF_COUNTS = {"likelihood": "binomial", "measure": "log-odds-ratio", "input": "counts"}
OF_ARMS = {**OF_COUNTS, "input": "arms", "reference": "placebo"}
OF_EVENTS = {**OF_COUNTS, "measure": "log-odds", "input": "events"}
COUNTS = {
    "two arms": (bd.Meta(**OF_COUNTS), TRIALS),
    "midpoints": (bd.Meta(**OF_COUNTS, midpoint_correlation=True), TRIALS),
    "covariates": (bd.Meta(**OF_COUNTS, covariates="year"), TRIALS),
    "several arms": (bd.Meta(**OF_ARMS), ARMS),
    "single arms": (bd.Meta(**OF_EVENTS), SINGLE),
}

CENSORED = {
    "reference": "arm 0", "moderator": "crp", "moderator_form": "log", "covariance": "ar1",
    "moderator_model": "log-normal",
}  # fmt: skip


def crp_below(table):
    return table.assign(crp=["<0.8" if x < 0.8 else str(x) for x in table["crp"]])


WEEKS = pd.concat(
    [EXAMPLES["cytokines"].table.assign(time=week).iloc[shift:] for shift, week in enumerate((0, 4, 8))],
    ignore_index=True,
)
REPEATED = {**EXAMPLES["cytokines"].settings, "time": "time", "lod": "lod"}
LIMITS = WEEKS.assign(lod=WEEKS["analyte"].map({"CRP": 0.6, "IL-6": 2.5, "TNF": 6.0}))
LIMITS["flag"] = np.where(LIMITS["concentration"] < LIMITS["lod"], "left", "none")
LIMITS["concentration"] = LIMITS[["concentration", "lod"]].max(axis=1)

BESIDE = courses(people=24).replace({"value": {"<1.5": 1.5}})
OUTCOMES = BESIDE.dropna(subset=["outcome"])
YES_NO = OUTCOMES.assign(outcome=(OUTCOMES["outcome"] > 24).astype(float))
LEVEL_NAMES = ["well", "better", "ill"]
IN_LEVELS = OUTCOMES.assign(outcome=pd.cut(OUTCOMES["outcome"], [-99, 21, 27, 99], labels=LEVEL_NAMES).astype(object))
GROWTH = {"reference": "arm 0", "course": "linear"}
SERIAL = {**GROWTH, "autocorrelation": True}
MARKERS = {**GROWTH, "value": "value", "analyte": "marker", "association": ("change", "baseline")}
RESPONSES = {**GROWTH, "kind": "response"}
LEVELS = {**GROWTH, "kind": "ordinal", "categories": LEVEL_NAMES}

ALIKE = {
    "counts": ("counts", {}, None), "screen": ("screen", {}, None), "correlation": ("correlation", {}, None),
    "crossover": ("crossover", {}, None), "cytokines": ("cytokines", {}, None), "response": ("response", {}, None),
    "ordinal": ("ordinal", {}, None), "trial": ("trial", {}, None),
    "robust panel": ("cytokines", {"robust": True}, None),
    "robust trial": ("trial", {"robust": True, "covariance": "ar1"}, None),
    "trial by arm": ("trial", {"by_arm": True, "covariance": "compound-symmetry"}, None),
    "people in categories": ("ordinal", {"subject": None, "visit": None, "covariates": None}, None),
    "censored moderator": ("trial", CENSORED, crp_below(visits())),
    "counts of two arms": ("meta", OF_COUNTS, TRIALS), "counts of several arms": ("meta", OF_ARMS, ARMS),
    "counts of single arms": ("meta", OF_EVENTS, SINGLE),
    "growth": ("trajectories", GROWTH, OUTCOMES), "growth in serial": ("trajectories", SERIAL, OUTCOMES),
    "courses beside markers": ("trajectories", MARKERS, BESIDE), "responses": ("trajectories", RESPONSES, YES_NO),
    "categories of patients": ("trajectories", LEVELS, IN_LEVELS),
    "transitions": ("transitions", {"effects": "by-state"}, None),
    "items": ("items", {}, None),
    "panel over time": ("cytokines", REPEATED, LIMITS),
    "robust panel over time": ("cytokines", {**REPEATED, "robust": True}, LIMITS),
}  # fmt: skip


def prepared(name):
    family, changed, table = ALIKE[name]
    example = EXAMPLES[family]
    if table is not None:
        return (model := model_class(family)(**changed)), model.prepare(table)
    model = model_class(family)(**{**example.settings, **changed})
    table = example.table.drop_duplicates("subject") if name == "people in categories" else example.table
    return model, model.prepare(table)


def truths(model, data, draws, seed):
    """Draws of the prior, each with data drawn given it."""
    graph = model.build(data)
    names = [v.name for v in (*graph.unobserved_RVs, *graph.observed_RVs)]
    values = from_prior([graph[n] for n in names], draws, seed=seed)
    parameters = [v.name for v in graph.unobserved_RVs]
    for d in range(draws):
        drawn = label_draws({n: v[d] for n, v in zip(names, values, strict=True)}, graph, sample_dims=())
        if "non_detect" in data.dims:  # what the model itself says of the moderator stays
            told = put(data, outcome=drawn["outcome_by_visit"].values)
        else:
            with np.errstate(all="ignore"):
                told = model.replicate(data, drawn, np.random.default_rng([seed, d]))
        yield drawn[parameters].expand_dims(("chain", "draw")), told


def test_every_model_is_here_or_says_nothing_of_single_observations():
    able = {name for name in SHIPPED if issubclass(model_class(name), PredictsObservations)}
    assert able == {family for family, _, _ in ALIKE.values()} | {"patient-meta"}


@pytest.mark.parametrize("name", [name for name in ALIKE if name != "items"])  # of these, others of a unit stay
def test_what_leaves_out_a_units_first_observation_is_the_models_own_score(name):
    """The log density of all of a unit's numbers, by the models' dense densities; first ones come first in a unit."""
    model, data = prepared(name)
    for truth, told in truths(model, data, 3, seed=5):
        found = model.observations(truth, told)
        own = model.log_likelihood(truth, told).values[0, 0]
        if name in ("counts", "screen", "people in categories", "cytokines", "robust panel"):
            (one,) = found.values()
            np.testing.assert_allclose(one.with_later[0], own, rtol=1e-9, atol=1e-9)
            continue
        one = next(iter(found.values()))
        unit = next(iter(one.labels.values()))
        if "over time" in name:
            unit = np.char.add(np.char.add(unit, " / "), one.labels["analyte"])
            order = np.lexsort((one.labels["time"], unit))
            first = order[np.unique(unit[order], return_index=True)[1]]
            own = model.log_likelihood(truth, told).sel(cell=unit[first]).values[0, 0]
            np.testing.assert_allclose(one.with_later[0, first], own, rtol=1e-9, atol=1e-9)
            continue
        _, first = np.unique(unit, return_index=True)
        first = np.sort(first)
        close = 1e-6 if name == "ordinal" else 1e-9  # its integrals are right to 2e-7 each, and many are added
        np.testing.assert_allclose(one.with_later[0, first], own, rtol=close, atol=close)


def own_scores(model, truth, data):
    """By the model's own scores, subjects in their order; 0 of those of whom nothing is seen."""
    scored = model.log_likelihood(truth, data)
    return scored.reindex(subject=data["subject" if "subject" in data.dims else "unit"].values, fill_value=0).values[
        0, 0
    ]


@pytest.mark.parametrize("name", ["trial", "robust trial", "trial by arm", "censored moderator"])
def test_each_visit_has_the_density_of_the_visits_so_far_over_that_of_the_earlier(name):
    """The models' dense scores of patients whose later visits are taken away, and difference quotients."""
    model, data = prepared(name)
    (truth, told) = next(iter(truths(model, data, 2, seed=21)))
    (one,) = model.observations(truth, told).values()
    step = 1e-4 * float(truth["residual_sd"].min())
    low, high = (one.law.around(x, x)[0][0] for x in (one.lower - step, one.lower + step))
    subject = told["subject"].values
    for j, visit in enumerate(told["visit"].values):
        before, with_it = (own_scores(model, truth, without_visits(told, k)) for k in (j, j + 1))
        here = one.labels["visit"] == visit
        at = np.searchsorted(subject, one.labels["subject"][here], sorter=np.argsort(subject))
        at = np.argsort(subject)[at]
        rest = (own_scores(model, truth, told) - before)[at]
        np.testing.assert_allclose(one.with_later[0, here], rest, rtol=1e-8, atol=1e-8)
        density = np.exp(with_it - before)[at]
        # a quotient is wrong by the square of the step in sds, and by the last digits of probabilities over it
        np.testing.assert_allclose((high - low)[here] / (2 * step), density, rtol=1e-6, atol=1e-9)


def without_visits(data, k):
    return data.assign(outcome=data["outcome"].where(np.arange(data.sizes["visit"]) < k))


def test_each_category_has_the_probability_of_the_visits_so_far_over_that_of_the_earlier():
    """Integrals are right to 2e-7 each."""
    model, data = prepared("ordinal")
    (truth, told) = next(iter(truths(model, data, 2, seed=21)))
    (one,) = model.observations(truth, told).values()
    unit, visit = told["unit_of"].values, told["visit_of"].values
    low, high = one.law.around(one.lower, one.upper)
    for j in range(told.sizes["visit"]):
        before, with_it = (
            own_scores(model, truth, told.isel(row=visit < k)) if k else np.zeros(told.sizes["unit"])
            for k in (j, j + 1)
        )
        at = unit[visit == j]
        np.testing.assert_allclose(np.log(high - low)[0, visit == j], (with_it - before)[at], atol=2e-6)
        rest = (own_scores(model, truth, told) - before)[at]
        np.testing.assert_allclose(one.with_later[0, visit == j], rest, atol=2e-6)


@pytest.mark.parametrize("name", list(ALIKE))
def test_probabilities_are_uniform_and_unrelated_where_data_are_drawn_from_the_model(name):
    model, data = prepared(name)
    rng = np.random.default_rng(7)
    collected, neighbours = {}, []
    for truth, told in truths(model, data, 60, seed=9):
        for variable, one in model.observations(truth, told).items():
            low, high = (p[0] for p in one.law.around(one.lower, one.upper))
            assert (low <= high).all()
            pit = low + rng.random(len(low)) * (high - low)
            collected.setdefault(variable, []).append(pit)
            if list(one.labels)[-1] in ("visit", "time", "day", "arm"):
                unit = ["/".join(map(str, row[:-1])) for row in zip(*one.labels.values(), strict=True)]
                order = np.argsort(unit, kind="stable")  # earlier ones come first in a unit
                same = np.array(unit)[order][1:] == np.array(unit)[order][:-1]
                neighbours.append(np.column_stack([pit[order][:-1][same], pit[order][1:][same]]))
    tests = 0.001 / (2 * len(ALIKE))
    for pits in collected.values():
        assert stats.kstest(np.concatenate(pits), "uniform").pvalue > tests
    if neighbours:
        pairs = np.concatenate(neighbours)
        assert stats.spearmanr(pairs[:, 0], pairs[:, 1]).pvalue > tests
