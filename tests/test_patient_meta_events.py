"""Events of pooled patients: the logistic density, the scores of studies, what is derived and what is refused."""

import functools

import numpy as np
import pytensor
import pytest
import xarray as xr
from common import prior_draws
from scipy import integrate, special, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.designs.price2022 import draw_price2022
from bayesdep.inference.evaluate import at_draws, uncompiled
from bayesdep.inference.labelled import label_draws
from bayesdep.inference.observations import Predicted
from bayesdep.models.patient_meta.event_estimands import risks
from bayesdep.models.patient_meta.model import PatientMeta
from bayesdep.models.patient_meta.scores import log_likelihood_of_events
from bayesdep.models.register import make_model, settings_of

COLUMNS = {"reference": "control", "outcome": "improvement", "times": ["rapid"], "study_levels": "random"}
MODELS = {
    "plain": {"at_least": 50},
    "adjusted": {"at_least": 50, "baseline": "madrs_baseline", "moderators": ["trd", "age"]},
    "remission": {"at_most": 9, "outcome": "madrs", "baseline": "madrs_baseline"},
    "shrunken": {"at_least": 50, "moderators": ["us", "trd", "age"], "split": False, "effects": "normal"},
    "free": {"at_least": 50, "baseline": "madrs_baseline", "moderators": ["trd", "age"], "study_levels": "free"},
}


@functools.cache
def table():
    return draw_price2022(np.random.default_rng(7)).table


@functools.cache
def model(name):
    return PatientMeta(**(COLUMNS | MODELS[name]))


@functools.cache
def data_of(name):
    return model(name).prepare(table())


@functools.cache
def posterior_of(name):
    """Draws from the prior, put where a posterior would be."""
    return prior_draws(model(name).build(data_of(name)))


def patients(name):
    """Event, arm, study and log odds without the study's own of every patient, for a draw of coefficients."""
    data = data_of(name)
    y, arm, study = (x.astype(int) for x in (data["outcome"].values[:, 0], data["arm_of"].values, data["study_of"]))
    share = arm.mean()

    def fixed(draw):
        x = (arm - share) * draw["effect"].values[0]
        if "intercept" in draw:
            x = x + draw["intercept"].values[0]
        if "baseline_slope" in draw:
            x = x + draw["baseline_slope"].values[0] * data["baseline"].values
        if "interaction" in draw:
            parts = data["parts"].values
            main = draw["moderator_effect"].values[:, 0]
            if "intercept" not in draw:  # the levels of studies hold what trd does to them
                main = np.r_[0.0, main, 0.0]
            x = x + parts @ main
            x = x + (arm - share) * (parts @ draw["interaction"].values[:, 0])
        return x

    return y, arm, study.values if hasattr(study, "values") else study, fixed


def root_of(draw):
    if "tau_intercept" not in draw:
        return np.diag([10.0, draw["tau_effect"].values[0]])
    rho = float(draw["effect_correlation"])
    sds = [draw["tau_intercept"].values[0], draw["tau_effect"].values[0]]
    return np.diag(sds) @ np.linalg.cholesky([[1, rho], [rho, 1]])


def test_patients_are_counted_and_the_event_is_what_it_says():
    data = data_of("remission")
    here = table()[table()["time"] == "rapid"]
    assert data["events"].values.sum() == (here["madrs"] <= 9).sum()
    assert data["n"].values.sum() == len(here)
    plain = data_of("plain")
    assert plain.sizes["cell"] == 34
    by_hand = (here["improvement"] >= 50).groupby([here["study"], here["arm"]]).sum()
    for k, name in enumerate(plain["study"].values):
        assert plain["study_events"].values[k].tolist() == [by_hand[name, "control"], by_hand[name, "ketamine"]]


@pytest.mark.parametrize("name", MODELS)
def test_density_is_that_of_bernoulli_patients_and_normal_studies(name):
    """The latents only choose coordinates: their density is that of the deviations times the Jacobian."""
    data, graph = data_of(name), model(name).build(data_of(name))
    point = graph.initial_point()
    rng = np.random.default_rng(3)
    point = {k: np.asarray(0.4 * rng.normal(size=np.shape(v))) for k, v in point.items() if k != "new_noise"}
    kept = [graph[n] for n in ("level_latent", "effect_latent", "events")]
    inputs = [v for v in graph.value_vars if v.name != "new_noise"]
    logs = graph.logp(vars=kept, sum=False)
    outputs = [sum(x.sum() for x in logs)]
    names = ["deviation", "intercept", "effect", "tau_intercept", "tau_effect", "effect_correlation"]
    names += ["baseline_slope", "moderator_effect", "interaction"]
    names = [n for n in names if n in graph.named_vars]
    outputs += graph.replace_rvs_by_values([graph[n] for n in names])
    f = pytensor.function(inputs, outputs, mode=uncompiled(), on_unused_input="ignore")

    def at(**moved):
        return f(*(np.asarray((point | moved)[v.name], float) for v in inputs))

    found, deviation, *parameters = at()
    draw = label_draws({n: v[None, None] for n, v in zip(names[1:], parameters, strict=True)}, graph).isel(
        chain=0, draw=0
    )
    y, arm, study, fixed = patients(name)
    own = deviation[:, 0]
    log_odds = fixed(draw) + own[study, 0] + (arm - 0.5) * own[study, 1]
    counts = [
        special.gammaln(n + 1) - special.gammaln(e + 1) - special.gammaln(n - e + 1)
        for e, n in zip(data["events"].values, data["n"].values, strict=True)
    ]
    expected = stats.bernoulli.logpmf(y, special.expit(log_odds)).sum() + np.sum(counts)
    root = root_of(draw)
    expected += stats.multivariate_normal.logpdf(own, np.zeros(2), root @ root.T).sum()
    for k in range(len(own)):  # the Jacobian of the deviations in the latents, study by study
        columns = []
        for latent in ("level_latent", "effect_latent"):
            step = np.zeros(len(own))
            step[k] = 1.0
            columns.append(at(**{latent: point[latent] + step})[1][k, 0] - own[k])  # linear, so a step of one is exact
        expected += np.log(abs(np.linalg.det(np.column_stack(columns))))
    assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["plain", "adjusted"])
def test_a_study_is_scored_with_its_own_level_and_effect_integrated_out(name):
    data, posterior = data_of(name), posterior_of(name)
    scored = log_likelihood_of_events(model(name), posterior, data).isel(chain=0)
    y, arm, study, fixed = patients(name)
    for d in (0, 3):
        draw = posterior.isel(chain=0, draw=d)
        x, root = fixed(draw), root_of(draw)
        for k in (0, 5):
            here = study == k
            e, n = (data[v].values[data["cell_study"].values == k] for v in ("events", "n"))
            constant = (special.gammaln(n + 1) - special.gammaln(e + 1) - special.gammaln(n - e + 1)).sum()
            target = float(scored[d, k])

            def density(b, a, here=here, x=x, root=root, constant=constant, target=target):
                u = root @ [a, b]
                eta = x[here] + u[0] + (arm[here] - 0.5) * u[1]
                inside = (y[here] * eta - np.logaddexp(0, eta)).sum() - (a**2 + b**2) / 2 - np.log(2 * np.pi)
                return np.exp(inside + constant - target)

            total, _ = integrate.dblquad(density, -7, 7, -7, 7, epsabs=1e-5)
            assert np.log(total) == pytest.approx(0, abs=5e-3)


@pytest.mark.parametrize("name", ["plain", "remission", "free"])
def test_more_nodes_change_nothing(name):
    few, many = (
        log_likelihood_of_events(model(name), posterior_of(name), data_of(name), nodes=n).values for n in (5, 15)
    )
    np.testing.assert_allclose(few, many, atol=5e-3)


@pytest.mark.parametrize("name", ["plain", "adjusted"])
def test_risks_are_means_over_patients_in_their_own_studies(name):
    data, posterior = data_of(name), posterior_of(name)
    found = risks(model(name), posterior, data).isel(chain=0, draw=2, time=0).values
    draw = posterior.isel(chain=0, draw=2)
    _, arm, study, fixed = patients(name)
    own, share = draw["deviation"].values[:, 0], arm.mean()
    slope = draw["effect"].values[0]
    if "interaction" in draw:
        slope = slope + data["parts"].values @ draw["interaction"].values[:, 0]
    base = fixed(draw) - (arm - share) * slope
    for a in (0, 1):
        expected = special.expit(base + (a - share) * slope + own[study, 0] + (a - 0.5) * own[study, 1]).mean()
        assert found[a] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_each_patient_has_the_probability_of_the_event_in_the_own_study(name):
    """By Bernoulli formulas; in the order of patients, whose score is the log probability of what happened."""
    data, posterior = data_of(name), posterior_of(name)
    (one,) = model(name).observations(posterior, data).values()
    y, arm, study, fixed = patients(name)
    for d in range(posterior.sizes["draw"]):
        draw = posterior.isel(chain=0, draw=d)
        own = draw["deviation"].transpose("study", "time", "which").values[:, 0]
        log_odds = fixed(draw) + own[study, 0] + (arm - 0.5) * own[study, 1]
        p = special.expit(log_odds)
        low, high = (x[d] for x in one.law.around(one.lower, one.upper))
        np.testing.assert_allclose(low, stats.bernoulli.cdf(y - 1, p), rtol=1e-9)
        np.testing.assert_allclose(high, stats.bernoulli.cdf(y, p), rtol=1e-9)
        np.testing.assert_allclose(one.with_later[d], y * log_odds - np.logaddexp(0, log_odds), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(one.lower, y)
    np.testing.assert_array_equal(one.labels["subject"], data["subject"].values)
    np.testing.assert_array_equal(one.labels["study"], data["study"].values[study])
    assert set(one.labels["time"]) == {"rapid"}


def test_a_patient_left_out_is_predicted_by_the_others_of_the_study():
    """All parameters known but one study's level, whose posterior without a patient is by quadrature."""
    data, posterior = data_of("plain"), posterior_of("plain").isel(draw=[0])
    y, arm, study, fixed = patients("plain")
    here = np.flatnonzero(study == 0)
    known = fixed(posterior.isel(chain=0, draw=0))[here]
    level = np.linspace(-6, 6, 2401)
    rest = (
        known
        + (arm[here] - 0.5) * posterior["deviation"].transpose(..., "study", "time", "which").values[0, 0, 0, 0, 1]
    )
    each = stats.bernoulli.logpmf(y[here], special.expit(level[:, None] + rest))
    prior = stats.norm.logpdf(level)
    whole = np.exp(prior + each.sum(axis=1))
    # quantiles of the exact posterior of the level stand for draws of it: a weighted mean of 4,000 is right to 1e-3
    share = np.cumsum(whole) / whole.sum()
    drawn = np.interp((np.arange(4000) + 0.5) / 4000, share, level)
    several = posterior.isel(draw=[0] * 4000).assign_coords(draw=np.arange(4000)).copy(deep=True)
    order = several["deviation"].dims
    own = several["deviation"].transpose("chain", "draw", "study", "time", "which").copy()
    own[0, :, 0, 0, 0] = np.random.default_rng(1).permutation(drawn)
    tree = xr.DataTree.from_dict({"posterior": several.assign(deviation=own.transpose(*order)), "constant_data": data})
    found = Predicted.of(model("plain"), tree, tables=1)
    one = found.observations["outcome"]
    weights, k = found.weights("outcome")
    up_to = (weights * one.law.around(one.lower, one.upper)[1]).sum(axis=0)[here]
    without = np.exp(prior[:, None] + each.sum(axis=1, keepdims=True) - each)
    none = special.expit(-(level[:, None] + rest))
    exact = np.where(y[here] == 1, 1.0, (without * none).sum(axis=0) / without.sum(axis=0))
    assert k[here].max() < 0.5
    np.testing.assert_allclose(up_to, exact, atol=2e-3)
    known_all = one.law.around(one.lower, one.upper)[1].mean(axis=0)[here]
    assert np.abs(known_all - exact).max() > 4e-3  # what a patient's own outcome would do


def test_estimands_agree_with_each_other():
    found = model("adjusted").estimands(posterior_of("adjusted"), data_of("adjusted"))
    np.testing.assert_allclose(found["odds_ratio"], np.exp(found["effect"]))
    np.testing.assert_allclose(found["nnt"], 1 / found["risk_difference"])
    difference = found["risk"].isel(arm=1) - found["risk"].isel(arm=0)
    np.testing.assert_allclose(found["risk_difference"], difference)
    assert found["nnt"].attrs["reciprocal_of"] == "risk_difference"
    assert found["interaction"].attrs["units"] == "log odds per unit"
    assert "improvement >= 50" in found["odds_ratio"].attrs["description"]


def test_replicates_and_checks_count_the_same_patients():
    data, graph = data_of("plain"), model("plain").build(data_of("plain"))
    posterior = posterior_of("plain")
    given = {rv: posterior[rv.name].values[0] for rv in graph.free_RVs if rv.name != "new_noise"}
    (drawn,) = at_draws([graph["events"]], given, seed=1)
    assert drawn.shape == (5, 34)
    assert (drawn <= data["n"].values).all()
    for check in model("plain").checks(data):
        values = check.statistic(np.stack([data["events"].values, drawn[0]]))
        assert values.shape == (2,)
    y = table()[(table()["time"] == "rapid") & (table()["arm"] == "ketamine")]["improvement"]
    risk = next(c for c in model("plain").checks(data) if c.name == "risk on ketamine")
    assert float(risk.statistic(data["events"].values)) == pytest.approx((y >= 50).mean())


def test_crude_log_odds_ratios_have_half_an_event_added():
    effect, se = model("plain").forest.crude(data_of("plain"))
    e, n = data_of("plain")["study_events"].values[0], data_of("plain")["study_n"].values[0]
    odds = (e + 0.5) / (n - e + 0.5)
    assert effect[0] == pytest.approx(np.log(odds[1] / odds[0]))
    assert se[0] == pytest.approx(np.sqrt((1 / (e + 0.5) + 1 / (n - e + 0.5)).sum()))


def test_settings_round_trip_and_the_model_says_what_it_is():
    for name in MODELS:
        graph = model(name)
        assert make_model("patient-meta", settings_of(graph)) == graph
        assert graph.words.count("log odds") == 1
        assert all(any(line.startswith(slot) for line in graph.formula) for slot in graph.priors)


BAD = [
    ({"at_least": 50, "at_most": 9}, "at_least and at_most are both given"),
    ({"at_least": 50, "times": []}, "name one time in times"),
    ({"at_least": 50, "moderators": ["trd"], "combined": ["trd"]}, "combined needs the outcome itself"),
    ({"at_least": 50, "priors": {"residual_sd": bd.Prior("HalfNormal", sigma=1)}}, "the model has no such parameter"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_bad_settings_give_one_clear_sentence(settings, message):
    with pytest.raises(BadInput) as raised:
        PatientMeta(**(COLUMNS | settings))
    assert message in str(raised.value)


@pytest.mark.parametrize(("limit", "word"), [(500, "nobody"), (-5000, "everybody")])
def test_an_event_that_all_or_none_have_is_refused(limit, word):
    with pytest.raises(BadInput, match=f"{word} had the event at time 'rapid'"):
        PatientMeta(**COLUMNS, at_least=limit).prepare(table())
