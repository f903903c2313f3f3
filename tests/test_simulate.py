"""The studies' designs as generators: reproducible, labelled as synthetic, and true to the truth they state.

Averages are compared within four Monte Carlo standard errors, each computed from the design: a right
generator strays further once in 16,000 times, and the seeds are fixed.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayesdep.data.errors import BadInput
from bayesdep.data.published import load
from bayesdep.data.simulate import designs, simulate
from bayesdep.data.tables import Column, as_frame, read_columns, refuse_more_events_than_people

NAMES = sorted(designs())
PUBLISHED = {name: name for name in NAMES} | {"bcg_trials": "bcg_colditz1994"}


@cache
def drawn(name, seeds=100):
    """Return tables and truths over many seeds."""
    made = [simulate(name, seed=seed) for seed in range(seeds)]
    return [m.table for m in made], [m.truth for m in made]


def stack(tables, column):
    """Return one column as (seeds, rows)."""
    return np.array([table[column].to_numpy(float) for table in tables])


def assert_standard_normal_mean(z):
    """Require the mean of independent standardised residuals to be within four standard errors of zero."""
    assert abs(np.mean(z)) * np.sqrt(np.size(z)) < 4


def assert_normal(draws, mean, sd):
    """Require draws to have the mean and standard deviation of a normal, each within four standard errors."""
    draws = np.ravel(draws)
    assert abs(draws.mean() - mean) < 4 * sd / np.sqrt(draws.size)
    assert abs(draws.std() / sd - 1) < 4 / np.sqrt(2 * draws.size)


# Reproducible and labelled.


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_gives_the_same_table_and_truth(name):
    one, two = simulate(name, seed=11), simulate(name, seed=11)
    pd.testing.assert_frame_equal(one.table, two.table)
    assert one.truth == two.truth


@pytest.mark.parametrize("name", NAMES)
def test_seeds_give_different_tables(name):
    contents = {simulate(name, seed=seed).table.drop(columns="origin").to_csv() for seed in range(20)}
    # two or four binomials of at most 21 people may fall twice on the same counts; nothing else may
    assert len(contents) >= {"kiraly2017_fgf2_roc": 5, "raison2013_responders": 15}.get(name, 20)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_and_the_attrs_say_synthetic(name):
    table = simulate(name, seed=5).table
    assert list(table.origin) == [f"synthetic: {name}, seed 5"] * len(table)
    assert table.attrs["synthetic"] is True
    assert table.attrs["source"] == f"simulate:{name}"
    assert table.attrs["title"].startswith("Synthetic data")
    assert table.attrs["citation"] == "none: synthetic data"


@pytest.mark.parametrize("name", NAMES)
def test_table_has_the_published_rows_and_columns_so_that_one_plan_reads_both(name):
    published = load(PUBLISHED[name])
    table = simulate(name, seed=5).table.drop(columns="origin")
    assert set(table.columns) <= set(published.columns)
    if name == "ketamine_trials":  # one trial has no standard error
        published = published.dropna(subset="se")
    labels = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    assert labels
    for column in labels:
        assert list(table[column]) == list(published[column])


def test_counts_and_summaries_satisfy_the_models_column_contracts():
    counts = {
        "bcg_trials": [("tb_vaccinated", "n_vaccinated"), ("tb_control", "n_control")],
        "kiraly2017_fgf2_roc": [("below_34_pg_per_mL", "n")],
        "raison2013_responders": [("responders", "n")],
    }
    for name, pairs in counts.items():
        for events, n in pairs:
            frame = as_frame(simulate(name, seed=5).table)
            columns = {"events": Column(events, "count", "events"), "n": Column(n, "count", "people")}
            read = read_columns(frame, columns)
            names = np.arange(len(frame)).astype(str)
            refuse_more_events_than_people(read["events"], read["n"], names, (columns["events"], columns["n"]))
    panel = {c: Column(c, "positive", c) for c in ("hc_mean", "hc_sem", "trd_mean", "trd_sem")}
    panel["p_value"] = Column("p_value", "probability", "P")
    assert len(read_columns(as_frame(simulate("kiraly2017_table2", seed=5).table), panel)["p_value"]) == 41


def test_designs_have_one_sentence_each():
    assert set(designs()) == {
        "bcg_trials",
        "ketamine_trials",
        "kiraly2017_fgf2_roc",
        "kiraly2017_table2",
        "raison2013_responders",
    }
    assert all(len(text) > 20 and text.endswith(".") for text in designs().values())


def test_unknown_design_suggests_the_nearest():
    with pytest.raises(BadInput, match=r"there is no simulator 'bcg_trial'; did you mean 'bcg_trials'\?"):
        simulate("bcg_trial", seed=1)


def test_simulating_leaves_the_published_tables_as_they_are():
    before = {name: load(PUBLISHED[name]) for name in NAMES}
    for name in NAMES:
        simulate(name, seed=1)
        pd.testing.assert_frame_equal(load(PUBLISHED[name]), before[name])
        assert load(PUBLISHED[name]).attrs["synthetic"] is False


# True to their truth.


def test_bcg_effects_are_normal_around_mu_and_counts_are_binomial_given_them():
    tables, truths = drawn("bcg_trials")
    theta = np.array([truth["theta"] for truth in truths])
    assert (truths[0]["mu"], truths[0]["tau"]) == (-0.75, 0.58)
    assert_normal(theta, -0.75, 0.58)
    published = load("bcg_colditz1994")
    risk = (published.tb_control / published.n_control).to_numpy()
    treated_risk = 1 / (1 + np.exp(-(np.log(risk / (1 - risk)) + theta)))
    for arm, p in (("control", np.broadcast_to(risk, theta.shape)), ("vaccinated", treated_risk)):
        n = published[f"n_{arm}"].to_numpy()
        z = (stack(tables, f"tb_{arm}") - n * p) / np.sqrt(n * p * (1 - p))
        assert_standard_normal_mean(z)
        assert abs(z.var() - 1) < 4 * np.sqrt((2 + (1 / (n * p * (1 - p))).mean()) / z.size)  # binomial kurtosis


def test_ketamine_differences_are_normal_around_effects_that_are_normal_around_mu():
    tables, truths = drawn("ketamine_trials", seeds=250)
    theta = np.array([truth["theta"] for truth in truths])
    assert (truths[0]["mu"], truths[0]["tau"]) == (-6.5, 1.5)
    assert_normal(theta, -6.5, 1.5)
    se = load("ketamine_trials").se.dropna().to_numpy()
    np.testing.assert_array_equal(stack(tables, "se"), np.broadcast_to(se, theta.shape))
    assert_normal((stack(tables, "difference") - theta) / se, 0, 1)


@cache
def panel():
    """Return tables, true log ratios and, per analyte, log standard deviations and arithmetic means."""
    tables, truths = drawn("kiraly2017_table2")
    theta = np.array([truth["theta"] for truth in truths])
    printed = load("kiraly2017_table2")
    sd = np.sqrt(np.log1p(26 * (printed.hc_sem / printed.hc_mean) ** 2)).to_numpy()
    kept = np.minimum(sd, 1)
    # a log-normal's mean is exp(log mean + variance / 2): keeping the spread below 1 lowers it
    return tables, theta, kept, printed.hc_mean.to_numpy() * np.exp((kept**2 - sd**2) / 2)


def test_table2_log_ratios_are_normal_around_mu():
    theta = panel()[1]
    assert theta.shape == (100, 41)
    assert_normal(theta, 0.2, 0.3)


@pytest.mark.parametrize(("group", "n"), [("hc", 26), ("trd", 33)])
def test_table2_means_and_standard_errors_average_to_those_of_the_log_normals(group, n):
    tables, theta, sd, control_mean = panel()
    expected = control_mean * np.exp(theta if group == "trd" else 0 * theta)
    relative_variance = np.expm1(sd**2)
    z = (stack(tables, f"{group}_mean") / expected - 1) / np.sqrt(relative_variance / n)
    assert_standard_normal_mean(z)
    # n sem^2 / mean^2 estimates the variance; its own variance has the fourth central moment, scipy's
    variance = n * (stack(tables, f"{group}_sem") / expected) ** 2
    kurtosis = stats.lognorm(sd).stats(moments="k") + 3
    of_variance = relative_variance**2 * (kurtosis - (n - 3) / (n - 1)) / n
    assert_standard_normal_mean((variance - relative_variance) / np.sqrt(of_variance))
    assert (stack(tables, f"{group}_n") == n).all()


def test_table2_differences_are_patients_minus_controls():
    for table in panel()[0][:5]:
        np.testing.assert_array_equal(table.mean_difference, table.trd_mean - table.hc_mean)


def test_table2_p_values_are_those_of_a_t_test_on_the_logs():
    """t^2 has a noncentral F distribution: its distribution function at the observed t^2 is uniform."""
    tables, theta, sd, _ = panel()
    t = stats.t.isf(stack(tables, "p_value") / 2, 57)
    shift = theta / (sd * np.sqrt(1 / 26 + 1 / 33))
    uniform = stats.ncf.cdf(t**2, 1, 57, shift**2)
    assert_standard_normal_mean((uniform - 0.5) * np.sqrt(12))
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 6e-5  # as rare as four standard errors


def test_fgf2_counts_average_to_the_stated_accuracy():
    tables, truths = drawn("kiraly2017_fgf2_roc")
    assert truths[0] == {"sensitivity": 0.79, "specificity": 0.92}
    counts = stack(tables, "below_34_pg_per_mL")
    n, p = np.array([19, 12]), np.array([0.79, 1 - 0.92])
    z = (counts - n * p) / np.sqrt(n * p * (1 - p))
    assert_standard_normal_mean(z[:, 0])
    assert_standard_normal_mean(z[:, 1])
    assert (stack(tables, "n") == n).all()


def test_raison_responders_average_to_the_published_counts():
    tables, truths = drawn("raison2013_responders")
    published = load("raison2013_responders")
    responders, n = published.responders.to_numpy(), published.n.to_numpy()
    np.testing.assert_allclose(truths[0]["risk"], responders / n)
    z = (stack(tables, "responders") - responders) / np.sqrt(responders * (1 - responders / n))
    for arm in z.T:
        assert_standard_normal_mean(arm)
    assert (stack(tables, "n") == n).all()
