"""From one scale to another: the exact posterior of the line, and tables with lines and errors of their own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.data.scales import HRSD_17_TO_MADRS, convert_trials, fit_conversion

PAIRS = Path(__file__).resolve().parents[2] / "shared" / "data" / "nimh_ketamine_moa" / "ketamine_crossover_long.csv"


def made_up(people=12, each=3, seed=2):
    rng = np.random.default_rng(seed)
    x = rng.uniform(5, 25, people * each)
    own = np.repeat(rng.normal(0, 2, people), each)
    table = pd.DataFrame({"id": np.repeat(np.arange(people), each), "hrsd": x})
    return table.assign(madrs=1 + 1.5 * x + own + rng.normal(0, 1.5, len(x)))


def test_the_line_s_posterior_is_that_of_a_dense_mixed_model():
    """Moments against a grid over both sds, with the line integrated out of dense normals."""
    table = made_up()
    found = fit_conversion(table, given="hrsd", to="madrs", subject="id", source="x", draws=60_000)
    x, y, person = (table[c].to_numpy() for c in ("hrsd", "madrs", "id"))
    design, same = np.column_stack([np.ones(len(x)), x]), (person[:, None] == person).astype(float)
    ratios, sds = np.linspace(0.0, 6, 121), np.geomspace(0.7, 4, 81)
    weight, slope = np.empty((len(ratios), len(sds))), np.empty(len(ratios))
    for i, r in enumerate(ratios):
        v = np.eye(len(x)) + r**2 * same
        inverse = np.linalg.inv(v)
        a = design.T @ inverse @ design
        line = np.linalg.solve(a, design.T @ inverse @ y)
        rest = (y - design @ line) @ inverse @ (y - design @ line)
        slope[i] = line[1]
        log_p = -np.linalg.slogdet(v)[1] / 2 - np.linalg.slogdet(a)[1] / 2 - np.log1p(r**2)
        weight[i] = log_p - (len(x) - 2) * np.log(sds) - rest / (2 * sds**2)  # 1 / sd cancels the grid's d log sd
    p = np.exp(weight - weight.max())
    by_ratio = integrate.trapezoid(p, np.log(sds), axis=1)
    total = integrate.trapezoid(by_ratio, ratios)
    assert found.slope.mean() == pytest.approx(integrate.trapezoid(by_ratio * slope, ratios) / total, abs=2e-3)
    ratio = found.sd_between / found.sd_within
    assert ratio.mean() == pytest.approx(integrate.trapezoid(by_ratio * ratios, ratios) / total, rel=0.02)
    by_sd = integrate.trapezoid(p, ratios, axis=0)
    assert found.sd_within.mean() == pytest.approx(
        integrate.trapezoid(by_sd * sds, np.log(sds)) / integrate.trapezoid(by_sd, np.log(sds)), rel=0.01
    )


def test_intervals_of_the_line_hold():
    """Over 200 tables the 90% interval of the slope holds the truth as often as a binomial lets it."""
    inside = 0
    for seed in range(200):
        found = fit_conversion(made_up(seed=seed), given="hrsd", to="madrs", subject="id", source="x", draws=400)
        lower, upper = np.quantile(found.slope, [0.05, 0.95])
        inside += lower <= 1.5 <= upper
    assert stats.binom.cdf(inside, 200, 0.9) > 0.001
    assert stats.binom.sf(inside - 1, 200, 0.9) > 0.001


@pytest.mark.skipif(not PAIRS.exists(), reason="the real data set is not beside the checkout")
def test_the_shipped_conversion_is_the_one_of_the_real_pairs():
    table = pd.read_csv(PAIRS)
    patients = fit_conversion(
        table[table["group"] != "HC"], given="hamd17", to="madrs", subject="id", source="x", draws=20_000
    )
    shipped = HRSD_17_TO_MADRS
    assert (patients.pairs, patients.subjects) == (shipped.pairs, shipped.subjects) == (129, 35)
    for name in ("intercept", "slope", "sd_between", "sd_within"):
        mine, theirs = getattr(shipped, name), getattr(patients, name)
        assert mine.mean() == pytest.approx(theirs.mean(), abs=0.1 * theirs.std())
        assert mine.std() == pytest.approx(theirs.std(), rel=0.1)
    everybody = fit_conversion(table, given="hamd17", to="madrs", subject="id", source="x", draws=20_000)
    assert everybody.pairs == 207
    assert everybody.slope.mean() == pytest.approx(1.48, abs=0.01)


def tables(sets=40, seed=1):
    trials = bd.simulate("price2022", seed=1).table
    here = trials["scale"] == "HRSD-17"
    how = {"where": here, "given": ("hrsd_baseline", "hrsd"), "to": ("madrs_baseline", "madrs")}
    return (
        trials,
        here,
        convert_trials(trials, HRSD_17_TO_MADRS, **how, improvement="improvement", sets=sets, seed=seed),
    )


def test_converted_tables_differ_where_they_are_converted_and_nowhere_else():
    trials, here, made = tables(3)
    for table in made:
        pd.testing.assert_frame_equal(table[~here], trials[~here])
        both = table[here]
        np.testing.assert_allclose(both["improvement"], 100 * (1 - both["madrs"] / both["madrs_baseline"]))
        assert (both.groupby("subject")["madrs_baseline"].nunique() == 1).all()
        assert table.attrs["synthetic"]
    assert (made[0]["madrs"] != made[1]["madrs"])[here].all()
    again = tables(3)[2]
    pd.testing.assert_frame_equal(made[2], again[2])


def test_converted_scores_scatter_as_the_conversion_says():
    trials, here, made = tables(400)
    scores = np.stack([t.loc[here, "madrs"].to_numpy() for t in made])
    h = trials.loc[here, "hrsd"].to_numpy()
    c = HRSD_17_TO_MADRS
    np.testing.assert_allclose(scores.mean(axis=0), c.intercept.mean() + c.slope.mean() * h, atol=1.0)
    expected = np.hypot(c.sd_between, c.sd_within)
    residual = scores - scores.mean(axis=0)
    assert residual.std() == pytest.approx(np.sqrt((expected**2).mean()), rel=0.15)


def test_what_is_refused():
    trials = bd.simulate("price2022", seed=1).table
    how = {"given": ("hrsd_baseline", "hrsd"), "to": ("madrs_baseline", "madrs")}
    with pytest.raises(BadInput, match="column 'hrsd_baseline', row 1: empty, but this row is to be converted"):
        convert_trials(trials, HRSD_17_TO_MADRS, where=np.ones(len(trials), bool), **how)
    with pytest.raises(BadInput, match="where is false in every row"):
        convert_trials(trials, HRSD_17_TO_MADRS, where=np.zeros(len(trials), bool), **how)
    few = made_up(2)
    with pytest.raises(BadInput, match="6 pairs of 2 people do not make a conversion"):
        fit_conversion(few, given="hrsd", to="madrs", subject="id", source="x")


def test_the_conversion_says_itself():
    said = HRSD_17_TO_MADRS.sentence
    assert "129 pairs of 35 people" in said
    assert "doi:10.18112" in said
