"""Priors: the densities of scipy and PyMC agree, messages help, and a plan's form round-trips."""

import dataclasses
import math
import pickle

import numpy as np
import pymc as pm
import pytest
from scipy import stats

from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import from_prior, uncompiled, value_of
from bayesdep.models.counts.model import Counts
from bayesdep.models.cytokines.model import Cytokines
from bayesdep.models.meta.model import Meta
from bayesdep.models.parts.coordinates import in_multiples
from bayesdep.models.parts.priors import fill_slots, parse_prior
from bayesdep.numerics.distributions import _FAMILIES, Prior

EXAMPLES = {
    "Normal": Prior("Normal", mu=-0.3, sigma=1.7),
    "StudentT": Prior("StudentT", nu=4, mu=0.5, sigma=0.8),
    "Cauchy": Prior("Cauchy", alpha=-1, beta=2.5),
    "HalfNormal": Prior("HalfNormal", sigma=0.5),
    "HalfCauchy": Prior("HalfCauchy", beta=0.5),
    "Exponential": Prior("Exponential", lam=3.0),
    "Gamma": Prior("Gamma", alpha=2, beta=0.1),
    "LogNormal": Prior("LogNormal", mu=-1.2, sigma=0.9),
    "LogStudentT": Prior("LogStudentT", nu=5, mu=-1.2, sigma=0.9),
    "Uniform": Prior("Uniform", lower=-2, upper=0.5),
    "Beta": Prior("Beta", alpha=0.5, beta=3),
    "NormalMixture": Prior("NormalMixture", weights=[0.6, 0.3, 0.1], mu=[-1.5, 0, 4], sigma=[0.4, 1.5, 6]),
}

# The density as a textbook prints it, with the names PyMC gives the parameters: independent of scipy's own
# parameterisation, which is what is easily got wrong.
TEXTBOOK = {
    "Normal": lambda x, mu, sigma: np.exp(-((x - mu) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi)),
    "StudentT": lambda x, nu, mu, sigma: (
        math.gamma((nu + 1) / 2)
        / (math.gamma(nu / 2) * math.sqrt(nu * math.pi) * sigma)
        * (1 + ((x - mu) / sigma) ** 2 / nu) ** (-(nu + 1) / 2)
    ),
    "Cauchy": lambda x, alpha, beta: 1 / (math.pi * beta * (1 + ((x - alpha) / beta) ** 2)),
    "HalfNormal": lambda x, sigma: math.sqrt(2 / math.pi) / sigma * np.exp(-(x**2) / (2 * sigma**2)),
    "HalfCauchy": lambda x, beta: 2 / (math.pi * beta * (1 + (x / beta) ** 2)),
    "Exponential": lambda x, lam: lam * np.exp(-lam * x),
    "Gamma": lambda x, alpha, beta: beta**alpha / math.gamma(alpha) * x ** (alpha - 1) * np.exp(-beta * x),
    "LogNormal": lambda x, mu, sigma: (
        np.exp(-((np.log(x) - mu) ** 2) / (2 * sigma**2)) / (x * sigma * math.sqrt(2 * math.pi))
    ),
    "LogStudentT": lambda x, nu, mu, sigma: (
        math.gamma((nu + 1) / 2)
        / (math.gamma(nu / 2) * math.sqrt(nu * math.pi) * sigma * x)
        * (1 + ((np.log(x) - mu) / sigma) ** 2 / nu) ** (-(nu + 1) / 2)
    ),
    "Uniform": lambda x, lower, upper: np.full_like(x, 1 / (upper - lower)),
    "Beta": lambda x, alpha, beta: (
        math.gamma(alpha + beta) / (math.gamma(alpha) * math.gamma(beta)) * x ** (alpha - 1) * (1 - x) ** (beta - 1)
    ),
    "NormalMixture": lambda x, weights, mu, sigma: sum(
        w * np.exp(-((x - m) ** 2) / (2 * s**2)) / (s * math.sqrt(2 * math.pi))
        for w, m, s in zip(weights, mu, sigma, strict=True)
    ),
}


def test_every_family_has_an_example_here():
    assert set(EXAMPLES) == set(TEXTBOOK) == set(_FAMILIES)


@pytest.mark.parametrize("prior", EXAMPLES.values(), ids=EXAMPLES)
def test_scipy_and_pymc_density_equal_the_textbook(prior):
    grid = prior.scipy.ppf(np.linspace(0.001, 0.999, 41))
    textbook = np.log(TEXTBOOK[prior.dist](grid, **dict(prior.parameters)))
    with pm.Model():
        rv = prior.rv("x")
    of_pymc = value_of(pm.logp(rv, grid))
    # 1e-10: gamma functions in double precision, a few hundred units in the last place
    np.testing.assert_allclose(prior.scipy.logpdf(grid), textbook, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(of_pymc - of_pymc[0], textbook - textbook[0], rtol=1e-10, atol=1e-10)
    # PyMC computes the log(2) of a half-Cauchy in single precision (half a unit in its last place is 3e-8): a constant
    np.testing.assert_allclose(of_pymc, textbook, rtol=0, atol=3e-8 if prior.dist == "HalfCauchy" else 1e-10)


@pytest.mark.parametrize("prior", EXAMPLES.values(), ids=EXAMPLES)
def test_pymc_draws_follow_the_scipy_distribution(prior):
    with pm.Model(coords={"study": range(3)}):
        rv = prior.rv("x", dims="study")
    (drawn,) = from_prior([rv], 1000, seed=20)
    assert drawn.shape == (1000, 3)
    assert stats.kstest(drawn.ravel(), prior.scipy.cdf).pvalue > 1e-4  # ten tests: false alarm 1 in 1000


@pytest.mark.parametrize("prior", EXAMPLES.values(), ids=EXAMPLES)
def test_interval_holds_95_percent(prior):
    lower, upper = prior.interval
    assert prior.scipy.cdf(upper) - prior.scipy.cdf(lower) == pytest.approx(0.95, abs=1e-12)
    if prior.dist in ("HalfNormal", "HalfCauchy", "Exponential"):
        assert lower == 0


@pytest.mark.parametrize("prior", EXAMPLES.values(), ids=EXAMPLES)
def test_a_prior_round_trips_through_its_plan_form(prior):
    assert parse_prior("x", prior.to_dict()) == prior
    assert parse_prior("x", prior) is prior


def test_parameters_are_kept_in_the_order_of_the_family_so_that_equal_priors_are_equal():
    assert Prior("Normal", sigma=2, mu=1) == Prior("Normal", mu=1, sigma=2)
    assert hash(Prior("Normal", sigma=2, mu=1)) == hash(Prior("Normal", mu=1, sigma=2))
    assert repr(Prior("Normal", sigma=2, mu=1)) == "Normal(mu=1, sigma=2)"
    assert Prior("Normal", sigma=2, mu=1)["sigma"] == 2


def test_a_mixture_is_rescaled_component_by_component_and_its_interval_leaves_as_much_on_each_side():
    prior = Prior("NormalMixture", weights=[0.8, 0.2], mu=[-1, 0], sigma=[0.5, 2], times_scale=True)
    assert prior.in_units(10) == Prior("NormalMixture", weights=[0.8, 0.2], mu=[-10, 0], sigma=[5, 20])
    assert repr(prior) == "NormalMixture(weights=[0.8, 0.2], mu=[-1, 0], sigma=[0.5, 2]) times scale"
    lower, upper = prior.interval

    def below(x):
        return 0.8 * stats.norm.cdf(x, -1, 0.5) + 0.2 * stats.norm.cdf(x, 0, 2)

    np.testing.assert_allclose([below(lower), below(upper)], [0.025, 0.975], rtol=1e-12)


def test_a_mixture_of_equal_components_is_their_normal():
    grid = np.linspace(-60.0, 60.0, 25)  # far out, where a plain sum of densities underflows
    same = Prior("NormalMixture", weights=[0.3, 0.7], mu=[1, 1], sigma=[0.5, 0.5])
    normal = Prior("Normal", mu=1, sigma=0.5)
    np.testing.assert_allclose(same.scipy.logpdf(grid), normal.scipy.logpdf(grid), rtol=1e-13)
    with pm.Model():
        of_pymc = value_of(pm.logp(same.rv("x"), grid))
    np.testing.assert_allclose(of_pymc, normal.scipy.logpdf(grid), rtol=1e-13)


@pytest.mark.parametrize("prior", [EXAMPLES["NormalMixture"], EXAMPLES["Normal"]], ids=["mixture", "normal"])
def test_a_prior_in_multiples_of_a_unit_has_the_same_density_and_draws(prior):
    import pytensor

    with pm.Model() as model:
        rv = in_multiples(prior, "x", pytensor.shared(np.array(3.0), name="unit"))
    u = np.array([-2.0, -0.1, 0.7])
    found = [float(model.compile_logp(mode=uncompiled())({"x_scaled__": at})) for at in u]
    np.testing.assert_allclose(found, prior.scipy.logpdf(3 * u) + math.log(3), rtol=1e-12)
    (drawn,) = from_prior([rv], 1000, seed=21)
    assert stats.kstest(drawn.ravel(), prior.scipy.cdf).pvalue > 1e-3
    start = model.initial_point()["x_scaled__"] * 3
    assert start == pytest.approx(prior.scipy.mean(), abs=1e-6)


def test_hyperparameters_are_shared_variables_not_constants():
    from pytensor.compile.sharedvalue import SharedVariable
    from pytensor.graph.traversal import graph_inputs

    with pm.Model():
        rv = Prior("Normal", mu=3, sigma=4).rv("x")
    shared = [v for v in graph_inputs([rv]) if isinstance(v, SharedVariable) and str(v.name).startswith("x.")]
    assert {v.name: float(v.get_value()) for v in shared} == {"x.mu": 3.0, "x.sigma": 4.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dist": "Norml", "mu": 0, "sigma": 1}, "no distribution 'Norml'; did you mean 'Normal'"),
        ({"dist": "halfnormal", "sigma": 1}, "did you mean 'HalfNormal'"),
        ({"dist": "Zzz"}, "known: Beta, Cauchy, Exponential"),
        ({"dist": "Normal", "mu": 0, "sd": 1}, "no parameter 'sd'; "),
        ({"dist": "Normal", "mu": 0, "sigm": 1}, "no parameter 'sigm'; did you mean 'sigma'"),
        ({"dist": "Normal", "mu": 0}, "'sigma' is missing; give mu and sigma"),
        ({"dist": "Normal", "mu": math.nan, "sigma": 1}, "mu = nan, but it must be a finite number"),
        ({"dist": "Normal", "mu": 0, "sigma": math.inf}, "sigma = inf, but it must be a finite number"),
        ({"dist": "Normal", "mu": "0", "sigma": 1}, "mu = '0', but it must be a finite number"),
        ({"dist": "Normal", "mu": True, "sigma": 1}, "mu = True, but it must be a finite number"),
        ({"dist": "Normal", "mu": 0, "sigma": 0}, "sigma = 0, but it must be above zero"),
        ({"dist": "Gamma", "alpha": 2, "beta": -0.1}, "beta = -0.1, but it must be above zero"),
        ({"dist": "Uniform", "lower": 1, "upper": 1}, "lower = 1 is not below upper = 1; swap them"),
        ({"dist": "Uniform", "lower": 2, "upper": 1}, "lower = 2 is not below upper = 1; swap them"),
        (
            {"dist": "NormalMixture", "weights": 1, "mu": [0], "sigma": [1]},
            "weights = 1, but a list is needed, of one number per component, such as",
        ),
        (
            {"dist": "NormalMixture", "weights": [], "mu": [], "sigma": []},
            "weights = [], but a list is needed, of one number per component, such as",
        ),
        (
            {"dist": "NormalMixture", "weights": [0.5, 0.5], "mu": [0], "sigma": [1, 2]},
            "there are 2 of weights and 1 of mu and 2 of sigma; give one of each per component",
        ),
        (
            {"dist": "NormalMixture", "weights": [0.5, 0.4], "mu": [0, 0], "sigma": [1, 2]},
            "weights add to 0.9, but they must add to 1; change them",
        ),
        (
            {"dist": "NormalMixture", "weights": [1.5, -0.5], "mu": [0, 0], "sigma": [1, 2]},
            "weights = -0.5, but it must be above zero",
        ),
        (
            {"dist": "NormalMixture", "weights": [0.5, 0.5], "mu": [0, 0], "sigma": [1, -2]},
            "sigma = -2, but it must be above zero",
        ),
        (
            {"dist": "NormalMixture", "weights": [0.5, 0.5], "mu": [0, "a"], "sigma": [1, 2]},
            "mu = 'a', but it must be a finite number",
        ),
        (
            {"dist": "NormalMixture", "weights": [1 / 21] * 21, "mu": [0] * 21, "sigma": [1] * 21},
            "21 components, but at most 20 are possible; merge some",
        ),
        ({"dist": "NormalMixture", "weights": [1], "mu": [0]}, "'sigma' is missing; give weights and mu and sigma"),
    ],
)
def test_an_impossible_prior_gives_one_helpful_sentence(arguments, message):
    with pytest.raises(BadInput) as raised:
        parse_prior("tau", arguments)
    text = str(raised.value)
    assert message in text
    assert text.startswith("priors.tau: ")
    assert "\n" not in text


@pytest.mark.parametrize("name", [name for name, family in _FAMILIES.items() if any(family.parameters.values())])
def test_every_scale_parameter_must_be_above_zero(name):
    for parameter, positive in _FAMILIES[name].parameters.items():
        several = _FAMILIES[name].is_mixture
        changed = dict(EXAMPLES[name].parameters)
        changed |= {parameter: [-1, *changed[parameter][1:]] if several else -1}
        if positive:
            with pytest.raises(BadInput, match=f"{name} prior: {parameter} = -1, but it must be above zero"):
                Prior(name, **changed)
        else:
            found = Prior(name, **changed)[parameter]
            assert (found[0] if several else found) == -1


@pytest.mark.parametrize("value", [3, "Normal", {"mu": 0, "sigma": 1}, {"dist": 3}, None])
def test_a_prior_that_is_no_table_is_shown_how_to_write_one(value):
    with pytest.raises(BadInput, match=r'priors\.mu is .*; write it as \{ dist = "Normal", mu = 0, sigma = 1 \}'):
        parse_prior("mu", value)


def test_an_unknown_slot_suggests_the_nearest():
    with pytest.raises(BadInput, match=r"priors\.effect_s: the model has no such parameter; did you mean 'effect_sd'"):
        Counts(control="placebo", priors={"effect_s": Prior("HalfNormal", sigma=1)})


@pytest.mark.parametrize("missing", ["mu", "tau"])
def test_a_raw_difference_has_no_default_prior(missing):
    given = {"mu": Prior("Normal", mu=0, sigma=10), "tau": Prior("HalfNormal", sigma=5)}
    del given[missing]
    with pytest.raises(BadInput, match=rf"priors\.{missing} is missing: .*MADRS points.*give a prior in those units"):
        Meta(measure="difference", units="MADRS points", priors=given)


@pytest.mark.parametrize(
    ("slot", "prior", "allowed"),
    [
        ("tau", Prior("Normal", mu=0, sigma=1), False),
        ("tau", Prior("Uniform", lower=-0.1, upper=1), False),
        ("tau", Prior("Uniform", lower=0, upper=10), True),
        ("tau", Prior("LogNormal", mu=-2, sigma=1), True),
        ("tau", Prior("Beta", alpha=1, beta=1), True),
        ("mu", Prior("HalfNormal", sigma=1), True),
        ("mu", Prior("Cauchy", alpha=0, beta=1), True),
    ],
)
def test_a_replacement_must_stay_inside_the_parameters_support(slot, prior, allowed):
    if allowed:
        assert Meta(measure="standardised-difference", priors={slot: prior}).priors[slot] == prior
    else:
        with pytest.raises(BadInput, match=rf"priors\.{slot}: .* reaches outside values from zero up"):
            Meta(measure="standardised-difference", priors={slot: prior})


def test_a_probability_needs_a_prior_between_0_and_1():
    with pytest.raises(BadInput, match=r"priors\.risk: HalfNormal\(sigma=1\) reaches outside values between 0 and 1"):
        Counts(control="placebo", pooling="none", priors={"risk": Prior("HalfNormal", sigma=1)})


def test_slots_are_filled_in_their_own_order_with_defaults_for_the_rest():
    slots = Counts(control="placebo").slots
    filled = fill_slots(slots, {"effect_sd": {"dist": "HalfCauchy", "beta": 0.5}})
    assert list(filled) == list(slots)
    assert filled["effect_sd"] == Prior("HalfCauchy", beta=0.5)
    assert filled["baseline_sd"] == slots["baseline_sd"].default


@pytest.mark.parametrize("prior", [Prior("HalfNormal", sigma=8), Prior("Exponential", lam=0.5)])
def test_a_spread_that_may_be_zero_has_its_prior_in_a_coordinate_with_a_normal_tail(prior):
    """Its density there is the prior's at the value times the derivative, by differences; forwards undoes backwards."""
    with pm.Model() as model:
        prior.rv("spread", may_be_zero=True)
    u = np.array([-8.0, -3.0, -1.0, 0.0, 0.5, 2.0, 6.0])
    transform = model.rvs_to_transforms[model["spread"]]
    inputs = model["spread"].owner.inputs
    value = value_of(transform.backward(u, *inputs))
    unit = 8.0 if prior.dist == "HalfNormal" else 1.0
    known = stats.norm.pdf(u) + u * stats.norm.cdf(u)
    np.testing.assert_allclose(value, unit * known, rtol=1e-12)
    np.testing.assert_allclose(value_of(transform.forward(value, *inputs)), u, rtol=1e-9, atol=1e-12)
    found = [float(model.compile_logp(mode=uncompiled())({"spread_normaltail__": x})) for x in u]
    expected = prior.scipy.logpdf(value) + np.log(unit) + stats.norm.logcdf(u)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    up, down = (value_of(transform.backward(u + step, *inputs)) for step in (1e-5, -1e-5))
    np.testing.assert_allclose((up - down) / 2e-5, unit * stats.norm.cdf(u), rtol=1e-4)


def test_a_model_with_other_settings_keeps_the_priors_that_were_chosen_and_has_defaults_of_its_own():
    chosen = {"level": Prior("Normal", mu=1, sigma=2)}
    over_time = Cytokines(subject="subject", time="time", priors=chosen)
    at_baseline = dataclasses.replace(over_time, time=None)
    assert {"time_effect", "cell_ratio"} <= set(over_time.priors)
    assert at_baseline == Cytokines(subject="subject", priors=chosen)
    assert dataclasses.replace(at_baseline, time="time") == over_time
    assert dataclasses.replace(pickle.loads(pickle.dumps(over_time)), time=None) == at_baseline


def test_a_prior_that_was_chosen_is_not_dropped_in_silence_with_its_parameter():
    over_time = Cytokines(subject="subject", time="time", priors={"time_effect": Prior("Normal", mu=0, sigma=0.3)})
    with pytest.raises(BadInput, match="time_effect: the model has no such parameter"):
        dataclasses.replace(over_time, time=None)
    assert dataclasses.replace(over_time, time=None, priors={}) == Cytokines(subject="subject")
