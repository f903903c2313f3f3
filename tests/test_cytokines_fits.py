"""Cytokines, sampled: least squares, censored regression and published models under flat priors, and the truth."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from scipy import special, stats

import bayesdep as bd
from bayesdep.inference.sample import sample_posterior
from bayesdep.models.cytokines import model as cytokines
from bayesdep.models.cytokines.rough_effects import Rough, rough_effects
from bayesdep.numerics.tobit import tobit

pytestmark = pytest.mark.sampling

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
WIDE, SPREAD = bd.Prior("Normal", mu=0, sigma=30), bd.Prior("HalfNormal", sigma=20)
LN10 = np.log(10)


def shared_table(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not there")  # real patients are not part of the repository
    return pd.read_csv(path)


def mcse(draws):
    return array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="mean")


def test_without_censoring_the_posterior_is_that_of_least_squares():
    rng = np.random.default_rng(1)
    n = 80
    group, age = np.arange(n) % 2, rng.normal(40, 10, n)
    y = 1 + 0.4 * group + 0.01 * age + rng.normal(0, 0.7, n)
    table = pd.DataFrame({"group": np.where(group, "TRD", "HC"), "age": age, "concentration": np.exp(y)})
    flat = {"level": WIDE, "group_effect": WIDE, "covariate_effect": WIDE, "residual_sd": SPREAD}
    model = bd.Cytokines(group="group", reference="HC", covariates="age", priors=flat)
    data = model.prepare(table)
    posterior = sample_posterior(model, data, draws=1000, tune=600, seed=1)
    estimands = model.estimands(posterior, data)
    design = np.column_stack([np.ones(n), group, age])
    beta, residual, _, _ = np.linalg.lstsq(design, y, rcond=None)
    variance = residual[0] / (n - 3)
    errors = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    for at, name in ((1, "log_ratio"), (2, "covariate_effect")):
        draws = estimands[name].values.reshape(4, -1)
        assert abs(draws.mean() - beta[at]) < 0.1 * errors[at], name
        # a flat prior on the sd: Student t on n - 4 degrees of freedom, its scale by the residuals over n - 4
        assert draws.std() == pytest.approx(errors[at], rel=0.05), name
    assert float(estimands["residual_sd"].mean()) == pytest.approx(np.sqrt(variance), rel=0.05)


SHARES = np.arange(1, 9) / 10


@functools.cache
def censored_panel():
    """60 people and eight analytes of which 10, 20, ..., 80% lie below the limit; each of its own, flat priors."""
    rng = np.random.default_rng(12)
    group, rows = np.arange(60) % 2, []
    for share in SHARES:
        y = 0.5 * group + rng.normal(0, 0.8, 60)
        limit = np.sort(y)[[round(60 * share) - 1, round(60 * share)]].mean()
        for i in range(60):
            who = {"analyte": f"{share:.0%}", "group": ("HC", "TRD")[group[i]]}
            rows.append({**who, "concentration": np.exp(max(y[i], limit)), "below": y[i] < limit})
    flat = {"level": WIDE, "group_effect": WIDE, "residual_sd": SPREAD}
    model = bd.Cytokines(
        analyte="analyte", group="group", reference="HC", censored="below", pooling="none", priors=flat
    )
    return model, model.prepare(pd.DataFrame(rows))


def one_analyte(data, a):
    rows = data.isel(measurement=np.flatnonzero(data["analyte_of"].values == a))
    return rows["lower"].values, rows["upper"].values, rows["group_of"].values


def mean_by_quadrature(lower, upper, group):
    """The posterior mean of the difference under flat means and the spread's prior.

    Given the sd the two groups' means are independent, so the three-dimensional integral is one over the sd of
    products of two: sums over fine grids, wide enough that what lies beyond is below 1e-6.
    """
    sd = np.exp(np.linspace(np.log(0.2), np.log(12), 160))
    mu = np.linspace(-40, 8, 3200)
    log_weight = stats.halfnorm.logpdf(sd, scale=20) + np.log(sd)
    mean = 0.0
    for g, sign in ((0, -1), (1, 1)):
        seen, below = (group == g) & (lower == upper), (group == g) & (lower != upper)
        y, z = upper[seen], (upper[below][:1] - mu[None]) / sd[:, None]
        log_f = len(y) * (-np.log(sd)[:, None] - ((y.mean() - mu) ** 2 + y.var()) / (2 * sd[:, None] ** 2))
        log_f = log_f + below.sum() * special.log_ndtr(z) if below.any() else log_f
        log_weight = log_weight + special.logsumexp(log_f, axis=1)
        mean = mean + sign * special.softmax(log_f, axis=1) @ mu
    return special.softmax(log_weight) @ mean


def test_the_joint_mode_of_analytes_on_their_own_is_the_censored_maximum_likelihood():
    """At any share censored: flat priors leave the likelihood, whose maximum another program finds."""
    model, data = censored_panel()
    logp = model.build(data).compile_logp(jacobian=False)
    fits = [
        tobit(lo, up, np.column_stack([np.ones(60), g]))
        for lo, up, g in map(functools.partial(one_analyte, data), range(8))
    ]
    assert all(f.converged for f in fits)
    beta, sd = np.array([f.coefficients for f in fits]), np.array([f.sd for f in fits])

    def density(level, effect, sd):
        at = {"level": level + 0.5 * effect - data["centre"].values, "group_effect": effect[:, None]}
        return float(logp(at | {"residual_sd_softplus__": np.log(np.expm1(sd))}))

    # in the direction of every parameter, 0.1 standard errors either way, the density falls
    best = density(beta[:, 0], beta[:, 1], sd)
    for a in range(8):
        for shift in (-0.1, 0.1):
            unit = np.eye(8)[a] * shift
            assert density(beta[:, 0], beta[:, 1] + unit * fits[a].errors[1], sd) < best
            assert density(beta[:, 0] + unit * fits[a].errors[0], beta[:, 1], sd) < best
            assert density(beta[:, 0], beta[:, 1], sd * np.exp(unit * fits[a].log_sd_error)) < best


def test_analytes_on_their_own_agree_with_censored_regression():
    """Means within 0.1 standard errors of maximum likelihood up to 40% censored, where the posterior is symmetric.

    Beyond, with 60 people, it is skewed (at 80% by 1.7), so that mean and maximum part, by 0.2 standard errors at 50%
    and by 1.0 at 80%; there the oracle is the mean of the same posterior by quadrature, with which all eight agree.
    """
    model, data = censored_panel()
    posterior = sample_posterior(model, data, draws=3000, tune=1000, seed=1)
    rows = []
    for a, share in enumerate(SHARES):
        lower, upper, group = one_analyte(data, a)
        found = tobit(lower, upper, np.column_stack([np.ones(60), group]))
        draws = posterior["group_effect"].values[:, :, a, 0]
        error = found.errors[1]
        exact = mean_by_quadrature(lower, upper, group)
        numbers = [draws.mean() - found.coefficients[1], draws.mean() - exact, mcse(draws)]
        rows.append([share, error, *(x / error for x in numbers)])
    table = pd.DataFrame(rows, columns=["share", "se", "from_ml", "from_quadrature", "mcse"]).round(3)
    assert (table["mcse"] < 0.05).all(), table
    assert (table["from_quadrature"].abs() < 0.1).all(), table
    assert (table["from_ml"].abs() < 0.1)[table["share"] < 0.45].all(), table


# ---- viral load of 72 children: Vaida and Liu 2009, by maximum likelihood (shared/data/utidata_hiv)

UTI = {
    "left": (
        [3.6188, 4.1815, 4.2565, 4.3755, 4.5816, 4.5847, 4.6928, 4.8092], 0.58424, 0.87480, -412.0400,
    ),
    "both": (
        [3.6170, 4.1844, 4.2619, 4.3821, 4.6068, 4.5962, 4.6967, 4.8114], 0.59438, 0.88514, -417.5562,
    ),
}  # fmt: skip
UTI_SE = np.array([0.1253, 0.1285, 0.1304, 0.1307, 0.1399, 0.1487, 0.1649, 0.2019])


def viral_load(variant):
    table = shared_table("utidata_hiv/utidata.csv").dropna(subset=["rna_copies_ml"]).reset_index(drop=True)
    codes = {0: "none", 1: "left", 2: "right" if variant == "both" else "none"}
    flat = {"level": WIDE, "time_effect": WIDE, "residual_sd": SPREAD, "cell_ratio": SPREAD}
    model = bd.Cytokines(value="rna_copies_ml", subject="id", time="month", censored="flag", priors=flat)
    return model, model.prepare(table.assign(flag=table["cens_code"].map(codes)))


@pytest.mark.parametrize("variant", UTI)
def test_viral_loads_have_the_published_means(variant):
    model, data = viral_load(variant)
    posterior = sample_posterior(model, data, draws=1000, tune=800, seed=2)
    level = posterior["level"].isel(analyte=0) + float(data["centre"][0])
    change = posterior["time_effect"].isel(analyte=0)
    means = np.append(float(level.mean()), (level + change).mean(("chain", "draw")).values) / LN10
    assert (np.abs(means - UTI[variant][0]) < 0.1 * UTI_SE).all(), (means - UTI[variant][0]) / UTI_SE


@pytest.mark.parametrize("variant", UTI)
def test_viral_loads_have_the_published_log_likelihood(variant):
    """On the log10 scale: each density of a natural log is ln 10 times smaller than of its log to base 10."""
    model, data = viral_load(variant)
    means, sigma, sd_b, expected = UTI[variant]
    values = {
        "level": [means[0] * LN10 - float(data["centre"][0])],
        "time_effect": (np.array(means[1:]) - means[0])[None] * LN10,
        "residual_sd": [sigma * LN10],
        "cell_ratio": sd_b / sigma,
    }
    dims = {"level": ("analyte",), "time_effect": ("analyte", "later"), "residual_sd": ("analyte",), "cell_ratio": ()}
    point = xr.Dataset({k: (("chain", "draw", *dims[k]), np.asarray(v)[None, None]) for k, v in values.items()})
    scored = float(model.log_likelihood(point, data).sum())
    detected = int((data["kind"] == 0).sum())
    assert scored + detected * np.log(LN10) == pytest.approx(expected, abs=1e-3)


# ---- C-reactive protein in a survey, with its limit raised: survreg (shared/data/nhanes_2017_2018_crp_phq9)

FORMULA = "I(phq9/5) + female + I((age-50)/10) + I((bmi-30)/5)"
NHANES = {
    (0.15, None): [0.71792],
    (0.5, None): [0.69428],
    (1.0, None): [0.66462],
    (2.0, None): [0.66418],
    (0.15, FORMULA): [0.57879, 0.07270, 0.19098, 0.04604, 0.35244],
    (1.0, FORMULA): [0.52423, 0.07949, 0.20449, 0.04706, 0.36738],
}
NHANES_SE = np.array([0.02222, 0.01687, 0.02826, 0.00765, 0.00951])


@pytest.mark.parametrize(("limit", "formula"), NHANES)
def test_survey_values_have_the_coefficients_of_survreg(limit, formula):
    table = shared_table("nhanes_2017_2018_crp_phq9/nhanes_j_adults_crp_phq9.csv")
    needed = ["hscrp_mg_l", *(["phq9", "female", "age", "bmi"] if formula else [])]
    table = table.dropna(subset=needed).reset_index(drop=True).assign(lod=limit)
    flat = {"level": WIDE, "residual_sd": SPREAD} | ({"covariate_effect": WIDE} if formula else {})
    model = bd.Cytokines(
        value="hscrp_mg_l", subject="seqn", censored="below_lod", lod="lod", beyond_limit="censor", covariates=formula,
        priors=flat,
    )  # fmt: skip
    data = model.prepare(table)
    posterior = sample_posterior(model, data, draws=500, tune=500, seed=3)
    level = posterior["level"].isel(analyte=0) + float(data["centre"][0])
    found = []
    if formula:
        slopes = model.estimands(posterior, data)["covariate_effect"].isel(analyte=0)
        level = level - (slopes * data["covariate_mean"]).sum("covariate")
        found = slopes.mean(("chain", "draw")).values.tolist()
    away = (np.append(float(level.mean()), found) - NHANES[limit, formula]) / (NHANES_SE if formula else 0.01566)
    assert (np.abs(away) < 0.1).all(), away


# ---- pooled panels


def small_panel(analytes=6, people=26, seed=5, share=0.3, mean=0.4, spread=0.25):
    rng = np.random.default_rng(seed)
    group = np.arange(people) % 2
    truth = mean + spread * rng.normal(size=analytes)
    own, plate = rng.normal(0, 0.4, people), rng.normal(0, 0.2, analytes)
    level, sd = rng.normal(1, 0.8, analytes), np.exp(rng.normal(np.log(0.7), 0.2, analytes))
    rows = []
    for a in range(analytes):
        second = np.arange(people) % 4 > 1
        y = level[a] + truth[a] * group + own + plate[a] * np.where(second, 1, -1) + rng.normal(0, sd[a], people)
        limit = np.quantile(y, share)
        for i in range(people):
            who = {"subject": f"s{i}", "group": ("HC", "TRD")[group[i]], "plate": f"p{int(second[i])}"}
            rows.append({**who, "analyte": f"a{a}", "concentration": np.exp(max(y[i], limit)), "below": y[i] < limit})
    names = {"analyte": "analyte", "subject": "subject", "group": "group", "plate": "plate", "censored": "below"}
    return pd.DataFrame(rows), names, truth, sd


def test_rough_estimates_change_nothing_but_speed(monkeypatch):
    table, names, _, _ = small_panel(share=0.45)
    model = bd.Cytokines(reference="HC", **names)
    data = model.prepare(table)

    def nothing(data, *, people):
        found = rough_effects(data, people=people)
        return Rough(0 * found.estimate, 0 * found.error + 100, 0 * found.slope, 0 * found.log_sd)

    def wrong(data, *, people):
        found = rough_effects(data, people=people)
        return Rough(2 * found.estimate, found.error / 2, 3 * found.slope, found.log_sd + 0.3)

    ways = {
        "ours": rough_effects,
        "nothing known": nothing,
        "wrong": wrong,
    }
    found = {}
    for name, way in ways.items():
        monkeypatch.setattr(cytokines, "rough_effects", way)
        found[name] = sample_posterior(model, data, draws=700, tune=700, seed=4)
    for name in ("level", "group_effect", "log_residual_sd", "group_mean", "group_sd", "subject_sd", "plate_sd"):
        for other in ("nothing known", "wrong"):
            draws = [found[way][name].values.reshape(4, 700, -1) for way in ("ours", other)]
            for j in range(draws[0].shape[-1]):
                a, b = (x[..., j] for x in draws)
                assert abs(a.mean() - b.mean()) < 4 * np.hypot(mcse(a), mcse(b)), (name, j, other)


@pytest.mark.parametrize("spread", [0.0, 0.15, 1.0])
def test_a_panel_is_sampled_well_whether_groups_differ_or_not(spread):
    """Without differences their spread is near zero, and centred effects, which serve large ones, have no way there."""
    table, names, _, _ = small_panel(analytes=30, people=60, mean=0.0, spread=spread)
    fit = bd.fit(bd.Cytokines(reference="HC", **names), table, seed=6)
    assert fit.gate.passed, fit.gate.sentence
    assert min(c.value for c in fit.gate.criteria if c.name.startswith("ESS")) > 600, fit.gate.sentence


def test_a_small_panel_recovers_the_truth():
    """Six ratios and six sds: each within 3 posterior sds of the truth, and nine of twelve within 1.6."""
    table, names, truth, sd = small_panel()
    fit = bd.fit(bd.Cytokines(reference="HC", **names), table, draws=600, tune=600, chains=4, seed=6)
    assert fit.gate.passed, fit.gate.sentence
    away = []
    for name, values in (("log_ratio", truth), ("residual_sd", sd)):
        draws = fit.estimands[name].values.reshape(4 * 600, 6)
        away += list((draws.mean(0) - values) / draws.std(0))
    assert np.abs(away).max() < 3, away
    assert np.sum(np.abs(away) < 1.6) >= 9, away
    share = fit.estimands["share_below"].mean(("chain", "draw"))
    assert float(share.mean()) == pytest.approx(0.3, abs=0.08)
    assert fit.tree["log_likelihood"].to_dataset()["by_measurement"].sizes["measurement"] == 156


# ---- two wells of a sample

GROUPS = {"group": "group", "reference": "HC"}


def wells(well_sd, people=40, person_sd=0.6, seed=21):
    """One analyte in two groups, two wells of every person: people differ lastingly, wells by a little."""
    rng = np.random.default_rng(seed)
    own = np.repeat(0.4 * (np.arange(people) % 2) + rng.normal(0, person_sd, people), 2)
    logs = own + well_sd * rng.normal(size=2 * people)
    who = np.repeat(np.arange(people), 2)
    return pd.DataFrame(
        {"subject": [f"s{i}" for i in who], "group": np.where(who % 2, "TRD", "HC"), "well": [1, 2] * people,
         "concentration": np.exp(logs)}
    )  # fmt: skip


def test_wells_of_a_sample_tell_how_much_wells_differ():
    """By hand: the half squared differences of pairs, which people have no part in, are the wells' variance."""
    table = wells(0.15)
    fit = bd.fit(bd.Cytokines(subject="subject", **GROUPS, replicates=True), table, seed=2, progress=False)
    assert fit.gate.passed, fit.gate.sentence
    logs = np.log(table["concentration"].to_numpy()).reshape(-1, 2)
    squares, pairs = ((logs[:, 0] - logs[:, 1]) ** 2).sum() / 2, len(logs)
    grid = np.geomspace(0.05, 0.6, 4000)
    weight = -pairs * np.log(grid) - squares / (2 * grid**2) + stats.norm.logpdf(np.log(grid), np.log(0.2), 1.0)
    weight = np.exp(weight - weight.max())  # an even grid of the log, on which the prior is normal
    mean = (grid * weight).sum() / weight.sum()
    sd = np.sqrt((grid**2 * weight).sum() / weight.sum() - mean**2)
    draws = fit.estimands["residual_sd"]
    # what the persons' sd says of the wells', by their ratio's prior, is little beside 40 pairs
    assert abs(float(draws.mean()) - mean) < 0.2 * sd, (float(draws.mean()), mean, sd)
    assert float(draws.std()) == pytest.approx(sd, rel=0.1)


def test_the_same_well_twice_is_never_narrower():
    """Wells that agree to a thousandth say nothing more of people, and nothing of groups; exact copies are refused."""
    twice = wells(0.001)
    once = twice[twice["well"] == 1]
    widths = {}
    for name, table, replicates in (("once", once, False), ("twice", twice, True)):
        model = bd.Cytokines(subject="subject", **GROUPS, replicates=replicates)
        fit = bd.fit(model, table, seed=3, progress=False)
        assert fit.gate.passed, fit.gate.sentence
        draws = fit.estimands["log_ratio"].values.reshape(4, -1)
        widths[name] = draws.std(), array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="sd")
    error = np.hypot(widths["once"][1], widths["twice"][1])
    assert error < 0.05 * widths["once"][0]
    assert widths["twice"][0] > widths["once"][0] - 4 * error, widths
    with pytest.raises(bd.BadInput, match="in all 40 samples of 'concentration' with several wells these have one and"):
        model.prepare(wells(0.0))


def test_new_people_differ_by_more_than_wells_do():
    """The share of people below a limit is of people: its normal has their variance, not that of wells alone."""
    table = wells(0.15).assign(lod=np.exp(-0.4))
    table = table.assign(below=table["concentration"] < table["lod"])
    table["concentration"] = table[["concentration", "lod"]].max(axis=1)
    model = bd.Cytokines(subject="subject", **GROUPS, replicates=True, lod="lod", censored="below")
    fit = bd.fit(model, table, seed=4, progress=False)
    shares = fit.estimands["share_below"].mean(("chain", "draw")).values.ravel()
    counted = table.groupby("group")["below"].mean()[["HC", "TRD"]].to_numpy()  # 40 wells of 20 people each
    truth = stats.norm.cdf((-0.4 - np.array([0.0, 0.4])) / np.hypot(0.6, 0.15))
    for found in (counted, truth):
        assert (np.abs(shares - found) < 2.5 * np.sqrt(truth * (1 - truth) / 20)).all(), (shares, counted, truth)
    # with the wells' variance alone nearly nobody would be below
    assert (shares > 0.5 * truth).all()
