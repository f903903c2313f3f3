"""Subgroups of trajectories: who belongs, means over members by hand, the pooling's scale, and separate fits."""

import functools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from common import draws_of
from scipy import stats
from test_trajectories import visits_and_markers

import bayesdep as bd
from bayesdep.models.trajectories import paths
from bayesdep.models.trajectories.links import BY_ARM
from bayesdep.models.trajectories.separate import separate_fits
from bayesdep.numerics.draws import stack_draws

SUBGROUPS = {"young": "age < 40", "old": "age >= 38", "middle": "35 < age <= 43"}
MARKERS = {"value": "pg_ml", "analyte": "marker"}


def model_of(**settings) -> bd.Trajectories:
    return bd.Trajectories(**({"reference": "p", "subgroups": SUBGROUPS} | settings))


@functools.cache
def table(people: int = 30, arms: str = "pdq") -> pd.DataFrame:
    return visits_and_markers(people=people, arms=arms)


def drawn(model: bd.Trajectories, data: xr.Dataset) -> xr.Dataset:
    return draws_of(model.build(data), count=2, seed=3)[1]


def members(data: xr.Dataset, subgroup: int) -> np.ndarray:
    return np.flatnonzero(data["subgroup_member"].values[subgroup])


# ---- who belongs


def test_members_are_those_of_whom_the_condition_holds():
    frame = table()
    data = model_of().prepare(frame)
    age = frame.groupby("subject")["age"].first().reindex(data["subject"].values).to_numpy()
    holds = [age < 40, age >= 38, (age > 35) & (age <= 43)]
    np.testing.assert_array_equal(data["subgroup_member"].values, np.array(holds).astype(int))
    np.testing.assert_allclose(data["subgroup_code"].values, np.array([h - h.mean() for h in holds]).T)


def test_whoever_is_not_known_to_belong_is_no_member_and_says_nothing():
    frame = table()
    frame = frame.assign(age=frame["age"].where(frame["subject"] != "s1"))
    data = model_of().prepare(frame)
    assert not data["subgroup_member"].sel(subject="s1").any()
    assert not data["subgroup_code"].sel(subject="s1").any()
    np.testing.assert_allclose(data["subgroup_code"].sum("subject"), 0, atol=1e-12)
    assert "of 1 patients it is not known whether they belong" in data.attrs["notes"]


def test_an_empty_cell_in_some_rows_of_a_patient_is_filled_by_the_others():
    frame = table()
    lacking = frame.assign(age=frame["age"].where(frame["marker"].isna()))  # the laboratory's rows do not say
    for one, other in ((frame, lacking),):
        xr.testing.assert_equal(
            model_of(**MARKERS).prepare(one)["subgroup_member"], model_of(**MARKERS).prepare(other)["subgroup_member"]
        )


# ---- the pooling's scale


def prior_variance(data: xr.Dataset) -> np.ndarray:
    """Variances of subgroups' deviations a priori where the spread is one."""
    return (data["subgroup_mean"].values ** 2).sum(axis=1) / float(data["subgroup_unit"]) ** 2


def test_the_spread_is_the_root_mean_square_of_subgroups_deviations():
    """By the codes, and in draws from the prior: the mean of (deviation / spread)^2 over subgroups is one."""
    model = model_of(subgroups=SUBGROUPS | {"all but one": "age > 30.5"})
    data = model.prepare(table())
    assert prior_variance(data).mean() == pytest.approx(1)
    import pymc as pm

    with model.build(data):
        prior = pm.sample_prior_predictive(
            4000, var_names=["subgroup_difference", "subgroup_difference_sd"], random_seed=1
        )
    found = prior["prior"].to_dataset()
    deviation = found["subgroup_difference"].values[0] @ data["subgroup_mean"].values.T  # (draws, comparison, subgroup)
    square = (deviation / found["subgroup_difference_sd"].values[0][:, None, None]) ** 2
    mean = square.mean(axis=(1, 2))
    assert abs(mean.mean() - 1) < 4 * mean.std() / np.sqrt(len(mean))


def test_a_subgroup_named_twice_changes_nothing():
    """The joint prior of patients' deviations is the same: the codes' products over q squared."""
    once, twice = (
        model_of(subgroups=s).prepare(table())
        for s in (SUBGROUPS, SUBGROUPS | {f"{name} again": text for name, text in SUBGROUPS.items()})
    )

    def covariance(data):
        code = data["subgroup_code"].values
        return code @ code.T / float(data["subgroup_unit"]) ** 2

    np.testing.assert_allclose(covariance(once), covariance(twice), rtol=1e-12, atol=1e-14)


# ---- estimands by hand


def test_an_association_in_a_subgroup_is_the_mean_over_its_members():
    model = model_of(**MARKERS, association=("change", "baseline"), equal_baseline=True, effects="student")
    data = model.prepare(table())
    posterior = drawn(model, data)
    found = model.estimands(posterior, data)
    code = data["subgroup_code"].values
    for k in range(2):
        draw = posterior.isel(chain=0, draw=k)
        for g in range(3):
            own = code[members(data, g)]
            for a in range(3):
                in_arm = np.array([(a == c + 1) - 1 / 3 for c in range(2)])
                each = [
                    draw["subgroup_association"].values @ c
                    + np.einsum("lmcg,g,c->lm", draw["subgroup_association_difference"].values, c, in_arm)
                    for c in own
                ]
                expected = draw[BY_ARM].values[:, :, a] + np.mean(each, axis=0)
                np.testing.assert_allclose(found["association_in"][0, k, :, :, a, g], expected, rtol=1e-9)
    inside = found["association_in"]
    difference = inside.isel(arm=slice(1, None)).values - inside.isel(arm=[0]).values
    np.testing.assert_allclose(found["association_difference_in"], difference, rtol=1e-9)
    np.testing.assert_allclose(
        found["association_difference_from_overall"],
        found["association_difference_in"] - found["association_difference"], rtol=1e-7, atol=1e-10,
    )  # fmt: skip


def test_a_difference_in_a_subgroup_is_the_mean_over_its_members_at_the_last_time():
    model = model_of(**MARKERS, course="linear")
    data = model.prepare(table())
    posterior = drawn(model, data)
    found = model.estimands(posterior, data)
    code = data["subgroup_code"].values
    for g in range(3):
        own = code[members(data, g)].mean(axis=0)
        for name in ("difference", "marker_difference"):
            expected = found[name].isel({found[name].dims[-1]: -1}) + posterior[f"subgroup_{name}"].values @ own
            np.testing.assert_allclose(found[f"{name}_in"].isel(subgroup=g), expected, rtol=1e-9)


@pytest.mark.parametrize("at", [(), (0.0, 2.0)])
def test_a_difference_in_a_subgroup_is_of_the_patients_means_at_the_last_reported_time(at):
    """Deviations grow over the follow-up, which markers may make longer than the outcome's: half-way, half are there.

    By members' expected outcomes and markers, each put into both arms.
    """
    frame = table(arms="pd")
    frame = frame[(frame["time"] <= 2) | frame["marker"].notna()]  # the outcome ends at 2 of 5
    model = model_of(**MARKERS, course="linear", marker_course="linear", at=at)
    data = model.prepare(frame)
    posterior = drawn(model, data)
    found = model.estimands(posterior, data)
    draws = stack_draws(posterior)
    arms = {a: data["arm_code"].values[np.flatnonzero(data["arm_of"].values == a)[0]] for a in (0, 1)}
    put = {a: data.assign(arm_code=data["arm_code"] * 0 + code) for a, code in arms.items()}
    for name, expected, times in (
        ("difference", paths.mean_outcomes_of_patients, "time"),
        ("marker_difference", paths.mean_markers_of_patients, "marker_time"),
    ):
        asked = data["marker_reported_time" if name.startswith("marker") else "reported_time"].values[-1]
        each = expected(model, draws, put[1]) - expected(model, draws, put[0])
        person = int(np.flatnonzero((data[times].values == asked).any(axis=1))[0])
        visit = int(np.flatnonzero(data[times].values[person] == asked)[0])
        assert (data[times].values[:, visit] == asked).all()
        for g in range(3):
            mean = each[:, members(data, g)][..., visit].mean(axis=1)
            value = found[f"{name}_in"].isel(subgroup=g, comparison=0).transpose("chain", "draw", ...)
            np.testing.assert_allclose(value.values.reshape(mean.shape), mean, rtol=1e-9)


def test_without_deviations_every_subgroup_is_as_all_patients():
    model = model_of(**MARKERS, association="value")
    data = model.prepare(table())
    posterior = drawn(model, data)
    posterior = posterior.assign({n: v * 0 for n, v in posterior.items() if "subgroup" in v.dims})
    found = model.estimands(posterior, data)
    assert not found["association_from_overall"].values.any()
    np.testing.assert_array_equal(
        found["association_difference_in"].isel(subgroup=0), found["association_difference_in"].isel(subgroup=2)
    )


# ---- separate fits


def changes(data: xr.Dataset, marker: int) -> tuple[np.ndarray, np.ndarray]:
    """By patient: least-squares slopes over the follow-up of outcome and marker, by numpy's polynomials."""
    found = []
    for values, time in ((data["outcome"].values, data["time"].values), (data["upper"].values[:, marker],
                         data["marker_time"].values)):  # fmt: skip
        slopes = []
        for y, t in zip(values, time, strict=True):
            seen = np.isfinite(y)
            slopes.append(np.polyfit(t[seen] / 5, y[seen], 1)[0] if seen.sum() > 1 else np.nan)
        found.append(np.array(slopes))
    return found[0], found[1]


def test_a_separate_fit_is_a_regression_of_slopes_on_slopes():
    """With one arm it is scipy's linregress of the members; the area has half the slope, so twice the association."""
    model = bd.Trajectories(reference=None, arm=None, subgroups=SUBGROUPS, **MARKERS, association=("change", "area"))
    data = model.prepare(table())
    found = separate_fits(model, data)
    for m in range(2):
        y, x = changes(data, m)
        for g in range(3):
            rows = members(data, g)
            rows = rows[np.isfinite(y[rows]) & np.isfinite(x[rows])]
            known = stats.linregress(x[rows], y[rows])
            half = stats.t.ppf(0.975, len(rows) - 2) * known.stderr
            assert float(found["association"][0, m, 0, g]) == pytest.approx(known.slope)
            assert float(found["association_upper"][0, m, 0, g]) == pytest.approx(known.slope + half)
            assert float(found["association"][1, m, 0, g]) == pytest.approx(2 * known.slope)


def test_a_separate_difference_is_a_t_test_of_changes():
    """With two arms it is scipy's t test of the members, with equal variances."""
    model = model_of(**MARKERS, equal_baseline=True)
    data = model.prepare(table(arms="pd"))
    found = separate_fits(model, data)
    change = []
    for row in data["outcome"].values:
        seen = np.flatnonzero(np.isfinite(row))
        change.append(row[seen[-1]] - row[seen[0]])
    change, arm = np.array(change), data["arm_of"].values
    for g in range(3):
        rows = members(data, g)
        test = stats.ttest_ind(change[rows[arm[rows] == 1]], change[rows[arm[rows] == 0]])
        low, high = test.confidence_interval()
        assert float(found["difference_lower"][0, g]) == pytest.approx(low)
        assert float(found["difference_upper"][0, g]) == pytest.approx(high)


def test_a_difference_of_separate_associations_has_both_errors():
    model = model_of(**MARKERS, association="change")
    data = model.prepare(table(arms="pd"))
    found = separate_fits(model, data).isel(link=0)
    difference = found["association"].isel(arm=1) - found["association"].isel(arm=0)
    np.testing.assert_allclose(found["association_difference"].isel(comparison=0), difference)
    half = [(found[f"{q}_upper"] - found[q]) for q in ("association", "association_difference")]
    np.testing.assert_allclose(half[1].isel(comparison=0), np.sqrt((half[0] ** 2).sum("arm")))


# ---- how many were looked at


def test_the_report_says_how_many_were_looked_at_and_how_many_look_like_findings():
    model = model_of(**MARKERS, association="change")
    data = model.prepare(table(arms="pd"))
    found = model.estimands(drawn(model, data), data)
    ends = separate_fits(model, data)
    striking = sum(
        int(((ends[f"{q}_lower"] > 0) | (ends[f"{q}_upper"] < 0)).sum())
        for q in ("association", "association_difference")
    )
    said = model.looked_at(found, data)
    assert "2 markers x 2 questions (association and association difference), in 6 intervals of 95%" in said
    assert "3 subgroups x 2 markers x 2 questions, 18 intervals" in said
    assert f"{striking} of 18 would: without any effect about 1 are expected" in said
    either_side, above = (found.map(lambda x, at=at: xr.zeros_like(x) + at) for at in
                          (xr.DataArray([-1.0, 1.0], dims="draw"), xr.DataArray([1.0, 2.0], dims="draw")))  # fmt: skip
    assert model.looked_at(either_side, data).count("of which 0 exclude no effect") == 2
    assert "of which 6 exclude no effect" in model.looked_at(above, data)
    assert "of which 18 exclude no effect" in model.looked_at(above, data)
    assert bd.Trajectories(reference="p").looked_at(found, data) == ""
