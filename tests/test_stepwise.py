"""Stepwise remission: its posterior against Betas by hand and a grid, the printed shares, and its refusals."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import at_draws, uncompiled
from bayesdep.models.stepwise.model import Stepwise

STEPS = Stepwise(remitted_at_most="remitted_at_most")
ARMS = Stepwise(step="level", arm="arm", entered="n")


def test_every_count_of_the_published_tables_rounds_to_the_printed_share():
    steps, arms = bd.load("stard_steps"), bd.load("stard_arms")
    printed = {1: 36.8, 2: 30.6, 4: 13.0}
    for row in steps[steps["step"].isin(printed)].itertuples():
        fitting = [x for x in range(row.entered + 1) if round(100 * x / row.entered, 1) == printed[row.step]]
        assert [row.remitted, row.remitted_at_most] == [fitting[0], fitting[-1]]
    # no count of the third step's 377 is 13.7%: the nearest two stand in the table
    assert not [x for x in range(378) if round(100 * x / 377, 1) == 13.7]
    third = steps[steps["step"] == 3].iloc[0]
    assert third["remitted"] / 377 < 0.137 < third["remitted_at_most"] / 377
    shares = [21.3, 17.6, 24.8, 12.3, 19.8, 6.9, 13.7]
    for row, share in zip(arms.itertuples(), shares, strict=True):
        assert [x for x in range(row.n + 1) if round(100 * x / row.n, 1) == share] == [row.remitted]


def test_posterior_means_are_near_the_counted_shares():
    fit = bd.fit(ARMS, bd.load("stard_arms"))
    found = bd.summarise(fit).query("estimand == 'remission'").set_index("cell")["mean"]
    for row in bd.load("stard_arms").itertuples():
        mean = found[f"{row.level}: {row.arm}"]
        assert mean == pytest.approx((row.remitted + 1) / (row.n + 2), abs=1e-12)  # Beta(1 + x, 1 + n - x)
        assert abs(mean - row.remitted / row.n) < (0.01 if row.n >= 100 else 1 / (row.n + 2))


def test_an_interval_of_counts_is_the_mixture_of_their_posteriors():
    data = STEPS.prepare(bd.load("stard_steps"))
    drawn = STEPS.exact(data).draw(200_000, np.random.default_rng(1))["remission"]
    # under a flat prior all counts are equally likely a priori, so the mixture's weights are equal
    for i, (n, low, high) in enumerate([(3671, 1350, 1352), (1439, 440, 441), (377, 51, 52), (123, 16, 16)]):
        mixture = [stats.beta(1 + x, 1 + n - x) for x in range(low, high + 1)]
        mean = np.mean([m.mean() for m in mixture])
        sd = np.sqrt(np.mean([m.var() + m.mean() ** 2 for m in mixture]) - mean**2)
        assert drawn[:, i].mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(200_000))


def test_the_density_of_an_interval_is_the_sum_over_its_counts():
    data = STEPS.prepare(bd.load("stard_steps"))
    graph = STEPS.build(data)
    p = np.random.default_rng(2).uniform(0.05, 0.6, (5, 4))
    value = graph.rvs_to_values[graph["remission"]]
    (logp,) = graph.replace_rvs_by_values([graph.logp(vars=graph.observed_RVs, sum=False)[0]])
    (found,) = at_draws([logp], {value: np.log(p / (1 - p))})
    ranges = zip(data["remitted"].values, data["remitted_at_most"].values, data["entered"].values, strict=True)
    expected = [np.log(stats.binom.pmf(np.arange(a, b + 1)[:, None], n, p[:, i]).sum(axis=0))
                for i, (a, b, n) in enumerate(ranges)]  # fmt: skip
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-10)


def test_the_published_67_percent_is_the_product_if_nobody_leaves():
    fit = bd.fit(STEPS, bd.load("stard_steps"))
    estimands = fit.tree["estimands"].to_dataset()
    nobody = float(estimands["remission_if_nobody_leaves"].sel(step="4").mean())
    assert nobody == pytest.approx(1 - (1 - 0.368) * (1 - 0.306) * (1 - 0.137) * (1 - 0.130), abs=0.005)
    assert round(nobody, 2) == 0.67
    of_all = float(estimands["remission_of_all"].sel(step="4").mean())
    assert of_all == pytest.approx((1351 + 440.5 + 51.5 + 16) / 3671, abs=0.005)
    assert sum("did not enter step" in note for note in fit.data.attrs["notes"].split("\n")) == 3


def test_sampling_agrees_with_the_exact_posterior():
    data = STEPS.prepare(bd.load("stard_steps"))
    with STEPS.build(data):
        logp = pm.modelcontext(None).compile_logp(mode=uncompiled())
    # the log density along one probability, normalised on a grid, is its Beta mixture
    grid = np.linspace(0.001, 0.4, 800)
    share = np.array([0.368, 0.306, 0.137, 0.13])
    point = {"remission_logodds__": np.log(share / (1 - share))}
    values = []
    for p in grid:
        point["remission_logodds__"][2] = np.log(p / (1 - p))
        values.append(float(logp(point)) - np.log(p * (1 - p)))
    density = np.exp(np.array(values) - max(values))
    density /= density.sum() * (grid[1] - grid[0])
    mixture = np.mean([stats.beta.pdf(grid, 1 + x, 1 + 377 - x) for x in (51, 52)], axis=0)
    np.testing.assert_allclose(density, mixture, atol=1e-3 * mixture.max())


def steps(**columns):
    table = {"step": [1, 2, 3], "entered": [100, 50, 20], "remitted": [30, 10, 2]}
    return pd.DataFrame(table | columns)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"entered": [100, 80, 20]}, "80 entered step '2', but 70 were left of step '1'"),
        ({"remitted": [30, 60, 2]}, "has 60 of 50"),
        ({"step": ["a", "b", "c"]}, "state it, first step first, as step_order"),
        ({"entered": [100, 50, 0], "remitted": [30, 10, 0]}, "leave out rows without people"),
        ({"step": [1, 1, 3]}, "stands in rows 1 and 2"),
    ],
)
def test_a_bad_table_is_refused_in_one_sentence(columns, message):
    with pytest.raises(BadInput, match=message) as problem:
        Stepwise().prepare(steps(**columns))
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("most", "message"), [([29, 10, 2], "below the 30"), ([30, 10, 21], "21 of 20"), ([30, 500, 2], "500 of 50")]
)
def test_a_bad_interval_is_refused(most, message):
    with pytest.raises(BadInput, match=message):
        Stepwise(remitted_at_most="most").prepare(steps(most=most))


def test_only_a_beta_is_a_prior():
    with pytest.raises(BadInput, match=r"priors\.remission"):
        Stepwise(priors={"remission": bd.Prior("Uniform", lower=0, upper=1)})
