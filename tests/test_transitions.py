"""Transitions between states: rows and powers, densities by enumeration, estimands by matrix powers, recovery.

Oracles: the thresholds of numerics/ordinal.py; enumeration of every path through states that were not seen;
numpy's matrix powers; Dirichlet posteriors of counts; the truth of the simulator.
"""

import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.designs.wilkowska2022 import STATES, matrices
from bayesdep.inference.evaluate import uncompiled
from bayesdep.models.transitions.assumed_people import occupancy_of_fewer
from bayesdep.models.transitions.chains import log_one_step
from bayesdep.numerics.chains_of_states import log_powers, shifted_rows
from bayesdep.numerics.ordinal import log_probabilities, thresholds_of

LINKS = ("cumulative", "continuation", "adjacent")
ABC = ("a", "b", "c")


def visits(rows):
    """From text, a patient a row: arm, then a state a visit ('.' where missed, '-' where there is no row)."""
    told = []
    for k, row in enumerate(rows):
        arm, states = row.split()
        told += [
            {"subject": f"p{k}", "arm": arm, "visit": v, "state": None if s == "." else s, "age": 30.0 + 3 * (k % 7)}
            for v, s in enumerate(states)
            if s != "-"
        ]
    return pd.DataFrame(told)


TABLE = visits(
    ["x cba", "x cb.a", "y cc-b", "y bac", "x b.a", "y cab", "x aab", "y bbcc", "x c-bb", "y acba", "x bb", "y c..b"]
)


def model(**how):
    return bd.Transitions(**({"states": ABC, "reference": "x"} | how))


# ---- rows


@pytest.mark.parametrize("link", LINKS)
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(-8, 8))
def test_shifted_rows_are_those_of_shifted_thresholds(link, seed, delta):
    """Two derivations of one model: closed forms here, thresholds and their differences in numerics/ordinal.py."""
    row = np.random.default_rng(seed).dirichlet(np.full(5, 0.5)) * 0.999 + 0.0002
    row /= row.sum()
    thresholds, gaps = thresholds_of(row, link=link)
    expected = log_probabilities(thresholds, gaps, np.array(delta), link=link)
    np.testing.assert_allclose(shifted_rows(row, np.array(delta), link=link), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("link", LINKS)
def test_a_positive_shift_is_worse_under_every_link(link):
    row = np.array([0.3, 0.4, 0.2, 0.1])
    up_to = [np.exp(shifted_rows(row, np.array(d), link=link)).cumsum()[:-1] for d in (-1.0, 0.0, 1.0)]
    assert (up_to[0] > up_to[1]).all()
    assert (up_to[1] > up_to[2]).all()
    np.testing.assert_allclose(up_to[1], row.cumsum()[:-1], rtol=1e-12)


def test_log_powers_are_those_of_numpy():
    matrix = np.random.default_rng(1).dirichlet(np.ones(4), size=(3, 4))
    for power, logs in enumerate(log_powers(np.log(matrix), 6), start=1):
        np.testing.assert_allclose(np.exp(logs), np.linalg.matrix_power(matrix, power), rtol=1e-12)


# ---- densities


def at_a_point(graph, seed):
    """The log density of what was observed at a random point, and the parameters there."""
    rng = np.random.default_rng(seed)
    (observed,) = graph.observed_RVs
    logp = graph.logp([observed], sum=True)
    free = graph.value_vars
    values = [rng.normal(size=np.shape(graph.initial_point()[v.name])) for v in free]
    named = [*graph.free_RVs, *graph.deterministics]
    found = pytensor.function(free, [logp, *graph.replace_rvs_by_values(named)], mode=uncompiled())(*values)
    return float(found[0]), {v.name: np.asarray(x) for v, x in zip(named, found[1:], strict=True)}


def matrices_by_hand(settings, parameters, data):
    """Each patient's matrix of one step, by the thresholds of numerics/ordinal.py."""
    row = parameters["row"]
    found = []
    for i in range(data.sizes["subject"]):
        arm, x = int(data["arm_of"][i]), data["covariates"].values[int(data["profile_of"][i])]
        if settings.effects == "free":
            p = row[arm]
        else:
            shift = np.zeros(len(row))
            if "effect_by_state" in parameters:
                shift = shift + data["arm_code"].values[arm] @ parameters["effect_by_state"]
            elif "effect" in parameters:
                shift = shift + data["arm_code"].values[arm] @ parameters["effect"]
            if "covariate_effect" in parameters:
                shift = shift + x @ parameters["covariate_effect"]
            thresholds, gaps = thresholds_of(row, link=settings.link)
            p = np.exp(log_probabilities(thresholds, gaps, shift, link=settings.link))
        whole = np.eye(len(settings.states))
        whole[settings.left] = p
        found.append(whole)
    return found


def by_enumeration(states, gaps, matrix):
    """Probability of a patient's states, summed over every path through the steps between two visits seen."""
    total = 1.0
    for (before, after), gap in zip(itertools.pairwise(states), gaps, strict=True):
        paths = itertools.product(range(len(matrix)), repeat=gap - 1)
        total *= sum(math.prod(matrix[a, b] for a, b in itertools.pairwise((before, *path, after))) for path in paths)
    return math.log(total)


@pytest.mark.parametrize(
    "how",
    [
        {}, {"effects": "by-state"}, {"effects": "free"}, {"link": "continuation"}, {"link": "adjacent"},
        {"covariates": "age"}, {"reference": None}, {"absorbing": ["a"], "effects": "by-state"},
    ],
)  # fmt: skip
def test_the_likelihood_is_that_of_every_path_through_states_not_seen(how):
    table = TABLE
    if how.get("absorbing"):
        table = visits(["x cba", "x cb.a", "y cc-b", "y b-a", "x b.a", "y ccb", "x bcb", "y bbcc", "y c..b"])
    fitted = model(**how)
    data = fitted.prepare(table)
    for seed in range(3):
        found, parameters = at_a_point(fitted.build(data), seed)
        expected = 0.0
        for i, matrix in enumerate(matrices_by_hand(fitted, parameters, data)):
            seen = np.flatnonzero(data["state_at_visit"].values[i] >= 0)  # visits are 0, 1, 2, ...: one step each
            if len(seen) > 1:
                states = data["state_at_visit"].values[i, seen]
                expected += by_enumeration(states.tolist(), np.diff(seen).tolist(), matrix)
        assert found == pytest.approx(expected, rel=1e-10)


def test_scores_add_up_to_the_likelihood():
    fitted = model(effects="by-state", covariates="age")
    data = fitted.prepare(TABLE)
    found, parameters = at_a_point(fitted.build(data), 4)
    dims = {"row": ("before", "after"), "effect_by_state": ("comparison", "before"), "effect": ("comparison",),
            "covariate_effect": ("covariate",)}  # fmt: skip
    posterior = xr.Dataset(
        {n: (("chain", "draw", *dims[n]), np.asarray(v)[None, None]) for n, v in parameters.items() if n in dims}
    )
    score = fitted.log_likelihood(posterior, data)
    assert score.dims == ("chain", "draw", "subject")
    assert float(score.sum()) == pytest.approx(found, rel=1e-10)


@pytest.mark.parametrize(
    "how", [{}, {"effects": "by-state", "covariates": "age"}, {"effects": "free"}, {"reference": None}]
)
def test_each_state_is_predicted_from_the_one_seen_before(how):
    """By matrix powers, patient by patient; scores are of the state and of all that follow it."""
    fitted = model(**how)
    data = fitted.prepare(TABLE)
    posterior = posterior_of(fitted, data)
    (one,) = fitted.observations(posterior, data).values()
    low, high = one.law.around(one.lower, one.upper)
    for d in range(posterior.sizes["draw"]):
        parameters = {str(name): x.values for name, x in posterior.isel(chain=0, draw=d).items()}
        rows = []
        for i, matrix in enumerate(matrices_by_hand(fitted, parameters, data)):
            states = data["state_at_visit"].values[i]
            seen = np.flatnonzero(states >= 0)
            steps = [np.linalg.matrix_power(matrix, k - j)[states[j]] for j, k in itertools.pairwise(seen)]
            logs = [np.log(p[states[k]]) for p, k in zip(steps, seen[1:], strict=True)]
            for k, (p, visit) in enumerate(zip(steps, seen[1:], strict=True)):
                label = data["subject"].values[i], data["visit"].values[visit]
                rows.append(
                    (*label, states[visit], p[: states[visit]].sum(), p[: states[visit] + 1].sum(), sum(logs[k:]))
                )
        subject, visit, state, below, up_to, later = map(np.array, zip(*rows, strict=True))
        assert one.labels["subject"].tolist() == subject.tolist()
        assert one.labels["visit"].tolist() == visit.tolist()
        np.testing.assert_array_equal(one.lower, state)
        np.testing.assert_allclose(low[d], below, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(high[d], up_to, rtol=1e-9)
        np.testing.assert_allclose(one.with_later[d], later, rtol=1e-9)


def test_people_counted_have_the_probabilities_of_their_states_or_of_those_not_told_apart():
    fitted = bd.Transitions(states=ABC, input="counts", interval="months")
    data = fitted.prepare(COUNTS)
    posterior = posterior_of(fitted, data)
    (one,) = fitted.observations(posterior, data).values()
    assert len(set(one.labels["person"].tolist())) == COUNTS["n"].sum()
    scored = fitted.log_likelihood(posterior, data)
    np.testing.assert_array_equal(one.labels["person"], scored["person"])
    np.testing.assert_allclose(one.with_later, scored.values[0], rtol=1e-12)
    low, high = one.law.around(one.lower, one.upper)
    for d in range(posterior.sizes["draw"]):
        row = posterior["row"].values[0, d]
        twice = row @ row
        expected = [(0, row[2, 0]), (row[2, 0], row[2, :2].sum()), (row[2, :2].sum(), 1)]
        expected += [(0, row[1, :2].sum()), (row[1, :2].sum(), 1), (0, twice[0, 0]), (twice[0, 0], 1)]
        names = ["c / a", "c / b", "c / c", "b / a", "b / c", "a / a", "a / b"]
        cells = {str(name)[0]: name for name in data["cell"].values}
        for name, n, (below, up_to) in zip(names, COUNTS["n"], expected, strict=True):
            before, after = name.split(" / ")
            people = [f"{cells[before]} / {after} / {k + 1}" for k in range(n)]
            at = np.searchsorted(np.sort(one.labels["person"]), people)
            at = np.argsort(one.labels["person"])[at]
            np.testing.assert_allclose(low[d, at], below, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(high[d, at], up_to, rtol=1e-9)


COUNTS = pd.DataFrame(
    {"before": ["c", "c", "c", "b", "b", "a", "a"], "after": ["a", "b", "c", "a | b", "c", "a", "b | c"],
     "n": [5, 9, 20, 7, 4, 11, 3], "months": [6, 6, 6, 6, 6, 12, 12]}
)  # fmt: skip


def test_counts_are_multinomial_and_states_not_told_apart_are_added_up():
    fitted = bd.Transitions(states=ABC, input="counts", interval="months")
    data = fitted.prepare(COUNTS)
    found, parameters = at_a_point(fitted.build(data), 2)
    one = parameters["row"]
    two = one @ one
    expected = (
        stats.multinomial.logpmf([5, 9, 20], 34, one[2])
        + stats.binom.logpmf(7, 11, one[1, :2].sum())
        + stats.binom.logpmf(11, 14, two[0, 0])
    )
    assert found == pytest.approx(expected, rel=1e-10)
    posterior = xr.Dataset({"row": (("chain", "draw", "before", "after"), one[None, None])})
    score = fitted.log_likelihood(posterior, data)
    assert score.sizes["person"] == 34 + 11 + 14
    arrangements = sum(
        special.gammaln(sum(n) + 1) - special.gammaln(np.array(n) + 1).sum() for n in ([5, 9, 20], [7, 4], [11, 3])
    )
    assert float(score.sum()) + arrangements == pytest.approx(expected, rel=1e-10)


def test_shares_become_the_nearest_whole_people():
    """33.3, 33.3 and 33.4% of 50: 17, 16 and 17 (largest remainders), which add up."""
    table = pd.DataFrame({"before": "c", "after": ["a", "b", "c"], "share": [33.3, 33.3, 33.4], "n": 50})
    table = pd.concat([table, pd.DataFrame({"before": "b", "after": ["a", "b | c"], "share": [25.0, 75.0], "n": 8})])
    data = bd.Transitions(states=ABC, input="shares").prepare(table)
    assert data["transition_count"].values[0].sum() == 50
    assert sorted(data["transition_count"].values[0]) == [16, 17, 17]
    assert data["transition_count"].values[0, 2] == 17
    assert data["transition_count"].values[1].tolist() == [2, 6, 0]
    assert "17 of 50 people are the whole numbers nearest" in data.attrs["notes"]


# ---- the exact posterior, and estimands


def test_a_saturated_design_has_the_shares_of_the_counts():
    """Rows of their own under a flat prior: Dirichlet(1 + counts), whose means are (count + 1) / (n + K)."""
    table = visits(["x cb", "x cb", "x ca", "x bb", "x ab", "y ca", "y cc", "y ba", "y ab", "y aa"])
    fitted = model(effects="free")
    data = fitted.prepare(table)
    fit = bd.fit(fitted, table, draws=4000, chains=2, seed=1)
    assert fit.manifest["sampler"] == "exact"
    counts = np.zeros((2, 3, 3))
    for row in ("0 cb", "0 cb", "0 ca", "0 bb", "0 ab", "1 ca", "1 cc", "1 ba", "1 ab", "1 aa"):
        counts[int(row[0]), "abc".index(row[2]), "abc".index(row[3])] += 1
    mean = (counts + 1) / (counts.sum(axis=-1, keepdims=True) + 3)
    marginals = fitted.exact(data).marginals
    draws = fit.estimands["transition"].transpose("chain", "draw", "arm", "before", "after").values.reshape(-1, 2, 3, 3)
    sd = np.sqrt(mean * (1 - mean) / (counts.sum(axis=-1, keepdims=True) + 4))
    assert (np.abs(draws.mean(axis=0) - mean) < 4 * sd / np.sqrt(len(draws))).all()
    for (i, arm), (j, before), (k, after) in itertools.product(*(enumerate(x) for x in (("x", "y"), ABC, ABC))):
        marginal = marginals["transition", (("arm", arm), ("before", before), ("after", after))]
        beta = stats.beta(1 + counts[i, j, k], 2 + counts[i, j].sum() - counts[i, j, k])
        assert float(marginal.cdf(0.3)) == pytest.approx(beta.cdf(0.3), rel=1e-12)


def test_no_exact_posterior_where_something_is_shared_or_was_missed():
    assert model().exact(model().prepare(TABLE)) is None
    free = model(effects="free")
    assert free.exact(free.prepare(TABLE)) is None  # visits were missed


def shares_of(n):
    return pd.DataFrame(
        {"before": ["b", "b", "b", "c", "c"], "after": ["a", "b", "c", "a | b", "c"], "n": n,
         "share": [0.25, 0.25, 0.5, 0.75, 0.25]}
    )  # fmt: skip


def test_the_same_shares_of_half_the_people_have_the_posterior_of_half_the_counts():
    """400 people halved against a table of 200, by the same draws; and the mean after one step by hand."""
    fitted = bd.Transitions(states=ABC, input="shares", start="b", horizon=3)
    full, half = (fitted.prepare(shares_of(n)) for n in (400, 200))
    of_both = occupancy_of_fewer(fitted, full, [1.0, 0.5])
    (of_half,) = occupancy_of_fewer(fitted, half, [1.0])
    np.testing.assert_array_equal(of_both.isel(fraction=1).values, of_half.values)
    draws = of_both.sel(arm="everybody", time="1", state="a")
    for fraction, n in ((1.0, 400), (0.5, 200)):
        beta = stats.beta(0.25 * n + 1, 0.75 * n + 2)
        one = draws.sel(fraction=fraction)
        assert abs(float(one.mean()) - beta.mean()) < 4 * beta.std() / np.sqrt(one.size)
        assert float(one.std()) == pytest.approx(beta.std(), rel=4 / np.sqrt(2 * one.size))


def test_the_figure_over_assumed_people_is_for_shares_alone():
    fitted = bd.Transitions(states=ABC, input="shares", start="b", horizon=3)
    fit = bd.fit(fitted, shares_of(400), draws=50, seed=1)
    figure = bd.plot_assumed_people(fit, select={"state": ["a", "c"]})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "c"]
    counts = shares_of(400).assign(n=lambda t: (t["n"] * t["share"]).astype(int)).drop(columns="share")
    counted = bd.fit(bd.Transitions(states=ABC, input="counts", start="b", horizon=3), counts, draws=50, seed=1)
    with pytest.raises(BadInput, match="plot_assumed_people is for models of transitions from shares"):
        bd.plot_assumed_people(counted)


def posterior_of(fitted, data, seed=5, draws=3):
    rng = np.random.default_rng(seed)
    left = len(fitted.left)
    arms = data.sizes["arm"]
    own = ("arm",) if fitted.effects == "free" and fitted.reference else ()
    shape = (1, draws, *((arms,) if own else ()), left)
    found = {
        "row": (("chain", "draw", *own, "before", "after"), rng.dirichlet(np.ones(len(fitted.states)), size=shape))
    }
    if "effect" in fitted.slots:
        found["effect"] = (("chain", "draw", "comparison"), rng.normal(size=(1, draws, arms - 1)))
    if "effect_sd" in fitted.slots:
        by_state = rng.normal(size=(1, draws, arms - 1, left))
        found["effect_by_state"] = (("chain", "draw", "comparison", "before"), by_state)
    if "covariate_effect" in fitted.slots:
        slopes = rng.normal(size=(1, draws, data.sizes["covariate"]))
        found["covariate_effect"] = (("chain", "draw", "covariate"), slopes)
    return xr.Dataset(found, {"comparison": data["comparison"].values, "before": data["before"].values})


@pytest.mark.parametrize(
    "how", [{}, {"effects": "free"}, {"effects": "by-state", "covariates": "age"}, {"absorbing": ["c"]}]
)
def test_occupancy_and_time_in_states_are_matrix_powers(how):
    fitted = model(**how)
    table = TABLE if not how.get("absorbing") else visits(["x bac", "y abb", "x bbc", "y aab", "x b.a", "y bacc"])
    data = fitted.prepare(table)
    posterior = posterior_of(fitted, data)
    found = fitted.estimands(posterior, data)
    one = np.exp(log_one_step(fitted, posterior.isel(chain=0).rename(draw="sample"), data))
    start = data["start"].values
    steps = data["elapsed"].values
    assert steps.tolist() == [1, 2, 3]
    for d, a in itertools.product(range(3), range(2)):
        occupancy, time_in, improved = [], np.zeros(3), []
        for t in steps:
            joint = sum(start[p][:, None] * np.linalg.matrix_power(one[d, a, p], t) for p in range(len(start)))
            occupancy.append(joint.sum(axis=0))
            time_in += occupancy[-1]
            improved.append(sum(joint[b, k] for b in range(3) for k in range(b)))
        one_draw = found.isel(chain=0, draw=d, arm=a)
        np.testing.assert_allclose(one_draw["occupancy"].transpose("time", "state"), occupancy, rtol=1e-10)
        np.testing.assert_allclose(one_draw["time_in"], time_in, rtol=1e-10)
        np.testing.assert_allclose(one_draw["improved"], improved, rtol=1e-10)
        assert float(one_draw["time_in_remission"]) == pytest.approx(time_in[0], rel=1e-10)
    shares = found["improved"].isel(chain=0, draw=1)
    difference = found["improved_difference"].isel(chain=0, draw=1, comparison=0)
    np.testing.assert_allclose(difference, shares.isel(arm=1) - shares.isel(arm=0), rtol=1e-12)
    np.testing.assert_allclose(found["improved_nnt"].isel(chain=0, draw=1, comparison=0), 1 / difference, rtol=1e-12)
    changes = found["improved"] + found["worsened"]
    assert float(changes.max()) <= 1 + 1e-12


def test_a_delta_moves_what_dropouts_would_have_had_and_nothing_else():
    """By hand for one patient of each arm who dropped out; a delta of 0 changes nothing, and the reference never."""
    table = visits(["x cb-", "y cb-", "y bab", "x abc"])
    fitted = model(delta=0.7)
    data = fitted.prepare(table)
    posterior = posterior_of(fitted, data)
    found = fitted.estimands(posterior, data)
    without = dataclasses.replace(fitted, delta=1e-12).estimands(posterior, data)
    np.testing.assert_allclose(without["occupancy_with_delta"], without["occupancy"], atol=1e-10)
    x = {"arm": "x"}
    np.testing.assert_allclose(found["occupancy_with_delta"].sel(x), found["occupancy"].sel(x), rtol=1e-12)
    draw = posterior.isel(chain=0, draw=1)
    row = draw["row"].values
    shift = float(data["arm_code"][1, 0] * draw["effect"][0])
    own, assumed = (np.exp(shifted_rows(row, np.full(3, s))) for s in (shift, shift + 0.7))
    change = (assumed - own)[1] / 2  # the patient in arm y was last seen in b, one of two; one step follows
    moved = (found["occupancy_with_delta"] - found["occupancy"]).isel(chain=0, draw=1).sel(arm="y")
    np.testing.assert_allclose(moved.isel(time=0), 0, atol=1e-12)
    np.testing.assert_allclose(moved.isel(time=1), change, rtol=1e-9)
    improved = (found["improved_with_delta"] - found["improved"]).isel(chain=0, draw=1).sel(arm="y", time="2")
    assert float(improved) == pytest.approx(change[:2].sum(), rel=1e-9)  # the first state was c


def test_replicates_are_draws_of_the_chain_at_the_visits_that_were_seen():
    """10,000 draws of one patient's states given a matrix: shares of its powers; missed visits stay missed."""
    import pymc as pm

    from bayesdep.numerics.markov import GroupedStates, StatesOverVisits

    matrix = np.random.default_rng(3).dirichlet(np.ones(3), size=3)
    powers = np.stack(log_powers(np.log(matrix), 2))[None]
    n = 10_000
    gap, previous = np.tile([0, 1, -1, 2], (n, 1)), np.tile([-1, 0, -1, 1], (n, 1))
    variable = StatesOverVisits.dist(powers, np.zeros(n, int), np.full(n, 2), gap, previous)
    drawn = pm.draw(variable, random_seed=1, mode=uncompiled())
    assert (drawn[:, 0] == 2).all()
    assert (drawn[:, 2] == -1).all()
    for after in range(3):
        share = (drawn[:, 1] == after).mean()
        assert abs(share - matrix[2, after]) < 4 * np.sqrt(0.25 / n)
        then = drawn[drawn[:, 1] == 1, 3]
        expected = np.linalg.matrix_power(matrix, 2)[1, after]
        assert abs((then == after).mean() - expected) < 4 * np.sqrt(0.25 / len(then))
    counts = pm.draw(
        GroupedStates.dist(np.log(matrix), np.full(3, 900), np.tile([0, 1, 1], (3, 1))),
        random_seed=2,
        mode=uncompiled(),
    )
    assert (counts.sum(axis=1) == 900).all()
    assert (counts[:, 2] == 0).all()
    assert (np.abs(counts[:, 0] / 900 - matrix[:, 0]) < 4 * np.sqrt(0.25 / 900)).all()


# ---- checks


def test_a_chain_with_memory_is_seen_by_the_second_order_check():
    """Movers and stayers: each half is a chain, both together are not; replicates of one chain have no such memory."""
    rng = np.random.default_rng(1)
    rows = []
    for k in range(120):
        stay = 0.95 if k % 2 else 0.3
        state, word = 1, "b"
        for _ in range(5):
            state = state if rng.random() < stay else int(rng.choice([s for s in range(3) if s != state]))
            word += "abc"[state]
        rows.append(f"x {word}")
    table = visits(rows)
    fitted = model(reference=None)
    fit = bd.fit(fitted, table, draws=500, chains=2, seed=1)
    found = bd.check_predictions(fit).set_index("check")
    (name,) = [x for x in found.index if "second order" in x]
    assert found.loc[name, "observed"] > 0.2
    assert found.loc[name, "p"] < 0.001


# ---- recovery


@pytest.mark.sampling
def test_the_simulators_truth_is_found_by_a_large_trial():
    """3,000 patients: the difference in shares moved down and the transitions, within four posterior sds and narrow."""
    from bayesdep.designs.wilkowska2022 import draw_wilkowska2022

    made = draw_wilkowska2022(np.random.default_rng(5), people=3000)
    fitted = bd.Transitions(states=STATES, reference="no ketamine", effects="free", state="stage", visit="month")
    fit = bd.fit(fitted, made.table.assign(arm=made.table["arm"]), draws=400, tune=400, chains=2, seed=1)
    difference = fit.estimands["improved_difference"].sel(comparison="ketamine", time="12").values
    truth = made.truth["improved_difference_at_12"]
    assert difference.std() < 0.03
    assert abs(difference.mean() - truth) < 4 * difference.std()
    for arm, matrix in matrices().items():
        draws = fit.estimands["transition"].sel(arm=arm).transpose("chain", "draw", "before", "after").values
        flat = draws.reshape(-1, 6, 6)
        assert (np.abs(flat.mean(axis=0) - matrix) < 4.5 * flat.std(axis=0) + 1e-3).all()  # 72 comparisons


# ---- what is refused


@pytest.mark.parametrize(
    ("change", "how", "said"),
    [
        ({}, {"states": ["a"]}, "at least two states are needed"),
        ({}, {"states": ["a", "b", "b", "c"]}, "names 'b' twice"),
        ({}, {"states": ["a", "b"]}, "'c' is not one of the states"),
        ({}, {"states": ["a", "b", "c", "d"]}, "'d', which nobody in the table ever has"),
        ({}, {"absorbing": ["d"]}, "absorbing names 'd'"),
        ({}, {"absorbing": ["a"]}, "after the absorbing state 'a'"),
        ({}, {"reference": "z"}, "reference = 'z' is no arm"),
        ({}, {"effects": "free", "covariates": "age"}, "use effects = 'shared'"),
        ({}, {"step": 0.4}, "a whole number is needed"),
        ({}, {"visit_order": ["0", "1"]}, "leaves out"),
        ({"arm": "x"}, {}, "leave reference out"),
        ({"visit": 1}, {}, "so nothing can have changed"),
    ],
)
def test_what_cannot_be_modelled_is_refused_in_a_sentence(change, how, said):
    with pytest.raises(BadInput) as problem:
        model(**how).prepare(TABLE.assign(**change))
    assert said in str(problem.value)


def test_time_is_counted_in_steps():
    """Visits at weeks 0, 4, 8 and 20 are 0, 1, 2 and 5 steps; time in a state is in weeks."""
    table = TABLE.assign(week=TABLE["visit"].map({0: 0, 1: 4, 2: 8, 3: 20}))
    fitted = model(visit="week", time_units="weeks")
    data = fitted.prepare(table)
    assert data["elapsed"].values.tolist() == [1, 2, 5]
    found = fitted.estimands(posterior_of(fitted, data), data)
    assert found["time_in"].attrs["units"] == "weeks"
    np.testing.assert_allclose(found["time_in"].sum("state"), 20, rtol=1e-10)


def test_states_not_told_apart_are_exact_too():
    """7 of 11 in a or b: their sum is Beta(2 + 7, 1 + 4), and a's share of it is flat, as a priori; by 40,000 draws."""
    table = COUNTS[COUNTS["before"] == "b"]
    table = pd.concat([table, COUNTS[COUNTS["before"] == "c"]])
    fitted = bd.Transitions(states=ABC, input="counts")
    data = fitted.prepare(table)
    found = fitted.exact(data)
    row = found.draw(40_000, np.random.default_rng(1))["row"]
    np.testing.assert_allclose(row.sum(axis=-1), 1, rtol=1e-12)
    together = row[:, 1, 0] + row[:, 1, 1]
    assert stats.kstest(together, stats.beta(2 + 7, 1 + 4).cdf).pvalue > 1e-3
    assert stats.kstest(row[:, 1, 0] / together, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(together, row[:, 1, 0] / together)[0, 1]) < 4 / np.sqrt(40_000)
    assert stats.kstest(row[:, 2, 1], stats.beta(1 + 9, 2 + 25).cdf).pvalue > 1e-3
    assert stats.kstest(row[:, 0, 1], stats.beta(1, 2).cdf).pvalue > 1e-3  # nobody was in a before
    named = {where[1:] for _, where in found.marginals}
    assert (("before", "b"), ("after", "c")) in named
    assert (("before", "b"), ("after", "a")) not in named


def test_nothing_improves_from_the_best_state():
    fitted = model()
    data = fitted.prepare(TABLE)
    found = fitted.estimands(posterior_of(fitted, data), data)
    improves = found["improves_next"]
    assert improves["from_state"].values.tolist() == ["b", "c"]
    transition = found["transition"]
    np.testing.assert_allclose(improves.sel(from_state="b"), transition.sel(before="b", after="a"), rtol=1e-12)
    to_better = transition.sel(before="c", after=["a", "b"]).sum("after")
    np.testing.assert_allclose(improves.sel(from_state="c"), to_better, rtol=1e-12)


def test_the_designs_truth_by_stage_at_the_start_is_what_its_patients_do():
    """Shares at stage II or better at month 12 of 20,000 patients, by arm and stage at the start."""
    from bayesdep.designs.wilkowska2022 import draw_wilkowska2022

    made = draw_wilkowska2022(np.random.default_rng(6), people=20_000)
    last = made.table[made.table["month"] == 12]
    better = last["stage"].isin(STATES[: STATES.index("II") + 1])
    for arm, shares in made.truth["at_most_second_at_12"].items():
        for stage, share in zip(STATES[STATES.index("II") :], shares, strict=True):
            found = better[(last["arm"] == arm) & (last["stage_at_start"] == stage)]
            assert found.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(found)))
    first = made.table[made.table["month"] == 0]
    assert (first["stage"] == first["stage_at_start"]).all()
