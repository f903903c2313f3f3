"""Missing moderators imputed: what is drawn, what is refused, and one posterior of all versions of the data."""

import functools

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesdep as bd
from bayesdep.criticism.refit import score_left_out_units
from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import check_convergence, diagnose
from bayesdep.models.patient_meta import imputation
from bayesdep.models.patient_meta.imputation import impute
from bayesdep.models.patient_meta.imputation_model import ImputationModel
from bayesdep.models.patient_meta.model import PatientMeta

SETTINGS = {
    "reference": "control", "outcome": "improvement", "baseline": "madrs_baseline", "units": "% improvement",
    "moderators": ("trd", "systolic", "smoker"), "split": False, "missing_moderators": "impute", "imputations": 3,
    "study_levels": "random",
}  # fmt: skip


def variant(**settings):
    return PatientMeta(**SETTINGS | settings)


MODEL = variant()


@functools.cache
def table():
    return bd.simulate("price2022", seed=1).table


@pytest.fixture
def short(monkeypatch):
    """Short chains, where it does not matter whether they have converged."""
    for name, value in {"BURN_IN": 20, "BETWEEN": 5, "FEWEST_DRAWS": 5}.items():
        monkeypatch.setattr(imputation, name, value)
    imputation._impute.cache_clear()
    yield
    imputation._impute.cache_clear()


def test_nobody_is_left_out_and_what_is_known_stays(short):
    data = MODEL.prepare(table())
    assert data.sizes["subject"] == 720
    assert data.attrs["left_out"] == ""
    assert data.attrs["imputation"] == (
        "Missing and imputed, of 720 patients: systolic in 281 (5 whole studies), smoker in 392 (9 whole studies)"
    )
    imputed = data["imputed"].values * data["scale"].values + data["centre"].values
    recorded = data["moderators"].values
    known = ~np.isnan(recorded)
    for one in imputed:
        np.testing.assert_allclose(one[known], recorded[known], rtol=1e-12)
    smoker = imputed[:, :, 2]
    np.testing.assert_allclose(smoker, smoker.round(), atol=1e-12)
    assert set(smoker.round().ravel()) == {0, 1}
    drawn = imputed[:, ~known[:, 1], 1]
    assert (drawn.std(axis=0) > 0).all()
    assert abs(drawn.mean() - np.nanmean(recorded[:, 1])) < 8  # mm Hg, of a sd of 15


def test_the_same_table_gives_the_same_imputations(short):
    first = MODEL.prepare(table())
    imputation._impute.cache_clear()
    xr.testing.assert_identical(first, MODEL.prepare(table()))


def test_a_table_that_is_prepared_again_is_not_imputed_again(short, monkeypatch):
    """Under other priors too; with other values it is, and what a caller does to its copy is its own affair."""
    made = []

    class Counted(ImputationModel):
        def __init__(self, *given):
            made.append(given)
            super().__init__(*given)

    monkeypatch.setattr(imputation, "ImputationModel", Counted)
    first = MODEL.prepare(table())
    kept = first.copy(deep=True)
    first["imputed"].values[:] = 0.0
    other = variant(priors={"effect": {"dist": "Normal", "mu": 0, "sigma": 7}})
    assert len(made) == imputation.CHAINS
    xr.testing.assert_identical(MODEL.prepare(table()), kept)
    xr.testing.assert_identical(other.prepare(table())["imputed"], kept["imputed"])
    assert len(made) == imputation.CHAINS
    changed = table().assign(systolic=table()["systolic"] + 1.0 * (table()["subject"] == table()["subject"].iloc[0]))
    MODEL.prepare(changed)
    assert len(made) == 2 * imputation.CHAINS


@pytest.mark.parametrize("settings", [{}, {"times": ("rapid",), "baseline": None, "at_least": 50.0}])
def test_a_version_is_what_its_own_table_would_give(settings, short):
    """Every version of the data equals what reading a table with these values filled in makes."""
    model = variant(**settings)
    data = model.prepare(table())
    versions = model.imputations_of(data)
    assert len(versions) == 3
    for one, parts in zip(versions, data["imputed"].values, strict=True):
        filled = table().copy()
        raw = pd.DataFrame(
            parts * data["scale"].values + data["centre"].values, data["subject"].values, model.moderators
        )
        for name in ("systolic", "smoker"):
            filled[name] = raw[name].reindex(filled["subject"]).to_numpy()
        whole = variant(missing_moderators="omit", **settings).prepare(filled)
        # each is centred and scaled by its own mean and sd: undone here, it is the same numbers
        np.testing.assert_allclose(
            whole["parts"].values * whole["scale"].values + whole["centre"].values,
            one["parts"].values * data["scale"].values + data["centre"].values, rtol=1e-10, atol=1e-9,
        )  # fmt: skip
        assert set(whole.variables) == set(one.variables)
        assert {v: whole[v].dims for v in whole} == {v: one[v].dims for v in one}
    if not model.is_binary:
        sums = [v["cross"].sum(("study", "pattern", "arm")).values for v in versions]
        z = np.column_stack([np.ones(720), data["baseline"].values, data["imputed"].values[2]])
        np.testing.assert_allclose(sums[2], z.T @ z, rtol=1e-10, atol=1e-9)


def test_where_nothing_is_missing_nothing_is_imputed():
    whole = variant(moderators=("trd", "age"))
    data = whole.prepare(table())
    assert "imputed" not in data
    omitted = variant(moderators=("trd", "age"), missing_moderators="omit").prepare(table())
    xr.testing.assert_identical(data, omitted)
    assert len(whole.imputations_of(data)) == 1


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"split": True}, "missing_moderators = 'impute' and split are both on"),
        ({"combined": ("systolic",)}, "values are imputed given the outcomes of all studies"),
        ({"imputations": 1}, "imputations = 1, but it takes two to show"),
        ({"imputations": 2.5}, "imputations = 2.5, but a whole number is needed"),
        ({"moderators": ()}, "'impute' needs moderators"),
        ({"missing_moderators": "drop"}, "missing_moderators = 'drop' is not a choice"),
    ],
)
def test_settings_that_contradict_each_other(settings, match):
    with pytest.raises(BadInput, match=match):
        variant(**settings)


def test_moderators_that_cannot_be_imputed():
    rows = table()
    of_study = rows.assign(country_code=rows["us"].where(rows["study"] != "Sos").astype(float))
    with pytest.raises(BadInput, match="'country_code' is the same in all patients of every study"):
        variant(moderators=("country_code",)).prepare(of_study)
    few = rows.assign(systolic=rows["systolic"].where(rows["study"].isin(["Su", "Mathew"])))
    with pytest.raises(BadInput, match=r"'systolic' is known of too few: .* of 2 studies"):
        MODEL.prepare(few)
    alike = rows.assign(systolic=rows["systolic"].where(rows["systolic"].isna(), 120.0))
    with pytest.raises(BadInput, match="'systolic' is the same in all patients"):
        MODEL.prepare(alike)


def test_r_hat_says_when_chains_have_not_met(monkeypatch):
    """Chains that start apart and do not move are told from those that do."""
    rng = np.random.default_rng(1)
    n = 120
    values = rng.normal(size=(n, 1))
    values[::3] = np.nan
    given = {"outcome": rng.normal(size=(n, 1)), "treated": np.arange(n) % 2, "study": np.arange(n) // 2 % 5,
             "baseline": np.empty((n, 0)), "shrunken": False, "imputations": 4}  # fmt: skip
    imputed, r_hat, _ = impute(values, ["x"], **given)
    assert imputed.shape == (4, n, 1)
    assert r_hat < 1.1

    def stuck(self, number):
        for _ in range(number):
            self.state.gamma = self.state.gamma + 0.01 * self.rng.normal(size=self.state.gamma.shape)
            yield self.state

    monkeypatch.setattr(ImputationModel, "draws", stuck)
    imputation._impute.cache_clear()
    found = impute(values, ["x"], **given)
    imputation._impute.cache_clear()  # of a model that nobody uses
    assert found[1] > 1.1


def test_versions_are_diagnosed_apart():
    rng = np.random.default_rng(1)
    apart = rng.normal(size=(12, 500)) + np.repeat([0.0, 5.0, 10.0], 4)[:, None]
    assert diagnose(apart)[0] > 2
    r_hat, bulk, tail = diagnose(apart, 3)
    assert r_hat < 1.01
    each = np.array([diagnose(x) for x in np.split(apart, 3)])
    assert (bulk, tail) == (pytest.approx(each[:, 1].sum()), pytest.approx(each[:, 2].sum()))
    apart[5] += 3  # one chain of the second
    draws = xr.Dataset({"mu": (("chain", "draw"), apart)})
    gate = check_convergence(draws, None, 3)
    worst = next(c for c in gate.criteria if c.name == "R-hat of one table")
    assert not worst.passed
    assert worst.where == "mu, table 2"
    assert [c.name for c in check_convergence(draws, None).criteria] == ["R-hat", "ESS bulk", "ESS tail"]


@pytest.mark.sampling
def test_versions_of_exact_posteriors_are_put_together():
    """Meta-analyses of three tables, each known exactly: the mixture's mean and variance."""
    trials = bd.load("eight_schools_rubin1981")
    tables = [trials.assign(effect=trials["effect"] + shift) for shift in (-6.0, 0.0, 6.0)]
    priors = {"mu": bd.Prior("Normal", mu=0, sigma=50), "tau": bd.Prior("HalfNormal", sigma=5)}
    model = bd.Meta(measure="difference", units="points", study="school", priors=priors)
    fit = bd.fit(model, tables, draws=2000, sampler="exact", seed=3)
    assert fit.tables == 3
    assert fit.posterior.sizes["chain"] == 12
    alone = [bd.summarise_exact(model.exact(model.prepare(t))).set_index("estimand").loc["mu"] for t in tables]
    mean, sd = (np.array([row[k] for row in alone], dtype=float) for k in ("mean", "sd"))
    row = bd.check_missing_information(fit).set_index("estimand").loc["mu"]
    assert row["mean"] == pytest.approx(mean.mean(), abs=0.15)
    assert row["sd_within"] == pytest.approx(np.sqrt((sd**2).mean()), rel=0.03)
    assert row["sd_between"] == pytest.approx(mean.std(ddof=1), rel=0.03)
    extra = 4 / 3 * mean.var(ddof=1)
    assert row["fraction_missing"] == pytest.approx(extra / ((sd**2).mean() + extra), rel=0.05)


def test_tables_of_other_studies_are_no_versions():
    trials = bd.load("eight_schools_rubin1981")
    priors = {"mu": bd.Prior("Normal", mu=0, sigma=50), "tau": bd.Prior("HalfNormal", sigma=5)}
    model = bd.Meta(measure="difference", units="points", study="school", priors=priors)
    with pytest.raises(BadInput, match="table 1 and table 2 are not versions of one table"):
        bd.fit(model, [trials, trials.iloc[:6]], draws=100, sampler="exact")
    with pytest.raises(BadInput, match="empty list of tables"):
        bd.fit(model, [])
    with pytest.raises(BadInput, match="one table, in which nothing was imputed"):
        bd.check_missing_information(bd.fit(model, trials, draws=100, sampler="exact"))


@functools.cache
def imputed_fit():
    return bd.fit(MODEL, table(), draws=800, tune=800, seed=2, progress=False)


@pytest.mark.sampling
def test_a_fit_is_of_all_versions_and_says_so(tmp_path):
    fit = imputed_fit()
    assert fit.gate.passed, fit.gate.sentence
    assert {"R-hat of one table", "R-hat of imputations"} < {c.name for c in fit.gate.criteria}
    assert fit.tables == 3
    assert fit.posterior.sizes["chain"] == fit.estimands.sizes["chain"] == 12
    assert "4 chains x 800 draws for each of 3 tables" in repr(fit)
    known = bd.check_missing_information(fit)
    known = known[known["estimand"] == "interaction"].groupby("part")["fraction_missing"].mean()
    assert known["systolic"] > known["trd"]
    assert known["smoker"] > known["trd"]
    fit.save(tmp_path / "fit.nc")
    again = bd.Fit.load(tmp_path / "fit.nc")
    assert again.tables == 3
    xr.testing.assert_identical(again.data["imputed"], fit.data["imputed"])
    page = bd.report(fit, tmp_path / "report.html").read_text()
    assert "Missing and imputed, of 720 patients" in page
    assert "for each of 3 versions of the data" in page
    assert "The fraction of missing information is largest for" in page
    assert bd.check_predictions(fit)["p"].between(0, 1).all()
    assert np.isfinite(bd.check_prior_sensitivity(fit)[["prior", "likelihood"]].to_numpy()).all()
    with pytest.raises(BadInput, match="this fit is of 3 versions of the data"):
        score_left_out_units(fit)


@pytest.mark.sampling
def test_the_fits_agree_with_the_imputation_models_own_posterior(monkeypatch):
    """Two ways to one posterior: PatientMeta by NUTS given 20 imputations, and the imputation model's own coefficients.

    Half a standard error apart at most: 20 imputations leave a mean off by up to 0.2 of one (twice that is rare), and
    spreads have other priors there.
    """
    model, traces = variant(times=("rapid",), imputations=20), []

    class Watched(ImputationModel):
        def draws(self, number):
            for step, state in enumerate(super().draws(number)):
                if step >= 200:
                    traces.append(state.gamma[-3:, 0].copy())
                yield state

    monkeypatch.setattr(imputation, "ImputationModel", Watched)
    imputation._impute.cache_clear()
    data = model.prepare(table())
    own = np.array(traces)  # moderators known of all first, then by how many lack them
    own[:, 1] *= float(data["scale"].sel(moderator="systolic")) / np.nanstd(data["moderators"].values[:, 1])
    found = bd.fit(model, data, draws=300, tune=400, seed=4, progress=False).estimands["interaction"].isel(time=0)
    for j, name in enumerate(("trd", "systolic", "smoker")):
        theirs, mine = found.sel(part=name).values, own[:, j]
        assert abs(theirs.mean() - mine.mean()) < 0.5 * mine.std(), name
        assert 0.8 < theirs.std() / mine.std() < 1.25, name
