"""Binomial studies with several treated arms and one control group, and treated exchanged with control."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from pymc.model.transform.conditioning import prune_vars_detached_from_observed
from scipy import special, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import at_draws
from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.binomial_arms import log_marginal_arms
from bayesdep.models.meta.binomial_pair import log_marginal

LONG = pd.DataFrame(
    {
        "study": ["A", "A", "A", "B", "B", "C", "C", "C", "C"],
        "arm": ["placebo", "10 mg", "20 mg", "20 mg", "placebo", "placebo", "10 mg", "20 mg", "40 mg"],
        "events": [4, 7, 9, 12, 6, 3, 5, 0, 8],
        "n": [40, 41, 39, 60, 58, 30, 31, 29, 30],
    }
)
MODEL = bd.Meta(
    measure="log-odds-ratio", input="arms", likelihood="binomial", reference="placebo", midpoint_correlation=True
)


def wide():
    rows = [
        ("A, 10 mg", "A", 7, 41, 4, 40), ("A, 20 mg", "A", 9, 39, 4, 40), ("B", "B", 12, 60, 6, 58),
        ("C, 10 mg", "C", 5, 31, 3, 30), ("C, 20 mg", "C", 0, 29, 3, 30), ("C, 40 mg", "C", 8, 30, 3, 30),
    ]  # fmt: skip
    columns = ["study", "trial", "events_treated", "n_treated", "events_control", "n_control"]
    return pd.DataFrame(rows, columns=columns)


def test_long_and_wide_tables_of_arms_are_the_same_data():
    long = MODEL.prepare(LONG)
    model = bd.Meta(measure="log-odds-ratio", input="counts", likelihood="binomial", control_group="trial")
    other = model.prepare(wide())
    assert list(long["study"].values) == list(wide()["study"])
    for name in ("events", "n", "group_of"):
        np.testing.assert_array_equal(long[name].values, other[name].values)
    shuffled = MODEL.prepare(LONG.sample(frac=1, random_state=3))
    assert sorted(shuffled["study"].values) == sorted(long["study"].values)
    # the normal approximation: the control's variance in both
    gaussian = bd.Meta(measure="log-odds-ratio", input="arms", reference="placebo")
    data = gaussian.prepare(LONG[LONG.study != "C"])
    assert data["covariance"].values[0, 1] == pytest.approx(1 / 4 + 1 / 36, rel=1e-12)
    assert data["covariance"].values[0, 2] == 0


def test_each_control_group_is_observed_once_and_effects_correlate_by_half():
    """Prior draws of the model: variance tau^2, correlation 1/2 within a study, 0 between; midpoints as stated."""
    model = bd.Meta(measure="log-odds-ratio", input="arms", likelihood="binomial", reference="placebo")
    built = model.build(model.prepare(LONG))
    n = 20_000
    rng = np.random.default_rng(4)
    fixed = {"mu": 0.3, "tau": 0.8, "baseline_mean": -1.0, "baseline_sd": 0.5}
    given = {built[k]: np.full(n, v) for k, v in fixed.items()}
    theta, baseline = at_draws([built["theta"], built["baseline"]], given, seed=int(rng.integers(1e6)))
    same = np.array([0, 0, 1, 2, 2, 2])
    expected = np.where(np.eye(6) > 0, 1.0, np.where(same[:, None] == same, 0.5, 0.0))
    np.testing.assert_allclose(np.cov(theta.T) / 0.64, expected, rtol=0, atol=0.05)  # five standard errors
    np.testing.assert_allclose(theta.mean(axis=0), 0.3, rtol=0, atol=0.03)
    np.testing.assert_allclose(baseline.std(axis=0), 0.5, rtol=0, atol=0.02)
    assert built["events"].eval().shape == (9,)


def by_sampling(events, n, mean, tau, m, s, rho, draws=400_000):
    """Log of the average likelihood over draws of midpoint and arms, from the model as it is stated; and its error."""
    rng = np.random.default_rng(8)
    z = rng.standard_normal(draws)
    e = rng.normal(0, tau * math.sqrt((1 - rho**2) / 2), (draws, len(events)))
    moved = mean + rho * tau * z[:, None]
    apart = e - e.mean(axis=1, keepdims=True)
    control = m + s * z - moved.mean(axis=1) / 2 + apart[:, 0]
    treated = (m + s * z - moved.mean(axis=1) / 2)[:, None] + moved + apart[:, 1:]
    logit = np.column_stack([control, treated])
    density = np.exp(stats.binom.logpmf(events, n, special.expit(logit)).sum(axis=1))
    return math.log(density.mean()), density.std() / density.mean() / math.sqrt(draws)


@pytest.mark.parametrize("rho", [0.0, -0.6])
@pytest.mark.parametrize("mean", [[0.4], [0.4, 0.9], [-0.3, 0.0, 0.5]])
def test_scores_of_studies_are_averages_over_the_model(mean, rho):
    events, n = np.array([4, 7, 9, 2][: len(mean) + 1]), np.array([40, 41, 39, 30][: len(mean) + 1])
    tau, m, s = 0.7, -1.2, 0.6
    ours = log_marginal_arms(
        events, n, np.array([mean]), np.array([tau]), (np.array([m]), np.array([s])), np.array([rho])
    )[0]
    expected, error = by_sampling(events, n, np.array(mean), tau, m, s, rho)
    assert ours == pytest.approx(expected, abs=4 * error)
    more = log_marginal_arms(
        events, n, np.array([mean]), np.array([tau]), (np.array([m]), np.array([s])), np.array([rho]), nodes=21
    )[0]
    assert ours == pytest.approx(more, abs=1e-4)


def test_pairs_are_arms_with_one_treated():
    events, n = np.array([[3, 8], [0, 5], [9, 9]]), np.array([[9, 13], [20, 21], [12, 9]])
    mu, tau, rho = np.array([0.4, -0.2]), np.array([0.6, 1.1]), np.array([0.5, -0.3])
    baseline = np.array([-0.5, 0.3]), np.array([0.8, 1.5])
    ours = log_marginal(events, n, mu, tau, baseline, rho)
    for k in range(3):
        other = log_marginal_arms(events[k], n[k], mu[:, None], tau, baseline, rho, nodes=41)
        np.testing.assert_allclose(ours[:, k], other, rtol=0, atol=1e-6)


def density(model, data):
    """The model's joint log density as a function of named values on their own scales."""
    core = prune_vars_detached_from_observed(model.build(data))
    f = core.compile_logp(mode="FAST_COMPILE", jacobian=False)

    def at(**values):
        point = {}
        for rv in core.free_RVs:
            transform, value = core.rvs_to_transforms[rv], core.rvs_to_values[rv]
            x = np.asarray(values[rv.name], float)
            point[value.name] = x if transform is None else transform.forward(x, *rv.owner.inputs).eval()
        return float(f(point))

    return at


@pytest.mark.parametrize("rho", [None, 0.3])
def test_exchanging_treated_and_control_changes_the_sign_only(rho):
    """The density at fixed points, exactly: mu, effects and rho with the other sign, midpoints as they are."""
    how = {"measure": "log-odds-ratio", "input": "counts", "likelihood": "binomial"}
    model = bd.Meta(**how, midpoint_correlation=rho is not None)
    table = wide().assign(study=list("abcdef"), events_control=[4, 5, 6, 3, 0, 2])
    swapped = table.rename(
        columns=lambda c: c.replace("treated", "x").replace("control", "treated").replace("x", "control")
    )
    one, other = (density(model, model.prepare(t)) for t in (table, swapped))
    rng = np.random.default_rng(2)
    for _ in range(3):
        mu, a, theta = rng.normal(), rng.normal(size=6), rng.normal(size=6)
        common = {"tau": 0.4, "baseline_mean": -0.7, "baseline_sd": 0.8, "baseline_latent": a}
        signed = {"mu": mu, "theta_latent": theta} | ({} if rho is None else {"rho_unit": (1 + rho) / 2})
        turned = {"mu": -mu, "theta_latent": -theta} | ({} if rho is None else {"rho_unit": (1 - rho) / 2})
        assert other(**common, **turned) == pytest.approx(one(**common, **signed), abs=1e-9)


def test_empty_identical_arms_are_symmetric():
    """A study's score is even in the effect when its arms are the same, with events or without."""
    events, n = np.array([[0, 0], [3, 3]]), np.array([[40, 40], [50, 50]])
    baseline = np.array([-3.0]), np.array([0.9])
    plus, minus = (log_marginal(events, n, np.array([m]), np.array([0.5]), baseline) for m in (0.8, -0.8))
    np.testing.assert_allclose(plus, minus, rtol=0, atol=1e-10)


def test_exchangeability_does_not_depend_on_the_order_of_arms():
    arms = Arms(np.array([4, 7, 9, 2]), np.array([40, 41, 39, 30]), np.zeros(3, int))
    correlation = arms.factor @ arms.factor.T
    np.testing.assert_allclose(correlation, 0.5 + 0.5 * np.eye(3), rtol=0, atol=1e-12)
    baseline = np.array([-1.0]), np.array([0.5])
    of = [
        log_marginal_arms(
            arms.events[[0, *order]], arms.n[[0, *order]], np.full((1, 3), 0.2), np.array([0.6]), baseline
        )[0]
        for order in itertools.permutations([1, 2, 3])
    ]
    np.testing.assert_allclose(of, of[0], rtol=0, atol=1e-6)  # the rule's nodes turn with the arms


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t[t.arm != "placebo"], "reference = 'placebo' is no arm"),
        (lambda t: t.drop(index=4), "study 'B' has no arm 'placebo'"),
        (lambda t: t.drop(index=3), "study 'B' has that arm only"),
        (lambda t: pd.concat([t, t.iloc[[1]]]), "stands in rows 2 and 10"),
    ],
)
def test_tables_of_arms_that_compare_nothing_are_refused(change, says):
    with pytest.raises(BadInput, match=says):
        MODEL.prepare(change(LONG))
