"""What people bring to a meta-analysis: each of ``../shared/cases/meta_*`` with its right value, and its siblings."""

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.models.meta.heterogeneity import typical_variance
from bayesdep.models.meta.shared_people import refuse_repeated_controls
from bayesdep.models.parts.published_priors import heterogeneity_prior
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.register import make_model, settings_of

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the cases lie beside the repository, not in it")


def case(name):
    return pd.read_csv(CASES / f"{name}.csv")


def shared_control():
    """Three doses in each of two trials, one control group each: made up."""
    return pd.DataFrame(
        {
            "study": [f"{t} {d}" for t in "AB" for d in (10, 20, 40)],
            "trial": list("AAABBB"),
            "mean_treated": [16.1, 18.8, 17.3, 15.4, 14.5, 15.6],
            "sd_treated": [8.0, 7.5, 8.2, 7.9, 8.4, 8.0],
            "n_treated": [30, 28, 31, 40, 42, 39],
            "mean_control": [19.4] * 3 + [18.4] * 3,
            "sd_control": [8.1] * 3 + [7.7] * 3,
            "n_control": [29] * 3 + [41] * 3,
        }
    )


MEANS = {"measure": "difference", "units": "points", "input": "means"}


# ---- large units


@needs_cases
@pytest.mark.parametrize("unit", [1.0, 2.0**10, 2.0**20])
def test_platelets_are_known_without_sampling_in_any_unit(unit):
    """-2592 (-5172, -126): two-dimensional integration by scipy over mu and tau of densities written out here."""
    table = case("meta_platelets").assign(effect=lambda t: unit * t["effect"], se=lambda t: unit * t["se"])
    priors = {"mu": bd.Prior("Normal", mu=0, sigma=unit * 1e4), "tau": bd.Prior("HalfNormal", sigma=unit * 5e3)}
    model = bd.Meta(measure="difference", units="per nL", priors=priors)
    mu = model.exact(model.prepare(table)).marginals["mu", ()]
    y, se = table["effect"].to_numpy() / unit, table["se"].to_numpy() / unit
    tau = np.linspace(0, 30_000, 6001)
    w = 1 / (se**2 + tau[:, None] ** 2)
    precision = w.sum(axis=1) + 1e-8
    mean = w @ y / precision
    log = (np.log(w).sum(axis=1) - (w * y**2).sum(axis=1) + precision * mean**2 - np.log(precision)) / 2
    weight = np.exp(log - log.max()) * stats.halfnorm.pdf(tau, scale=5e3)
    weight[0] /= 2
    weight /= weight.sum()
    assert mu.mean / unit == pytest.approx(weight @ mean, abs=1e-3)
    low, high = mu.quantile(np.array([0.025, 0.975])) / unit
    below = [weight @ special.ndtr((x - mean) * np.sqrt(precision)) for x in (low, high)]
    assert below == pytest.approx([0.025, 0.975], abs=1e-6)
    assert mu.mean / unit == pytest.approx(-2592, abs=0.35 * 1300)


@needs_cases
@pytest.mark.sampling
def test_platelets_sampled_pass_the_gate():
    priors = {"mu": bd.Prior("Normal", mu=0, sigma=1e4), "tau": bd.Prior("HalfNormal", sigma=5e3)}
    model = bd.Meta(measure="difference", units="per nL", priors=priors)
    fit = bd.fit(model, case("meta_platelets"), sampler="nutpie", progress=False)
    assert fit.gate.passed, fit.gate.sentence
    found = bd.oracle(fit) if hasattr(bd, "oracle") else None
    exact = fit.exact.marginals["mu", ()]
    assert fit.estimands["mu"].values.mean() == pytest.approx(exact.mean, abs=0.15 * exact.sd)
    assert found is None or not found.empty
    assert bd.fit(model, case("meta_platelets"), progress=False).is_exact  # what is known is not sampled by default


@pytest.mark.parametrize("heterogeneity", ["normal", "student-t"])
@pytest.mark.parametrize("power", [10, 20])
def test_the_sampled_density_is_the_same_in_any_unit(heterogeneity, power):
    """At the same points of the sampler's coordinates, exactly: the observed effects' Jacobian is all that differs."""
    table = pd.DataFrame(
        {"study": list("abcdef"), "cluster": list("xxyyzz"), "effect": [0.3, 0.1, -0.2, 0.5, 0.9, 0.0],
         "se": [0.2, 0.3, 0.25, 0.1, 0.4, 0.2]}
    )  # fmt: skip

    def density(unit):
        priors = {"mu": bd.Prior("Normal", mu=0, sigma=unit), "tau": bd.Prior("HalfNormal", sigma=unit / 2)}
        shares = {} if heterogeneity == "student-t" else {"cluster": "cluster", "within_correlation": 0.4}
        if shares:
            priors["tau_cluster"] = bd.Prior("HalfCauchy", beta=unit / 2)
        model = bd.Meta(measure="difference", units="u", heterogeneity=heterogeneity, priors=priors, **shares)
        data = model.prepare(table.assign(effect=unit * table["effect"], se=unit * table["se"]))
        from pymc.model.transform.conditioning import prune_vars_detached_from_observed

        core = prune_vars_detached_from_observed(model.build(data))
        return core.compile_logp(mode="FAST_COMPILE"), core.initial_point()

    (one, start), (other, _) = density(1.0), density(2.0**power)
    rng = np.random.default_rng(1)
    for _ in range(3):
        point = {name: rng.normal(size=np.shape(x)) for name, x in start.items()}
        expected = one(point) - 6 * power * math.log(2)
        assert float(other(point)) == pytest.approx(float(expected), rel=1e-10, abs=1e-10)


# ---- the same people counted twice


def by_grid(y, v, cluster, priors):
    """Mean and sd of mu over an even grid of both spreads, with dense covariance matrices."""
    s = 0.2 * (np.arange(125) + 0.5)
    same = cluster[:, None] == cluster
    total = first = second = 0.0
    of_tau, of_cluster = (priors[name].scipy.logpdf(s) for name in ("tau", "tau_cluster"))
    for i, j in itertools.product(range(len(s)), range(len(s))):
        tau, between = s[i], s[j]
        covariance = v + tau**2 * np.eye(len(y)) + between**2 * same
        solved = np.linalg.solve(covariance, np.column_stack([y, np.ones(len(y))]))
        precision = solved[:, 1].sum() + 1 / priors["mu"]["sigma"] ** 2
        mean = solved[:, 0].sum() / precision
        log = (precision * mean**2 - y @ solved[:, 0] - np.linalg.slogdet(covariance)[1] - math.log(precision)) / 2
        log += of_tau[i] + of_cluster[j]
        weight = math.exp(log)
        total += weight
        first += weight * mean
        second += weight * (mean**2 + 1 / precision)
    return first / total, math.sqrt(second / total - (first / total) ** 2)


@needs_cases
def test_a_control_group_of_several_arms_is_counted_once():
    """-2.39 (1.29): a grid over both spreads with covariance sd0^2 / n0 within trials, and the same priors."""
    table = case("meta_shared_control")
    priors = {
        "mu": bd.Prior("Normal", mu=0, sigma=20),
        "tau": bd.Prior("HalfNormal", sigma=5),
        "tau_cluster": bd.Prior("HalfNormal", sigma=5),
    }
    model = bd.Meta(**MEANS, cluster="trial", control_group="trial", priors=priors)
    data = model.prepare(table)
    mu = model.exact(data).marginals["mu", ()]
    y = (table["mean_treated"] - table["mean_control"]).to_numpy()
    cluster = table["trial"].factorize()[0]
    v = np.where(cluster[:, None] == cluster, 64 / 30, 0.0) + np.diag(np.full(12, 64 / 30))
    mean, sd = by_grid(y, v, cluster, priors)
    assert mu.mean == pytest.approx(mean, abs=0.002)
    assert mu.sd == pytest.approx(sd, rel=0.005)
    assert mu.mean == pytest.approx(-2.39, abs=0.02)
    assert mu.sd == pytest.approx(1.29, abs=0.02)
    apart = bd.Meta(**MEANS, cluster="trial", control_group="study", priors=priors)
    assert mu.sd > 1.2 * apart.exact(apart.prepare(table)).marginals["mu", ()].sd


@needs_cases
def test_control_groups_that_look_the_same_are_refused_until_it_is_said_what_they_are():
    table = case("meta_shared_control")
    with pytest.raises(BadInput, match=r"rows 1 \(Trial 0 10 mg\) and 2 .* counted twice; .* as control_group") as said:
        bd.Meta(**MEANS).prepare(table)
    assert "a label of its own" in str(said.value)
    assert "covariance" in bd.Meta(**MEANS, control_group="trial").prepare(table)  # both remedies work
    assert "covariance" not in bd.Meta(**MEANS, control_group="study").prepare(table)
    with pytest.raises(BadInput, match="put the arms of such a study together"):
        bd.SmallStudies(**MEANS, favours="negative", control_group="trial").prepare(table)
    wrong = table.assign(n_control=[30, 31, *[30] * 10])
    with pytest.raises(BadInput, match="rows 1 and 2 share the control group 'Trial 0', but column 'n_control' has 30"):
        bd.Meta(**MEANS, control_group="trial").prepare(wrong)


def test_counts_that_agree_by_chance_get_a_note_and_others_are_refused():
    counts = pd.DataFrame(
        {"study": list("abcd"), "events_treated": [5, 7, 3, 4], "n_treated": [40, 41, 50, 50],
         "events_control": [4, 4, 6, 7], "n_control": [39, 39, 50, 50]}
    )  # fmt: skip
    model = bd.Meta(measure="log-odds-ratio", input="counts")
    with pytest.raises(BadInput, match=r"rows 1 .* and 2 .* have the same control group"):
        model.prepare(counts)
    many = counts.assign(n_control=50, events_control=[4, 4, 6, 7])
    assert model.prepare(many).sizes["study"] == 4
    read = {name: many[name].to_numpy() for name in many}
    (note,) = refuse_repeated_controls(read, {}, input="counts")
    assert note.startswith("rows 1 and 2 have the same control group, 4 of 50, as may be by chance")
    none = counts.assign(events_control=[0, 0, 6, 7])
    binomial = bd.Meta(measure="log-odds-ratio", input="counts", likelihood="binomial")
    assert binomial.prepare(none).sizes["study"] == 4


def multinomial_cov(f, draws=400_000, *, n0=60, p0=0.3, n1=50, p1=0.4, n2=70, p2=0.5):
    """Covariance of two contrasts with one control group, by simulation."""
    rng = np.random.default_rng(3)
    c, a, b = (rng.binomial(n, p, draws) for n, p in ((n0, p0), (n1, p1), (n2, p2)))
    return np.cov(f(a, n1, c, n0), f(b, n2, c, n0))[0, 1]


@pytest.mark.parametrize(
    ("measure", "f"),
    [
        ("log-odds-ratio", lambda e, n, c, m: np.log((e + 0.5) / (n - e + 0.5)) - np.log((c + 0.5) / (m - c + 0.5))),
        ("log-risk-ratio", lambda e, n, c, m: np.log((e + 0.5) / (n + 0.5)) - np.log((c + 0.5) / (m + 0.5))),
        ("risk-difference", lambda e, n, c, m: e / n - c / m),
    ],
)
def test_covariances_of_counts_are_those_of_simulated_trials(measure, f):
    table = pd.DataFrame(
        {"study": ["a", "b"], "trial": "t", "events_treated": [20, 35], "n_treated": [50, 70], "events_control": 18,
         "n_control": 60}
    )  # fmt: skip
    data = bd.Meta(measure=measure, input="counts", control_group="trial").prepare(table)
    # the delta method at the expected counts: within a twentieth of the simulated covariance
    assert data["covariance"].values[0, 1] == pytest.approx(multinomial_cov(f), rel=0.08)
    c, n = 18, 60
    by_hand = {
        "log-odds-ratio": 1 / c + 1 / (n - c), "log-risk-ratio": 1 / c - 1 / n, "risk-difference": 0.3 * 0.7 / n,
    }  # fmt: skip
    assert data["covariance"].values[0, 1] == pytest.approx(by_hand[measure], rel=1e-12)
    np.testing.assert_allclose(np.diag(data["covariance"].values), data["se"].values ** 2, rtol=1e-12)


def test_covariances_of_means_are_gleser_and_olkins():
    table = shared_control()
    raw = bd.Meta(**MEANS, control_group="trial").prepare(table)
    assert raw["covariance"].values[0, 1] == pytest.approx(8.1**2 / 29, rel=1e-12)
    assert raw["covariance"].values[0, 3] == 0
    g = bd.Meta(measure="standardised-difference", input="means", control_group="trial").prepare(table)
    d = g["effect"].values
    people = 29 + 30 + 28 + 31
    assert g["covariance"].values[0, 1] == pytest.approx(1 / 29 + d[0] * d[1] / (2 * people), rel=1e-12)


def test_more_arms_of_one_trial_never_make_it_surer_than_as_many_trials():
    """The same effect written again: narrower as a study of its own, hardly as an arm with the same control group."""
    table = shared_control()
    once = table.iloc[[0, 3]]
    sds = {}
    for name, rows, group in (("once", once, "study"), ("shared", table, "trial"), ("apart", table, "study")):
        model = bd.Meta(**MEANS, control_group=group, scale=8.0)
        sds[name] = model.exact(model.prepare(rows)).marginals["mu", ()].sd
    assert sds["apart"] < sds["shared"] < sds["once"]


def test_a_stated_correlation_a_matrix_and_labels_are_the_same_covariance():
    table = pd.DataFrame({"study": list("abc"), "effect": [0.2, 0.5, 0.4], "se": [0.1, 0.2, 0.25]})
    se = table["se"].to_numpy()
    matrix = 0.6 * np.outer(se, se) + np.diag(0.4 * se**2)
    by_label = {"a": {"b": matrix[0, 1], "c": matrix[0, 2]}, "b": {"c": matrix[1, 2]}}
    common = {"measure": "standardised-difference"}
    found = [
        bd.Meta(**common, **how).prepare(table)
        for how in (
            {"within_correlation": 0.6},
            {"covariance": matrix},
            {"covariance": by_label},
            {"covariance": pd.DataFrame(matrix, list("abc"), list("abc"))},
        )
    ]
    for data in found:
        np.testing.assert_allclose(data["covariance"].values, matrix, rtol=1e-12)
    model = bd.Meta(**common, covariance=by_label)
    assert make_model("meta", settings_of(model)) == model
    order = [2, 0, 1]
    shuffled = model.prepare(table.iloc[order])
    np.testing.assert_allclose(shuffled["covariance"].values, matrix[np.ix_(order, order)], rtol=1e-12)
    one, other = (model.exact(d).marginals["mu", ()] for d in (found[2], shuffled))
    assert other.mean == pytest.approx(one.mean, rel=1e-10)
    with pytest.raises(BadInput, match="give covariances of the same effects"):
        bd.Meta(**common, covariance=matrix).prepare(table.iloc[order])


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"within_correlation": 1.0}, "between -1 and 1"),
        ({"within_correlation": 0.3, "covariance": {"a": {"b": 0.001}}}, "both say which effects share people"),
        ({"within_correlation": 0.3, "heterogeneity": "student-t"}, "leave one of them out"),
        ({"control_group": "study"}, "give the covariances of the effects as covariance"),
        ({"covariance": {"a": {"x": 0.001}}}, "no study is called 'x'"),
        ({"covariance": {"a": {"b": 0.02}}}, "not positive definite"),
        ({"covariance": [[1, 2], [3]]}, "neither a square matrix"),
        ({"covariance": [[0.01, 0.0], [0.0, 0.04]]}, "has 2 rows, but the table has 3"),
        ({"within_correlation": -0.7}, "not positive definite"),
    ],
)
def test_impossible_covariances_are_refused(how, says):
    table = pd.DataFrame({"study": list("abc"), "effect": [0.2, 0.5, 0.4], "se": [0.1, 0.2, 0.25]})
    with pytest.raises(BadInput, match=says):
        bd.Meta(measure="standardised-difference", **how).prepare(table)


def test_i_squared_with_shared_people_has_the_typical_variance_of_the_inverse():
    """By hand: (K - 1) / tr(P), P = W - W 1 1' W / 1' W 1 with W the inverse of V."""
    se = np.array([0.1, 0.2, 0.25])
    v = 0.6 * np.outer(se, se) + np.diag(0.4 * se**2)
    w = np.linalg.inv(v)
    p = w - np.outer(w.sum(axis=1), w.sum(axis=0)) / w.sum()
    assert typical_variance(se, covariance=v) == pytest.approx(2 / np.trace(p), rel=1e-10)
    assert typical_variance(se, covariance=np.diag(se**2)) == pytest.approx(typical_variance(se), rel=1e-12)


def test_leaving_one_out_is_a_conditional_density_where_people_are_shared():
    table = pd.DataFrame({"study": list("abc"), "effect": [0.2, 0.5, 0.4], "se": [0.1, 0.2, 0.25]})
    model = bd.Meta(measure="standardised-difference", within_correlation=0.5)
    data = model.prepare(table)
    import xarray as xr

    posterior = xr.Dataset({k: (("chain", "draw"), [[v]]) for k, v in {"mu": 0.3, "tau": 0.15}.items()})
    ours = model.log_likelihood(posterior, data).values[0, 0]
    covariance = data["covariance"].values + 0.15**2 * np.eye(3)
    y = table["effect"].to_numpy()
    for k in range(3):
        rest = [i for i in range(3) if i != k]
        joint = stats.multivariate_normal.logpdf(y, np.full(3, 0.3), covariance)
        without = stats.multivariate_normal.logpdf(y[rest], np.full(2, 0.3), covariance[np.ix_(rest, rest)])
        assert ours[k] == pytest.approx(joint - without, abs=1e-10)
    left = bd.check_influence(model, table)
    assert left["elpd"].notna().all()
    assert model.without(data, "b").sizes["study"] == 2
    assert model.without(data, "b")["covariance"].shape == (2, 2)


# ---- treated and control


@needs_cases
@pytest.mark.sampling
def test_identical_arms_have_no_effect():
    """0 by symmetry, however many trials have no events; four Monte Carlo standard errors."""
    model = bd.Meta(measure="log-odds-ratio", input="counts", likelihood="binomial")
    fit = bd.fit(model, case("meta_identical_arms"), progress=False)
    assert fit.gate.passed, fit.gate.sentence
    mu = fit.estimands["mu"].values
    assert abs(mu.mean()) < 4 * mu.std() / math.sqrt(1500)


# ---- raw differences, mixed tables, and what is refused


def test_default_priors_of_a_raw_difference_are_multiples_of_the_arms_own_sd():
    table = shared_control()
    model = bd.Meta(**MEANS, control_group="trial")
    data = model.prepare(table)
    sd = np.array([8.0, 7.5, 8.2, 7.9, 8.4, 8.0, 8.1, 7.7])
    df = np.array([30, 28, 31, 40, 42, 39, 29, 41]) - 1
    scale = math.sqrt((df * sd**2).sum() / df.sum())
    assert float(data["scale"]) == pytest.approx(scale, rel=1e-12)
    assert priors_of(model, data)["mu"]["sigma"] == pytest.approx(scale, rel=1e-12)
    assert priors_of(model, data)["tau"]["sigma"] == pytest.approx(scale / 2, rel=1e-12)
    columns = ["mean_treated", "sd_treated", "mean_control", "sd_control"]
    big = model.prepare(table.assign(**{c: 1024 * table[c] for c in columns}))
    one, other = (model.exact(d).marginals["mu", ()] for d in (data, big))
    assert other.mean / 1024 == pytest.approx(one.mean, rel=1e-10)
    assert other.sd / 1024 == pytest.approx(one.sd, rel=1e-10)
    with pytest.raises(BadInput, match="no default can be right"):
        bd.Meta(measure="difference", units="points")
    stated = bd.Meta(measure="difference", units="points", scale=8.0)
    effects = pd.DataFrame({"study": ["a", "b"], "effect": [1.0, 2.0], "se": [0.5, 0.4]})
    assert priors_of(stated, stated.prepare(effects))["mu"]["sigma"] == 8.0
    with pytest.raises(BadInput, match="scale belongs to measure = 'difference'"):
        bd.Meta(measure="log-odds-ratio", scale=8.0)


@needs_cases
def test_each_row_of_a_mixed_table_is_read_from_what_it_has():
    table = case("meta_mixed_forms")
    model = bd.Meta(measure="difference", units="log mg/L", input="mixed")
    data = model.prepare(table)
    assert data["effect"].values.tolist() == pytest.approx([0.05, 0.11, 0.25])
    assert data["se"].values.tolist() == pytest.approx([0.01, 0.05, math.sqrt(0.38**2 / 20 + 0.2**2 / 21)])
    assert float(data["scale"]) == pytest.approx(math.sqrt((19 * 0.38**2 + 20 * 0.2**2) / 39))
    plain = bd.Meta(measure="difference", units="log mg/L", scale=1.0)
    with pytest.raises(BadInput, match=r"column 'effect': row 3 is empty, but the row has .*take input = 'mixed'"):
        plain.prepare(table)
    with pytest.raises(BadInput, match=r"row 3 \(C\) has nothing from which a log-odds-ratio follows"):
        bd.Meta(measure="log-odds-ratio", input="mixed").prepare(table)
    agreeing = table.assign(effect=[0.05, 0.11, 0.25], se=[0.01, 0.05, data["se"].values[2]])
    assert model.prepare(agreeing)["effect"].values[2] == 0.25
    with pytest.raises(BadInput, match=r"row 3 \(C\) has an effect of 0.9 .*, but its means give 0.25"):
        model.prepare(agreeing.assign(effect=[0.05, 0.11, 0.9]))


def test_counts_and_estimates_in_one_table():
    table = pd.DataFrame(
        {"study": ["a", "b", "c"], "effect": [0.4, None, None], "se": [0.2, None, None],
         "events_treated": [None, 8, 5], "n_treated": [None, 20, 30], "events_control": [None, 3, 2],
         "n_control": [None, 21, 29]}
    )  # fmt: skip
    data = bd.Meta(measure="log-odds-ratio", input="mixed").prepare(table)
    assert data["effect"].values[1] == pytest.approx(math.log(8 * 18 / (12 * 3)), rel=1e-12)
    with pytest.raises(BadInput, match=r"row 3 \(c\) has 0 of 30 events"):
        bd.Meta(measure="log-odds-ratio", input="mixed").prepare(table.assign(events_treated=[None, 8, 0]))


def test_everybody_in_both_arms_has_no_risk_ratio():
    table = pd.DataFrame(
        {"study": ["a", "b"], "events_treated": [10, 9], "n_treated": 10, "events_control": [12, 8], "n_control": 12}
    )
    with pytest.raises(BadInput, match=r"row 1 \(a\) has 10 of 10 events, so the log-risk-ratio has no standard error"):
        bd.Meta(measure="log-risk-ratio", input="counts").prepare(table)
    one_arm = table.assign(events_control=[11, 8])
    assert np.isfinite(bd.Meta(measure="log-risk-ratio", input="counts").prepare(one_arm)["se"].values).all()


@pytest.mark.parametrize("family", [bd.Meta, lambda **how: bd.SmallStudies(favours="positive", **how)])
def test_published_priors_of_another_outcome_are_refused_in_both_forms(family):
    call = heterogeneity_prior("Rhodes 2015", "mental health outcomes", "pharmacological against control")
    plan = {
        "paper": "Rhodes 2015",
        "outcome": "mental health outcomes",
        "comparison": "pharmacological against control",
    }
    for prior in (call, plan):
        assert family(measure="standardised-difference", priors={"tau": prior}).priors["tau"].dist == "LogStudentT"
        with pytest.raises(
            BadInput, match="Rhodes 2015 is about the spread of a standardised-difference, not of a log"
        ):
            family(measure="log-odds-ratio", priors={"tau": prior})


def test_an_averaged_fit_has_one_quantity_called_mu():
    """Zero as often in the posterior's draws as in the estimand's, and as the probability of no effect says."""
    table = pd.DataFrame(
        {"study": list("abcde"), "effect": [0.2, 0.1, 0.3, -0.1, 0.25], "se": [0.2, 0.25, 0.3, 0.2, 0.3]}
    )
    model = bd.SmallStudies(
        measure="standardised-difference", favours="positive", pooled_effect="average", spread="average", bias="absent"
    )
    fit = bd.fit(model, table, draws=500, progress=False)
    for name in ("mu", "tau"):
        np.testing.assert_array_equal(fit.posterior[name].values, fit.estimands[name].values)
        assert f"{name}_if_present" in fit.posterior
    zero = (fit.posterior["mu"].values == 0).mean()
    answers = model.averaged(fit.data)
    assert zero == pytest.approx(1 - answers.inclusion("effect")[1], abs=4 * math.sqrt(0.25 / 2000))
    row = bd.summarise(fit).set_index("estimand").loc["mu"]
    spike = 1 - answers.inclusion("effect")[1]
    above = 1 - float(answers.marginal("mu").cdf(0.0))
    assert row["prob_gt_null"] == pytest.approx(above, abs=1e-9)
    assert row["false_sign_rate"] == pytest.approx(1 - above, abs=1e-9)  # no effect at all is also a wrong sign
    assert row["false_sign_rate"] > spike


def test_nothing_is_integrated_that_is_not_there():
    """A probability of one: the covariance's engine with independent errors is the plain one, by scipy's quadrature."""
    y, se = np.array([0.2, 0.5]), np.array([0.1, 0.3])
    table = pd.DataFrame({"study": ["a", "b"], "effect": y, "se": se})
    model = bd.Meta(measure="standardised-difference", within_correlation=0.0)
    tau = bd.Prior("HalfNormal", sigma=0.5).scipy

    def height(t):
        covariance = np.diag(se**2 + t**2) + 1.0
        return stats.multivariate_normal.pdf(y, [0, 0], covariance) * tau.pdf(t)

    total = integrate.quad(height, 0, 5, epsabs=0, epsrel=1e-10)[0]
    engine = model.hierarchy(model.prepare(table))
    assert engine.log_marginal == pytest.approx(math.log(total), abs=1e-9)
