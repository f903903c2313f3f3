"""Leave-one-out, cumulative analysis and influence: against refits, closed forms and metafor."""

import math

import numpy as np
import pandas as pd
import pytest
from common import BCG
from scipy import stats

import bayesdep as bd
from bayesdep.criticism.influence import accumulate_studies, check_influence, leave_out_each_study, sensitivity_grid
from bayesdep.data.errors import BadInput
from bayesdep.models.meta.model import Meta
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.mixtures import Mixture

RATIOS = {"measure": "log-risk-ratio", "input": "counts", **BCG}
TRIALS = bd.load("bcg_colditz1994")
P = np.array([0.025, 0.5, 0.975])


def clustered():
    return pd.DataFrame(
        {
            "study": [f"o{i}" for i in range(8)],
            "trial": list("aabbbcdd"),
            "effect": [0.4, 0.6, -0.1, 0.0, 0.2, 0.9, 0.5, 0.1],
            "se": [0.2, 0.25, 0.1, 0.15, 0.2, 0.3, 0.2, 0.25],
            "year": [2001, 2001, 2005, 2005, 2005, 2010, 2012, 2013],
        }
    )


MODELS = {
    "plain": (Meta(**RATIOS), TRIALS),
    "covariates": (Meta(covariates="absolute_latitude", **RATIOS), TRIALS),
    "clusters": (Meta(measure="standardised-difference", cluster="trial", covariates="year"), clustered()),
}


@pytest.mark.parametrize("name", MODELS)
def test_leaving_one_out_is_a_refit_without_it(name):
    model, table = MODELS[name]
    data = model.prepare(table)
    found = leave_out_each_study(model, table)
    of = data["cluster_of"].values if model.cluster else np.arange(data.sizes["study"])
    names = data[model.left_out].values
    for i in (0, len(names) - 1):
        without = data.isel({model.unit: of != i})
        exact = model.exact(without).marginals
        rows = found[found["left_out"] == names[i]]
        assert len(rows) == 3 + bool(model.covariates) + bool(model.cluster)
        for _, row in rows.iterrows():
            at = (("covariate", row["covariate"]),) if row["estimand"] == "slope" else ()
            marginal = exact[row["estimand"], at]
            lower, median, upper = marginal.quantile(P)
            # a cubic spline on another grid: 1e-5 of the spreads' quantiles where there are two
            tolerance = 1e-4 if "tau" in row["estimand"] else 1e-7
            assert row["mean"] == pytest.approx(marginal.mean, abs=1e-7)
            assert row["sd"] == pytest.approx(marginal.sd, rel=1e-6)
            np.testing.assert_allclose(
                [row["lower"], row["median"], row["upper"]], [lower, median, upper], rtol=0, atol=tolerance
            )


def test_shifts_are_from_the_whole_analysis():
    found = leave_out_each_study(*MODELS["covariates"])
    whole = found[found["left_out"] == "nothing"].set_index("estimand")
    assert (whole["shift"] == 0).all()
    one = found[found["left_out"] == "TPT Madras 1980"].set_index("estimand")
    for estimand in ("mu", "tau", "theta_new", "slope"):
        shift = one.loc[estimand, "mean"] - whole.loc[estimand, "mean"]
        assert one.loc[estimand, "shift"] == pytest.approx(shift, abs=1e-12)
        assert one.loc[estimand, "shift_sd"] == pytest.approx(shift / whole.loc[estimand, "sd"], rel=1e-12)
    assert one.loc["slope", "units"] == "log risk ratio per unit"
    assert list(found["left_out"].unique()) == ["nothing", *TRIALS["trial"]]


def test_weights_at_remls_tau_under_flat_priors_are_metafors():
    """metafor 3.8-1, influence() of the BCG random-effects model, REML: weights in percent."""
    weights = [
        5.059483079, 6.364679632, 4.436027763, 9.698746736, 8.868456287, 10.095738165, 6.027181703, 10.189438635,
        8.743133132, 8.367607247, 9.925026663, 3.821629423, 8.402851535,
    ]  # fmt: skip
    tau = 0.5596814505
    priors = {
        "mu": Prior("Normal", mu=0, sigma=1e4),
        "tau": Prior("Uniform", lower=tau - 1e-7, upper=tau + 1e-7),
    }
    found = check_influence(Meta(priors=priors, **RATIOS), TRIALS)
    np.testing.assert_allclose(found["weight"], weights, rtol=0, atol=1e-5)
    # without a study, at the same tau, the others' weighted mean and its variance
    y, v = found["effect"].to_numpy(), found["se"].to_numpy() ** 2 + tau**2
    for k in (0, 7):
        keep = np.arange(13) != k
        w = 1 / v[keep]
        mean, variance = w @ y[keep] / w.sum(), 1 / w.sum() + v[k]
        assert found["z"][k] == pytest.approx((y[k] - mean) / math.sqrt(variance), abs=1e-5)
        assert found["predicted"][k] == pytest.approx(mean, abs=1e-6)
        assert found["predicted_upper"][k] == pytest.approx(mean + 1.959964 * math.sqrt(variance), abs=1e-5)
        assert found["elpd"][k] == pytest.approx(stats.norm.logpdf(y[k], mean, math.sqrt(variance)), abs=1e-5)


@pytest.mark.parametrize("name", ["plain", "covariates"])
def test_predictive_densities_are_ratios_of_marginal_likelihoods(name):
    model, table = MODELS[name]
    data = model.prepare(table)
    found = check_influence(model, table)
    count = data.sizes["study"]
    without = model.hierarchy(data, ~np.eye(count, dtype=bool)).log_marginals
    np.testing.assert_allclose(found["elpd"], model.hierarchy(data).log_marginal - without, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_the_slopes_of_the_posterior_mean_at_fixed_tau(name):
    """By moving each effect a little, tau held: the mean is linear in the effects."""
    model, table = MODELS[name]
    narrow = {p: Prior("Uniform", lower=0.3, upper=0.3 + 1e-6) for p in ("tau", "tau_cluster") if p in model.slots}
    model = Meta(**{f: getattr(model, f) for f in ("measure", "input", "covariates", "cluster")},
                 **{k: v for k, v in RATIOS.items() if k not in ("measure", "input") and name != "clusters"},
                 priors=narrow)  # fmt: skip
    data = model.prepare(table)
    found = check_influence(model, data)
    start = model.hierarchy(data).mu.mean
    for k in (0, 3, 7):
        step = np.zeros(data.sizes["study"])
        step[k] = 1.0
        moved = model.hierarchy(data.assign(effect=data["effect"] + step)).mu.mean
        assert found["weight"][k] == pytest.approx(100 * (moved - start), abs=1e-4)
    assert 50 < found["weight"].sum() <= 100.001


def test_influence_of_clusters_predicts_each_row_without_its_cluster():
    model, table = MODELS["clusters"]
    found = check_influence(model, table)
    data = model.prepare(table)
    without = data.isel(study=data["cluster_of"].values != 1)
    exact = model.exact(without).marginals
    # row 2 (cluster b): the others' mean at its own year, plus both spreads and its own error
    engine = model.hierarchy(without)
    x = float(data["covariates"][2, 0])
    centre = engine.contrasts(np.array([1.0, x]))[0]
    nodes = engine.nodes
    sds = np.sqrt(centre.sds**2 + nodes.tau**2 + nodes.tau_cluster**2 + data["se"].values[2] ** 2)
    expected = Mixture(nodes.weights[0], centre.means, sds).quantile(P)
    columns = ["predicted_lower", "predicted", "predicted_upper"]
    np.testing.assert_allclose(found.loc[2, columns].astype(float), expected, rtol=0, atol=1e-8)
    assert found["tau_without"][2] == pytest.approx(exact["tau", ()].mean, rel=1e-6)


# ---- cumulative


def test_cumulative_ends_with_the_whole_analysis_and_starts_with_one_study():
    model, _ = MODELS["plain"]
    found = accumulate_studies(model, TRIALS, by="year")
    mu = found[found["estimand"] == "mu"].reset_index(drop=True)
    assert list(mu["studies"]) == list(range(1, 14))
    assert (mu["year"].diff().dropna() >= 0).all()
    assert mu["added"].iloc[0] == "Vandiviere et al 1973" or mu["year"].iloc[0] == TRIALS["year"].min()
    exact = model.exact(model.prepare(TRIALS)).marginals
    assert mu["mean"].iloc[-1] == pytest.approx(exact["mu", ()].mean, abs=1e-10)
    np.testing.assert_allclose(
        mu[["lower", "median", "upper"]].to_numpy()[-1], exact["mu", ()].quantile(P), rtol=0, atol=1e-9
    )
    # five studies: a refit of those five
    first = TRIALS.sort_values("year", kind="stable").iloc[:5]
    alone = model.exact(model.prepare(first)).marginals
    row = found[(found["studies"] == 5) & (found["estimand"] == "theta_new")].iloc[0]
    assert row["sd"] == pytest.approx(alone["theta_new", ()].sd, rel=1e-9)


def test_cumulative_takes_the_tables_order_or_the_largest_first():
    model, _ = MODELS["plain"]
    plain = accumulate_studies(model, model.prepare(TRIALS))
    assert list(plain["added"].unique()) == list(TRIALS["trial"])
    down = accumulate_studies(model, TRIALS, by="absolute_latitude", descending=True)
    latitudes = down[down["estimand"] == "mu"]["absolute_latitude"].to_numpy()
    assert (np.diff(latitudes) <= 0).all()
    ties = TRIALS.assign(same=1)
    assert list(accumulate_studies(model, ties, by="same")["added"].unique()) == list(TRIALS["trial"])


def test_a_sensitivity_grid_sets_models_side_by_side():
    models = {f"N+({s})": Meta(priors={"tau": Prior("HalfNormal", sigma=s)}, **RATIOS) for s in (0.1, 0.5)}
    found = sensitivity_grid(models, TRIALS)
    assert list(found["model"].unique()) == list(models)
    narrow, wide = (found[(found["model"] == m) & (found["estimand"] == "tau")].iloc[0] for m in models)
    assert narrow["mean"] < wide["mean"]
    data = models["N+(0.5)"].prepare(TRIALS)
    assert wide["log_marginal"] == pytest.approx(models["N+(0.5)"].hierarchy(data).log_marginal, rel=1e-12)


# ---- refusals


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: leave_out_each_study(
            Meta(**{**RATIOS, "measure": "log-odds-ratio", "likelihood": "binomial"}), TRIALS),
         "known by quadrature only for likelihood = 'gaussian'"),
        (lambda: leave_out_each_study(Meta(heterogeneity="student-t", **RATIOS), TRIALS), "heterogeneity = 'normal'"),
        (lambda: leave_out_each_study(bd.Screen(condition="responder"), TRIALS), "the model is a Screen"),
        (lambda: leave_out_each_study(Meta(**RATIOS), TRIALS, level=95), "level = 95"),
        (lambda: accumulate_studies(Meta(**RATIOS), TRIALS, by="yaer"), "did you mean 'year'"),
        (lambda: accumulate_studies(Meta(**RATIOS), Meta(**RATIOS).prepare(TRIALS), by="year"), "give the table"),
        (lambda: accumulate_studies(
            Meta(**RATIOS), TRIALS.assign(year=TRIALS["year"].where(TRIALS.index != 2)), by="year"),
         "empty in row 3"),
        (lambda: sensitivity_grid({}, TRIALS), "no model"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(call, says):
    with pytest.raises(BadInput) as caught:
        call()
    assert says in str(caught.value)
