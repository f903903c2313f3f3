"""Posteriors as priors: mixtures against quadrature, borrowed controls against closed forms."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from pymc.model.transform.conditioning import prune_vars_detached_from_observed
from scipy import integrate, special, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.data.toml_text import read_toml
from bayesdep.inference import compile_once as compiled_module
from bayesdep.inference.compile_once import compile_once
from bayesdep.inference.computation import Computation
from bayesdep.inference.evaluate import from_prior
from bayesdep.inference.settings import settings
from bayesdep.models.parts.priors import parse_prior
from bayesdep.models.trial.means import everybody_in
from bayesdep.numerics.draws import stack_draws
from bayesdep.numerics.fitted_mixtures import Fitted, difference_of_cdf, effective_patients, fit_mixture
from bayesdep.numerics.marginals import NormalMixture
from bayesdep.planning import next_prior
from bayesdep.planning.next_prior import as_prior

EVEN = (np.arange(4000) + 0.5) / 4000
PLACEBO = pd.DataFrame({"study": list("abcd"), "effect": [-7.1, -5.8, -8.0, -6.5], "se": [0.9, 1.1, 1.2, 0.8]})
META = bd.Meta(
    measure="difference", units="points",
    priors={"mu": {"dist": "Normal", "mu": 0, "sigma": 20}, "tau": {"dist": "HalfNormal", "sigma": 2}},
)  # fmt: skip
EVENTS = pd.DataFrame({"study": list("abcdef"), "events": [10, 14, 8, 20, 9, 13], "n": [40, 50, 42, 61, 37, 50]})
ROBUST = bd.Prior("NormalMixture", weights=[0.8, 0.2], mu=[-8, -8], sigma=[0.8, 6])
SD, EFFECT_SD, EACH = 6.0, 9.0, 20  # of the trials below


@pytest.fixture(scope="module")
def historical():
    return bd.fit(META, PLACEBO, seed=1)


# Mixtures in the place of draws


def test_draws_of_a_normal_are_one_normal():
    found = fit_mixture(3 + 2 * stats.norm.ppf(EVEN), 4000).mixture
    assert len(found.weights) == 1
    # quantiles at the middles of 4,000 equal parts lack a share 2e-4 of the sd, and groups of them 3e-4
    np.testing.assert_allclose([found.means[0], found.sds[0]], [3, 2], rtol=1e-3)


@pytest.mark.parametrize("heavy", [stats.t(3), stats.laplace(), stats.gumbel_r()], ids=["t", "Laplace", "Gumbel"])
def test_a_few_normals_stand_for_a_distribution_with_other_tails(heavy):
    """The largest difference is found on a fine grid, and at the draws."""
    draws = heavy.ppf(EVEN)
    found = fit_mixture(draws, 4000).mixture
    grid = heavy.ppf(np.linspace(1e-4, 1 - 1e-4, 20001))
    difference = np.abs(found.cdf(grid) - heavy.cdf(grid)).max()
    assert 2 <= len(found.weights) <= 4
    assert difference < 0.01
    assert np.abs(stats.norm.cdf(grid, draws.mean(), draws.std()) - heavy.cdf(grid)).max() > 2 * difference
    # a step of the draws' distribution function is 1 / 4000
    assert difference_of_cdf(found, draws) == pytest.approx(difference, abs=1.5 / 4000)


def test_a_component_is_added_only_where_the_draws_are_enough_to_show_it():
    draws = stats.t(8).ppf(EVEN)
    assert [len(fit_mixture(draws, effective).mixture.weights) for effective in (20, 4000)] == [1, 2]


# How many patients a prior is worth


def test_a_normal_prior_is_worth_the_ratio_of_variances():
    one = NormalMixture(np.ones(1), np.array([3.0]), np.array([0.7]))
    assert effective_patients(one, lambda x: np.full(x.shape, 1 / 7**2)) == pytest.approx(100, rel=1e-12)


def test_the_expected_local_information_ratio_is_its_integral():
    """By the trapezoidal rule, with the log density's second derivative by differences; one patient's log odds."""
    of = NormalMixture(np.array([0.5, 0.3, 0.2]), np.array([-1.0, 0.5, 0.0]), np.array([0.3, 0.8, 2.0]))
    x = np.linspace(-22, 22, 400_001)
    density = of.weights @ stats.norm.pdf(x, of.means[:, None], of.sds[:, None])
    bend = np.gradient(np.gradient(np.log(density), x), x)
    expected = np.trapezoid(-bend / (special.expit(x) * special.expit(-x)) * density, x)
    found = effective_patients(of, lambda x: special.expit(x) * special.expit(-x))
    assert found == pytest.approx(expected, rel=1e-6)


def test_far_components_are_integrated_as_near_ones():
    """A mean's information is the same everywhere, and then the integral is that of the score's square."""
    of = NormalMixture(np.array([0.8, 0.2]), np.array([-1.0, 5.0]), np.array([0.3, 60.0]))
    x = np.linspace(-600, 600, 2_400_001)
    density = of.weights @ stats.norm.pdf(x, of.means[:, None], of.sds[:, None])
    expected = 9 * np.trapezoid(density * np.gradient(np.log(density), x) ** 2, x)
    assert effective_patients(of, lambda x: np.full(x.shape, 1 / 9)) == pytest.approx(expected, rel=1e-6)


def test_a_prior_after_data_is_worth_the_patients_that_were_added():
    """Predictive consistency (Neuenschwander et al. 2020): after n patients the expectation is n more."""
    prior, n, sd = NormalMixture(np.array([0.7, 0.3]), np.array([0.0, 0.5]), np.array([0.5, 3.0])), 10, 4.0

    def information(x):
        return np.full(x.shape, 1 / sd**2)

    predictive = NormalMixture(prior.weights, prior.means, np.hypot(prior.sds, sd / math.sqrt(n)))
    nodes = np.linspace(-25, 25, 401)
    density = predictive.weights @ stats.norm.pdf(nodes, predictive.means[:, None], predictive.sds[:, None])
    after = [effective_patients(conjugate(prior, y, sd**2 / n), information) for y in nodes]
    expected = np.trapezoid(density * np.array(after), nodes)
    assert expected == pytest.approx(effective_patients(prior, information) + n, rel=1e-5)


def conjugate(prior, y, variance):
    """The posterior of a mean given one observation with known variance: again a mixture of normals."""
    precision = 1 / prior.sds**2 + 1 / variance
    evidence = prior.weights * stats.norm.pdf(y, prior.means, np.sqrt(prior.sds**2 + variance))
    mean = (prior.means / prior.sds**2 + y / variance) / precision
    return NormalMixture(evidence / evidence.sum(), mean, np.sqrt(1 / precision))


# as_prior


def test_the_prior_of_a_new_study_is_the_predictive_distribution_by_quadrature(historical):
    """Integrals over mu in closed form, over tau by scipy: independent of the package's engine."""
    y, se = PLACEBO["effect"].to_numpy(), PLACEBO["se"].to_numpy()

    def parts(tau):
        w = 1 / (se**2 + tau**2)
        precision = w.sum() + 1 / 20**2
        mean = (w @ y) / precision
        log_evidence = 0.5 * (np.log(w).sum() - np.log(precision) - (w @ y**2) + precision * mean**2)
        return mean, 1 / precision, np.exp(log_evidence + 20) * stats.halfnorm.pdf(tau, scale=2)

    total = integrate.quad(lambda tau: parts(tau)[2], 0, 30, limit=400)[0]

    def below(x):
        def integrand(tau):
            mean, variance, density = parts(tau)
            return density * stats.norm.cdf(x, mean, math.sqrt(variance + tau**2))

        return integrate.quad(integrand, 0, 30, limit=400)[0] / total

    found = as_prior(historical, robust_weight=0)
    grid = np.linspace(-15, 2, 60)
    difference = np.abs(found.prior.scipy.cdf(grid) - [below(x) for x in grid]).max()
    assert difference <= found.difference + 1 / 4000
    assert found.difference < 0.005


def test_the_vague_component_has_the_stated_weight_and_one_patients_information(historical):
    found = as_prior(historical, robust_weight=0.3, unit_sd=7)
    plain = as_prior(historical, robust_weight=0, unit_sd=7)
    assert found.prior["weights"][-1] == 0.3
    assert found.prior["sigma"][-1] == 7
    assert found.prior["mu"][-1] == pytest.approx(plain.prior.scipy.mean(), abs=0.01)
    grid = np.linspace(-15, 2, 30)
    expected = 0.7 * plain.prior.scipy.cdf(grid) + 0.3 * stats.norm.cdf(grid, found.prior["mu"][-1], 7)
    np.testing.assert_allclose(found.prior.scipy.cdf(grid), expected, atol=2e-4)  # weights have four decimals
    assert found.patients == pytest.approx(plain.patients, rel=1e-3)
    own = as_prior(historical, robust_weight=0.3, vague=bd.Prior("Normal", mu=0, sigma=30))
    assert (own.prior["mu"][-1], own.prior["sigma"][-1], own.patients) == (0, 30, None)


def test_a_plan_reads_the_line_that_a_prior_prints(historical):
    found = as_prior(historical, robust_weight=0.2, unit_sd=7)
    line = str(found).splitlines()[-1]
    assert line == found.line("PARAMETER")
    read = parse_prior("mu", read_toml(line)["PARAMETER"])
    assert read == found.prior
    assert read.why == found.prior.why
    assert "effect in a new study (theta_new)" in read.why


def test_log_odds_need_no_sd_from_patient_to_patient(historical):
    """Draws of a Markov chain: their own distribution function is the reference."""
    model = bd.Meta(measure="log-odds", input="events", likelihood="gaussian")
    fit = bd.fit(model, EVENTS, seed=1)
    found = as_prior(fit, robust_weight=0.1)
    centre = found.prior["mu"][-1]
    assert found.prior["sigma"][-1] == pytest.approx(
        1 / math.sqrt(special.expit(centre) * special.expit(-centre)), 1e-3
    )
    assert found.patients > 20


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"name": "tau", "robust_weight": 0.2}, "does not take all real values"),
        ({"name": "theta", "robust_weight": 0.2}, "is no parameter that has a prior in this fit's model; did you mean"),
        ({"robust_weight": 1}, "robust_weight = 1, but a number from 0 to below 1 is needed"),
        ({"robust_weight": 0.2}, "give unit_sd, the sd from patient to patient, or vague ="),
        ({"robust_weight": 0.2, "unit_sd": 0}, "unit_sd = 0, but a number above zero is needed"),
        ({"robust_weight": 0.2, "vague": bd.Prior("HalfNormal", sigma=1)}, "but a Normal in the parameter's units"),
        ({"robust_weight": 0, "vague": bd.Prior("Normal", mu=0, sigma=1)}, "robust_weight = 0 leaves it out"),
        ({"robust_weight": 0.2, "unit_sd": 7, "at": {"arm": "a"}}, "has no dim 'arm'; leave it out"),
    ],
)
def test_what_cannot_be_a_prior_is_refused_in_a_sentence(historical, asked, said):
    with pytest.raises(BadInput) as raised:
        as_prior(historical, **asked)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_normals_that_do_not_describe_a_posterior_are_refused(historical, monkeypatch):
    wrong = NormalMixture(np.ones(1), np.zeros(1), np.ones(1))
    monkeypatch.setattr(next_prior, "fit_mixture", lambda draws, effective: Fitted(wrong, 0.0))
    with pytest.raises(
        BadInput, match=r"'theta_new' is not well described by a mixture of four normals, .* \d\.\d\d off"
    ):
        as_prior(historical, robust_weight=0)


@pytest.mark.sampling
def test_a_parameter_of_a_chain_becomes_a_prior_in_its_own_units():
    """The first trial's effect, as the second one's prior: its distribution is that of the draws."""
    fit = bd.fit(flat_model(), flat_trial(-7.5, -11.5), seed=4, draws=1000)
    asked = {"robust_weight": 0.5, "vague": bd.Prior("Normal", mu=0, sigma=9)}
    found = as_prior(fit, "arm_effect", **asked)
    draws = fit.posterior["arm_effect"].values.ravel()
    grid = np.quantile(draws, np.linspace(0.01, 0.99, 50))
    of_draws = (draws[:, None] <= grid).mean(axis=0)
    expected = 0.5 * of_draws + 0.5 * stats.norm.cdf(grid, 0, 9)
    assert np.abs(found.prior.scipy.cdf(grid) - expected).max() <= 0.5 * found.difference + 1e-3
    assert found.of == "Difference between arms, mean over visits (points)"
    assert flat_model(arm_effect=found.prior).priors["arm_effect"] == found.prior
    with pytest.raises(BadInput, match=r"name the parameter whose posterior is to be a prior; known: .*control_mean"):
        as_prior(fit, **asked)


# Borrowed controls in a trial


def flat_trial(control, drug):
    """Two arms at one visit, whose means are given; synthetic."""
    around = stats.norm.ppf((np.arange(EACH) + 0.5) / EACH) * SD
    rows = [
        (f"{arm}{i}", arm, 1, mean + x) for arm, mean in (("p", control), ("d", drug)) for i, x in enumerate(around)
    ]
    return pd.DataFrame(rows, columns=["subject", "arm", "visit", "outcome"])


def flat_model(prior=ROBUST, **priors):
    known_sd = bd.Prior("LogNormal", mu=math.log(SD), sigma=1e-4)
    effect = bd.Prior("Normal", mu=0, sigma=EFFECT_SD)
    given = {"control_mean": prior, "residual_sd": known_sd, "arm_effect": effect}
    return bd.Trial(reference="p", baseline=None, control_prior="last", scale=SD, priors=given | priors)


def closed_form(control, drug, prior=ROBUST):
    """The posterior of control mean and effect where the residual sd is known, component by component."""
    design, noise = np.array([[1.0, 0.0], [1.0, 1.0]]), SD**2 / EACH * np.eye(2)
    y, parts = np.array([control, drug]), []
    for w, mu, sigma in zip(*(prior[k] for k in ("weights", "mu", "sigma")), strict=True):
        before = np.diag([sigma**2, EFFECT_SD**2])
        evidence = w * stats.multivariate_normal(design @ [mu, 0], design @ before @ design.T + noise).pdf(y)
        gain = before @ design.T @ np.linalg.inv(design @ before @ design.T + noise)
        parts.append((evidence, [mu, 0] + gain @ (y - design @ [mu, 0]), before - gain @ design @ before))
    weights = np.array([p[0] for p in parts])
    return weights / weights.sum(), np.array([p[1] for p in parts]), np.array([p[2] for p in parts])


def test_a_conflict_moves_all_weight_to_the_vague_component_in_closed_form():
    after = [closed_form(mean, mean - 3)[0][1] for mean in (-8, -5, -2, 1)]
    assert after == sorted(after)
    assert after[0] < 0.12 < 0.999 < after[-1]


@pytest.mark.sampling
@pytest.mark.parametrize("control", [-7.5, -4.5, -1.0], ids=["agrees", "doubtful", "conflicts"])
def test_a_trial_that_borrows_controls_has_the_posterior_in_closed_form(control):
    fit = bd.fit(flat_model(), flat_trial(control, control - 4), seed=3, draws=2000)
    assert fit.gate.passed
    weights, means, covariances = closed_form(control, control - 4)
    for k, draws in enumerate((fit.posterior["control_mean"], fit.estimands["mean_difference"].squeeze("comparison"))):
        draws = draws.transpose("chain", "draw").values
        mean = weights @ means[:, k]
        sd = math.sqrt(weights @ (covariances[:, k, k] + (means[:, k] - mean) ** 2))
        error = float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="mean"))
        of_sd = float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="sd"))
        assert error < 0.1 * sd
        assert abs(draws.mean() - mean) < 4 * error
        assert abs(draws.std() - sd) < 4 * of_sd
    found = bd.check_borrowing(fit)
    assert found["parameter"].tolist() == ["control_mean"] * 2
    assert found["before"].tolist() == [0.8, 0.2]
    share = found["after"].to_numpy()
    assert share.sum() == pytest.approx(1)
    # the share at a draw lies between 0 and 1, so its sd is at most 1/2
    ess = float(array_stats.ess(fit.posterior["control_mean"].values, chain_axis=0, draw_axis=1, method="bulk"))
    np.testing.assert_allclose(share, weights, atol=4 * 0.5 / math.sqrt(ess))


def wide_trial():
    """Three arms, three visits, baseline and a moderator; synthetic."""
    rng = np.random.default_rng(5)
    rows = [
        (f"s{i}", "pde"[i % 3], visit, 20 + i % 7, 1.0 + i % 5, 15 + 6 * rng.normal())
        for i in range(30)
        for visit in (2, 4, 8)
    ]
    return pd.DataFrame(rows, columns=["subject", "arm", "visit", "baseline", "crp", "outcome"])


@pytest.mark.parametrize(("place", "time"), [("last", "visits"), ("mean", "weeks")])
def test_the_parameter_is_the_control_arms_mean_and_the_rest_has_its_own_prior(place, time):
    """Means of the control arm's patients from prior draws, at mean baseline and moderator, by another function."""
    prior = bd.Prior("NormalMixture", weights=[0.6, 0.4], mu=[14, 20], sigma=[1, 5])
    model = bd.Trial(
        reference="p", covariance="ar1", moderator="crp", moderator_form="linear", scale=6.0, time=time,
        control_prior=place, priors={"control_mean": prior},
    )  # fmt: skip
    data = model.prepare(wide_trial())
    graph = model.build(data)
    names = [v.name for v in [*graph.free_RVs, *graph.deterministics]]
    drawn = from_prior([graph[name] for name in names], 2000, seed=6)
    posterior = {
        name: (("chain", "draw", *(graph.named_vars_to_dims.get(name) or ())), x[None])
        for name, x in zip(names, drawn, strict=True)
    }
    draws = stack_draws(xr.Dataset(posterior))
    means = model.expected(draws, everybody_in(0, data)).mean(axis=1)  # baseline and moderator are centred
    of_control = means[:, -1] if place == "last" else means.mean(axis=1)
    control = draws["control_mean"].values
    np.testing.assert_allclose(of_control, control, rtol=1e-10)
    assert stats.kstest(control, prior.scipy.cdf).pvalue > 1e-3
    # what is beside it: the other visits' means, or departures, as the prior of visit_mean has them
    beside = draws["visit_mean"].transpose("sample", "visit").values
    if place == "last":
        expected = {"sd": 12.0, "values": beside[:, :-1]}
    else:  # an independent normal less the mean of three
        expected = {"sd": 12.0 * math.sqrt(2 / 3), "values": beside - beside.mean(axis=1, keepdims=True)}
    found = expected["values"]
    np.testing.assert_allclose(found.std(axis=0), expected["sd"], rtol=4 / math.sqrt(2 * 2000))
    for other in (control, draws["arm_effect"].values.reshape(2, -1)[0]):
        assert max(abs(stats.pearsonr(found[:, j], other).statistic) for j in range(found.shape[1])) < 4 / math.sqrt(
            4000
        )


def test_visits_means_need_a_normal_beside_a_prior_of_the_control_arm():
    with pytest.raises(BadInput, match=r"priors\.visit_mean: Cauchy.*with control_prior the other visits' means need"):
        flat_model(visit_mean=bd.Prior("Cauchy", alpha=0, beta=5))
    with pytest.raises(BadInput, match=r"priors\.control_mean is missing: .*give a prior in those units"):
        bd.Trial(reference="p", control_prior="mean")


def compiled_cases():
    slope = bd.Prior("NormalMixture", weights=[0.5, 0.3, 0.2], mu=[0, 0.1, 0], sigma=[0.2, 1, 5])
    of_meta = {"mu": ROBUST, "slope": slope, "tau": bd.Prior("HalfNormal", sigma=2)}
    regression = bd.Meta(measure="difference", units="points", covariates="dose + year", priors=of_meta)
    studies = PLACEBO.assign(dose=[1.0, 2, 3, 5], year=[3.0, 1, 4, 1])
    wide = bd.Trial(reference="p", covariance="ar1", scale=6.0, control_prior="last", priors={"control_mean": ROBUST})
    return {
        "several": (regression, studies),
        "a trial": (wide, wide_trial()),
        "a mean": (flat_model(), flat_trial(1, 2)),
    }


@pytest.mark.sampling
@pytest.mark.parametrize("name", ["several", "a trial", "a mean"])
def test_llvm_compiles_mixtures_to_pymcs_density(name, monkeypatch, capsys):
    monkeypatch.setattr(settings, "_compiler", "llvm")
    monkeypatch.setattr(compiled_module, "compiled_densities", [])
    model, table = compiled_cases()[name]
    core = prune_vars_detached_from_observed(model.build(model.prepare(table)))
    bound = compile_once(core)
    assert bound.density.compiler == "llvm", capsys.readouterr().err
    computation = Computation.of(core)
    values = list(computation.values)
    outputs = [computation.logp, *pytensor.grad(computation.logp, values)]
    plain = pytensor.function(values, outputs, mode="FAST_COMPILE", on_unused_input="ignore")
    ends = np.cumsum([int(np.prod(s)) for s in bound.density.shapes])[:-1]
    evaluate, rng = bound.evaluator(), np.random.default_rng(1)
    for scale in (0.1, 0.5, 3.0):
        point = bound.start + scale * rng.normal(size=bound.n_dim)
        found, slopes = evaluate(point)
        pieces = [p.reshape(s) for p, s in zip(np.split(point, ends), bound.density.shapes, strict=True)]
        expected, *by = plain(*(p.astype(v.dtype) for p, v in zip(pieces, values, strict=True)))
        gradient = np.concatenate([np.ravel(x) for x in by])
        assert found == pytest.approx(float(expected), rel=1e-10, abs=1e-10)
        np.testing.assert_allclose(slopes, gradient, rtol=1e-9, atol=1e-10 * np.abs(gradient).max())


def test_a_fit_without_a_mixture_has_no_weights(historical):
    with pytest.raises(BadInput, match=r"no prior of this fit is a mixture; give one as bd.as_prior makes it"):
        bd.check_borrowing(historical)


# What the how-to page states

PAGE = (Path(bd.__file__).parents[1] / "docs" / "howto" / "borrowing.md").read_text(encoding="utf-8")
DRIFTS = (0, -1, -2, -4, -8, 2)
TRIAL_SD, PRIOR_OF_EFFECT = 7.0, 10.0


def share_declared(weights, mu, sigma, truth, effect, controls, treated):
    """How often P(effect < 0) > 0.975: a sum over both arms' observed means, the posterior in closed form."""
    noise = TRIAL_SD**2 / np.array([controls, treated])
    z = np.linspace(-7, 7, 561)
    first = (truth + math.sqrt(noise[0]) * z)[:, None]
    second = (truth + effect + math.sqrt(noise[1]) * z)[None, :]
    evidence, below = 0.0, 0.0
    for w, m, s in zip(weights, mu, sigma, strict=True):
        own = s**2 + noise[0]
        other = s**2 + PRIOR_OF_EFFECT**2 + noise[1]
        determinant = own * other - s**4
        a, b = first - m, second - m
        square = (other * a**2 - 2 * s**2 * a * b + own * b**2) / determinant
        density = w * np.exp(-square / 2) / math.sqrt(determinant)
        gain = PRIOR_OF_EFFECT**2 / determinant
        mean, variance = gain * (own * b - s**2 * a), PRIOR_OF_EFFECT**2 * (1 - gain * own)
        evidence = evidence + density
        below = below + density * stats.norm.cdf(-mean / math.sqrt(variance))
    each = stats.norm.pdf(z) * (z[1] - z[0])
    return float(each @ (below / evidence > 0.975) @ each)


def test_the_page_prints_what_its_code_prints_and_its_table_is_computed():
    code, printed = re.findall(r"```(?:python|text)\n(.*?)```", PAGE, flags=re.DOTALL)[:2]
    names = {}
    exec(code.replace("print(found)", ""), names)  # the page's own code
    found = names["found"]
    line = printed.strip().splitlines()[-1]
    shown = parse_prior("mu", read_toml(line)["PARAMETER"])
    grid = np.linspace(-30, 15, 200)
    np.testing.assert_allclose(shown.scipy.cdf(grid), found.prior.scipy.cdf(grid), atol=1e-3)  # another processor's fit
    (worth,) = re.findall(r"worth ([0-9.]+) patients", printed)
    assert float(worth) == pytest.approx(found.patients_robust, rel=0.01)
    rows = re.findall(r"^\| (nothing borrowed|[0-9.]+) \|(.*)\|$", PAGE, flags=re.MULTILINE)
    of = {k: np.array(shown[k]) for k in ("weights", "mu", "sigma")}
    assert len(rows) == 4
    for name, cells in rows:
        if name == "nothing borrowed":
            prior = ([1.0], [0.0], [100.0])
        else:
            weights = np.append(of["weights"][:-1] / 0.8 * (1 - float(name)), float(name))
            prior = (weights, of["mu"], of["sigma"])
        computed = [share_declared(*prior, -6.711 + drift, 0, 20, 40) for drift in DRIFTS]
        computed.append(share_declared(*prior, -6.711, -4, 20, 40))
        # three decimals; the edge of the region is known to a cell of the sum, 0.025 sd
        np.testing.assert_allclose([float(x) for x in cells.split("|")], computed, atol=1.5e-3)
    doubled = share_declared([1.0], [0.0], [100.0], -6.711, -4, 40, 40)
    assert f"power of {doubled:.3f}" in PAGE


def test_the_sum_over_observed_means_is_right_where_the_answer_is_known():
    """Without borrowing and with a flat prior of the effect the decision is a z test of level 2.5%."""
    sd = TRIAL_SD * math.sqrt(1 / 20 + 1 / 40)
    shrunken = PRIOR_OF_EFFECT**2 / (PRIOR_OF_EFFECT**2 + sd**2)
    limit = stats.norm.ppf(0.975) / math.sqrt(shrunken)  # of z, beyond which the posterior is convinced
    assert share_declared([1.0], [0.0], [1e4], -6.7, 0, 20, 40) == pytest.approx(stats.norm.sf(limit), abs=1e-3)
