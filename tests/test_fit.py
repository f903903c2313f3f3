"""Fits: NUTS against quadrature, the same draws from the same seed, a store that keeps every bit, an honest gate."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from common import BCG
from scipy import special, stats

import bayesdep as bd
from bayesdep.inference import compile_once as compiled_module
from bayesdep.models.meta.model import Meta
from bayesdep.models.model import estimand
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.numerics.distributions import Prior
from bayesdep.reporting.estimands import oracle

pytestmark = pytest.mark.sampling

FLAT = {"mu": Prior("Normal", mu=0, sigma=10), "tau": Prior("HalfNormal", sigma=10)}
VACCINE = Meta(measure="log-risk-ratio", input="counts", priors=FLAT, **BCG)
SCHOOLS_PRIORS = {"mu": Prior("Normal", mu=0, sigma=5), "tau": Prior("HalfCauchy", beta=5)}
SCHOOLS = Meta(measure="difference", units="SAT-V points", unit="school", study="school", priors=SCHOOLS_PRIORS)


@pytest.fixture(scope="module")
def bcg():
    return bd.fit(VACCINE, bd.load("bcg_colditz1994"), draws=2000, tune=1000, chains=4, seed=11, sampler="nutpie")


@pytest.fixture(scope="module")
def schools():
    return bd.fit(SCHOOLS, bd.load("eight_schools_rubin1981"), draws=1000, sampler="nutpie", seed=5)


@pytest.fixture(scope="module")
def binomial():
    # control risks of a spread that is all but known, so that a grid over the other two parameters is an oracle
    priors = {
        "baseline_mean": Prior("Normal", mu=-4, sigma=1e-3),
        "baseline_sd": Prior("Uniform", lower=2.499, upper=2.501),
    }
    model = Meta(measure="log-odds-ratio", input="counts", likelihood="binomial", priors=priors, **BCG)
    return bd.fit(model, bd.load("bcg_colditz1994"), draws=500, tune=500, chains=4, seed=2)


def test_nuts_agrees_with_quadrature_within_three_monte_carlo_standard_errors(bcg):
    """Twelve comparisons at one fixed seed; each has its own Monte Carlo standard error."""
    assert bcg.gate.passed, bcg.gate.sentence
    table = oracle(bcg).set_index(["estimand", "statistic"])
    for name in ("mu", "tau", "theta_new"):
        rows = table.loc[name]
        assert list(rows.index) == ["mean", "sd", "q2.5", "q97.5"]
        assert (rows["z"].abs() < 3).all(), rows
        # and the error itself is small, so that the comparison has teeth: 5% of the posterior sd for the quantiles
        assert (rows["mcse"] < 0.1 * rows.loc["sd", "exact"]).all(), rows


def test_every_studys_effect_agrees_with_quadrature(bcg):
    table = oracle(bcg)
    theta = table[table["estimand"] == "theta"]
    assert len(theta) == 13 * 4
    # 52 correlated comparisons: the largest of 52 independent standard normals is below 4 in 99.7%
    assert theta["z"].abs().max() < 4, theta.loc[theta["z"].abs().idxmax()]


@pytest.mark.parametrize("compiler", ["llvm", "pytensor"])
def test_a_reused_compiled_model_gives_the_draws_of_a_fresh_one(compiler, monkeypatch):
    """Nine of the trials with other prior numbers, on an earlier compiled model and on one of their own.

    PyTensor's code serves any number of trials; LLVM's serves the number that it was compiled for.
    """
    monkeypatch.setattr(bd.settings, "_compiler", compiler)
    monkeypatch.setattr(compiled_module, "compiled_densities", [])
    settings = {"draws": 100, "tune": 200, "chains": 2, "seed": 3, "sampler": "nutpie"}
    other = dataclasses.replace(
        VACCINE, priors={"mu": Prior("Normal", mu=0.5, sigma=2), "tau": Prior("HalfNormal", sigma=1)}
    )
    trials = bd.load("bcg_colditz1994")
    table = trials.iloc[2:11]
    bd.fit(VACCINE, trials if compiler == "pytensor" else trials.iloc[:9], **settings)
    reused = bd.fit(other, table, **settings)
    assert len(compiled_module.compiled_densities) == 1  # the first compiled model served
    monkeypatch.setattr(compiled_module, "compiled_densities", [])
    fresh = bd.fit(other, table, **settings)
    assert len(compiled_module.compiled_densities) == 1
    for group in ("posterior", "posterior_predictive", "prior", "sample_stats", "estimands"):
        xr.testing.assert_identical(reused.tree[group].to_dataset(), fresh.tree[group].to_dataset())


def test_same_seed_same_draws_other_seed_other_draws(bcg):
    settings = {"draws": 100, "tune": 200, "chains": 2, "sampler": "nutpie"}
    table = bd.load("bcg_colditz1994")
    one, again, other = (bd.fit(VACCINE, table, seed=seed, **settings) for seed in (7, 7, 8))
    assert one.tree.identical(again.tree)
    for name in ("mu", "tau", "theta", "theta_new"):
        assert not np.array_equal(one.posterior[name], other.posterior[name])
    # an earlier fit is a value: fitting others with its compiled model has not touched it
    np.testing.assert_allclose(bcg.data["effect"].values, VACCINE.prepare(table)["effect"].values, rtol=0)


def test_chains_and_draws_are_all_different(bcg):
    assert len(np.unique(bcg.posterior["theta_new"])) == bcg.posterior["theta_new"].size


@pytest.mark.parametrize("which", ["bcg", "schools", "binomial"])
def test_a_fit_round_trips_bit_for_bit(which, request, tmp_path):
    fit = request.getfixturevalue(which)
    loaded = bd.Fit.load(fit.save(tmp_path / "posterior.nc"))
    assert loaded.tree.identical(fit.tree)
    assert loaded.model == fit.model
    assert loaded.manifest == fit.manifest
    xr.testing.assert_identical(loaded.data, fit.data)
    assert repr(loaded) == repr(fit)
    assert [p.name for p in tmp_path.iterdir()] == ["posterior.nc"]


def test_what_is_no_saved_fit_is_refused(tmp_path):
    with pytest.raises(bd.BadInput, match="there is no saved fit"):
        bd.Fit.load(tmp_path / "nowhere.nc")
    (tmp_path / "text.nc").write_text("not a store")
    with pytest.raises(bd.BadInput, match="is not a saved fit"):
        bd.Fit.load(tmp_path / "text.nc")


def test_every_group_of_the_contract_is_there_with_named_dims(bcg):
    sizes = {"chain": 4, "draw": 2000}
    dims = {group: {name: v.dims for name, v in bcg.tree[group].data_vars.items()} for group in bcg.tree.children}
    d = ("chain", "draw")
    assert dims["posterior"] == {"mu": d, "tau": d, "theta": (*d, "study"), "theta_new": d}
    assert dims["posterior_predictive"] == dims["log_likelihood"] == {"effect": (*d, "study")}
    assert dims["log_prior"] == {"mu": d, "tau": d}
    assert dims["prior"] == {"mu": d, "tau": d}
    assert dims["prior_predictive"] == {"effect": (*d, "study")}
    assert dims["observed_data"] == {"effect": ("study",)}
    assert dims["constant_data"] == {"effect": ("study",), "se": ("study",)}
    assert set(dims["estimands"]) == {
        "mu", "tau", "theta", "theta_new", "i2", "ratio", "ratio_theta", "ratio_new"
    }  # fmt: skip
    assert {"diverging", "energy", "tree_depth", "reached_max_treedepth", "lp"} <= set(dims["sample_stats"])
    for group in ("posterior", "posterior_predictive", "log_likelihood", "sample_stats", "estimands"):
        assert {k: v for k, v in bcg.tree[group].sizes.items() if k in sizes} == sizes
    assert list(bcg.posterior["study"].values) == list(bd.load("bcg_colditz1994")["trial"])


def test_stored_densities_are_those_of_the_stored_draws(bcg):
    posterior, data = bcg.posterior, bcg.data
    mu, tau = (posterior[name].values[..., None] for name in ("mu", "tau"))
    expected = stats.norm.logpdf(data["effect"].values, mu, np.sqrt(data["se"].values ** 2 + tau**2))
    # the same formula in double precision
    np.testing.assert_allclose(bcg.tree["log_likelihood"]["effect"], expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(bcg.tree["log_prior"]["mu"], stats.norm.logpdf(posterior["mu"], 0, 10), rtol=1e-12)
    np.testing.assert_allclose(
        bcg.tree["log_prior"]["tau"], stats.halfnorm.logpdf(posterior["tau"], scale=10), rtol=1e-12
    )


def test_replicates_follow_the_model_at_each_draw(bcg):
    posterior, data = bcg.posterior.isel(draw=slice(None, None, 4)), bcg.data
    total = np.sqrt(data["se"] ** 2 + posterior["tau"] ** 2)
    z = (bcg.tree["posterior_predictive"]["effect"].isel(draw=slice(None, None, 4)) - posterior["mu"]) / total
    for study in data["study"].values:
        assert stats.kstest(z.sel(study=study).values.ravel(), "norm").pvalue > 1e-4  # 13 tests
    z_new = (posterior["theta_new"] - posterior["mu"]) / posterior["tau"]
    assert stats.kstest(z_new.values.ravel(), "norm").pvalue > 1e-3
    prior = bcg.tree["prior"]
    assert stats.kstest(prior["mu"].values.ravel(), stats.norm(0, 10).cdf).pvalue > 1e-3
    assert stats.kstest(prior["tau"].values.ravel(), stats.halfnorm(scale=10).cdf).pvalue > 1e-3


def test_pymcs_own_sampler_agrees_with_nutpie():
    settings = {"draws": 500, "tune": 500, "chains": 2, "seed": 4}
    fit = bd.fit(VACCINE, bd.load("bcg_colditz1994"), sampler="pymc", **settings)
    assert fit.manifest["sampler"] == "pymc"
    # against quadrature, with which nutpie agrees above: 8 comparisons within 3 standard errors at a fixed seed
    rows = oracle(fit).query("estimand in ['mu', 'tau'] and statistic in ['mean', 'sd']")
    assert (rows["z"].abs() < 3).all(), rows


def test_exact_draws_agree_with_quadrature_and_are_independent():
    fit = bd.fit(VACCINE, bd.load("bcg_colditz1994"), sampler="exact", draws=1000, chains=4, seed=6)
    assert fit.is_exact
    assert "sample_stats" not in fit.tree
    assert fit.manifest["tune"] == 0
    for (name, at), marginal in fit.exact.marginals.items():
        if name in ("mu", "tau", "theta", "theta_new"):
            values = fit.estimands[name].sel(dict(at)).values
            assert stats.kstest(values.ravel(), marginal.cdf).pvalue > 1e-4, (name, at)  # 16 tests
    ess = array_stats.ess(fit.estimands["mu"].values, method="bulk", chain_axis=0, draw_axis=1)
    assert ess > 0.85 * 4000  # independent draws; the estimate's own error is some 4%
    assert fit.gate.passed
    assert oracle(fit) is None


def test_the_binomial_model_scores_whole_studies(binomial):
    scored = binomial.tree["log_likelihood"].to_dataset()
    assert set(scored.data_vars) == {"by_study"}
    assert scored["by_study"].dims == ("chain", "draw", "study")
    assert np.isfinite(scored["by_study"]).all()
    assert list(scored["study"].values) == list(bd.load("bcg_colditz1994")["trial"])
    assert set(binomial.tree["posterior"].data_vars) >= {"mu", "tau", "baseline", "theta", "theta_latent", "theta_new"}


def test_exact_counts_agree_with_integration_and_differ_from_their_normal_approximation(binomial):
    """The oracle: each study's likelihood with midpoint and effect integrated out, on a grid of mu and tau."""
    data = binomial.data
    mu, tau = (x.ravel() for x in np.meshgrid(np.linspace(-1.9, 0.4, 70), np.linspace(0.02, 1.9, 60)))
    # sums over a fine grid of log odds a -+ theta / 2: exact to many digits for integrands as smooth as these
    a, theta = np.linspace(-12, 2, 1401), np.linspace(-7, 5, 1501)
    of_effect = []
    for events, n in zip(data["events"].values, data["n"].values, strict=True):
        log_p = stats.norm.logpdf(a, -4, 2.5)
        for k, m, side in zip(events, n, (-1, 1), strict=True):  # control, treated
            logit = a + side * theta[:, None] / 2
            log_p = log_p + k * logit - m * np.logaddexp(0, logit)
        of_effect.append(special.logsumexp(log_p, axis=1))
    highest = np.max(of_effect, axis=1, keepdims=True)
    effects = stats.norm.pdf(theta, mu[:, None], tau[:, None])
    log_posterior = np.log(effects @ np.exp(of_effect - highest).T).sum(axis=1)
    # the model's own quadrature gives the same, up to a constant
    grid = {"mu": mu, "tau": tau, "baseline_mean": np.full_like(mu, -4.0), "baseline_sd": np.full_like(mu, 2.5)}
    grid = xr.Dataset({k: (("chain", "draw"), v[None]) for k, v in grid.items()})
    apart = binomial.model.log_likelihood(grid, data).sum("study").values[0] - log_posterior
    likely = log_posterior > log_posterior.max() - 20
    assert np.ptp(apart[likely]) < 1e-6
    log_posterior += stats.norm.logpdf(mu, 0, 1.5) + stats.halfnorm.logpdf(tau, scale=0.5)
    weights = np.exp(log_posterior - log_posterior.max())
    mean, spread = np.average(mu, weights=weights), np.average(tau, weights=weights)
    for name, truth in (("mu", mean), ("tau", spread)):
        draws = binomial.estimands[name].values
        error = array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="mean")
        assert abs(draws.mean() - truth) < 3 * error, name
    # the normal approximation to log odds ratios is 0.08 posterior sds off, for the trials with 4 to 11 events
    approximate = Meta(measure="log-odds-ratio", input="counts", **BCG)
    normal = approximate.exact(approximate.prepare(bd.load("bcg_colditz1994"))).marginals["mu", ()]
    assert 0.02 < abs(mean - normal.mean) / normal.sd < 0.15


@dataclass(frozen=True, kw_only=True)
class CentredSchools:
    """Eight schools as it must not be written: centred, the funnel that NUTS cannot enter."""

    family: ClassVar[str] = "centred-schools"
    primary_estimands: ClassVar[tuple[str, ...]] = ("mu",)
    target_accept: ClassVar[float] = 0.95
    priors: Mapping[str, Any] = dataclasses.field(default_factory=lambda: dict(SCHOOLS_PRIORS))
    left_out: ClassVar[str] = "school"
    words: ClassVar[str] = "Each school has an effect of its own, normal around their mean."
    formula: ClassVar[tuple[str, ...]] = ("effect[s] ~ Normal(theta[s], se[s])", "theta[s] ~ Normal(mu, tau)")

    def __post_init__(self):
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    @property
    def slots(self):
        return {"mu": Slot(None, "real", "the mean", "points"), "tau": Slot(None, "positive", "the spread", "points")}

    def prepare(self, table):
        columns = {c: ("school", table[c].to_numpy(float)) for c in ("effect", "se")}
        return xr.Dataset(columns, {"school": table["school"].to_numpy(str)})

    def build(self, data):
        import pymc as pm

        with pm.Model(coords={"school": data["school"].values}) as model:
            mu, tau = self.priors["mu"].rv("mu"), self.priors["tau"].rv("tau")
            theta = pm.Normal("theta", mu, tau, dims="school")
            y = pm.Data("effect_data", data["effect"].values, dims="school")
            se = pm.Data("se_data", data["se"].values, dims="school")
            pm.Normal("effect", theta, se, observed=y, dims="school")
        return model

    def estimands(self, posterior, data):
        return xr.Dataset({name: estimand(posterior[name], name, "points") for name in ("mu", "tau", "theta")})

    def checks(self, data):
        return []


def test_the_gate_fails_a_funnel_and_says_so_first():
    fit = bd.fit(CentredSchools(), bd.load("eight_schools_rubin1981"), draws=100, tune=100, chains=4, seed=1)
    assert not fit.gate.passed
    assert fit.gate.sentence.startswith("FAILED THE GATE, do not use these numbers: ")
    assert repr(fit).startswith("FAILED THE GATE")
    failed = {c.name for c in fit.gate.criteria if not c.passed}
    assert "ESS bulk" in failed  # 400 draws of a funnel cannot be worth 400 independent ones
    summary = bd.summarise(fit)
    assert summary.attrs["gate_passed"] is False
    assert summary.attrs["gate"] == fit.gate.sentence


def test_the_gate_passes_the_same_schools_with_their_effects_integrated_out(schools):
    assert schools.gate.passed, schools.gate.sentence
    assert schools.gate.sentence.startswith("passed the gate")
    rows = oracle(schools).query("estimand in ['mu', 'tau', 'theta_new']")
    assert (rows["z"].abs() < 3.5).all(), rows  # 12 comparisons at a fixed seed
