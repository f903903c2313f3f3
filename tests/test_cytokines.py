"""Cytokines: settings and tables refused in one sentence, tables read, and estimands against the same by hand."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import linalg, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import at_draws, from_prior, log_density
from bayesdep.models.cytokines.model import Cytokines
from bayesdep.models.cytokines.rough_effects import conditionals, rough_effects

DATA = Path(__file__).parent / "data"
NAMES = {"analyte": "analyte", "subject": "subject"}
GROUPS = {"group": "group", "reference": "HC"}
EXAMPLES = {
    "flag": {"censored": "flag", "lod": "lod", "lloq": "lloq"},
    "text": {"lod": "lod", "uloq": "uloq"},
    "columns": {"lod": "lod", "lloq": "lloq", "uloq": "uloq", "beyond_limit": "censor"},
    "limits": {"lod": "lod", "lloq": "lloq", "uloq": "uloq"},
    "mixed": {"censored": "flag", "lod": "lod", "lloq": "lloq", "uloq": "uloq", "beyond_limit": "censor"},
}


def example(form, **settings):
    table = pd.read_csv(DATA / f"detection_{form}.csv")
    if form == "limits":
        table = bd.add_limits(table, pd.read_csv(DATA / "limits.csv"))
    model = Cytokines(**NAMES, **GROUPS, plate="plate", unit="unit", **EXAMPLES[form], **settings)
    return model, model.prepare(table)


def small(**columns):
    """Four people, two analytes, two plates."""
    people = [("s1", "HC", "p1"), ("s2", "TRD", "p1"), ("s3", "HC", "p2"), ("s4", "TRD", "p2")]
    rows = [
        {"subject": s, "group": g, "plate": p, "analyte": a, "age": 30.0 + i * i, "concentration": 1.0 + i + k}
        for i, (s, g, p) in enumerate(people)
        for k, a in enumerate(("IL-6", "CRP"))
    ]
    return pd.DataFrame(rows).assign(**columns)


# ---- settings

BAD_SETTINGS = [
    ({"group": "group"}, "group is given without reference"),
    ({"reference": "HC"}, "reference is given without group"),
    ({"baseline": "0"}, "baseline is given without time"),
    ({"time": "time"}, "time needs a column of subjects"),
    ({"group_by_time": True}, "group_by_time needs a column of groups"),
    ({"group_by_time": True, **GROUPS}, "group_by_time needs a column of times"),
    ({"shared_factor": True}, "shared_factor needs a column of analytes"),
    ({"shared_factor": True, "analyte": "analyte"}, "shared_factor needs a column of subjects"),
    ({"analyte_family": "f", **NAMES}, "analyte_family needs a column of groups"),
    ({"analyte_family": "f", **NAMES, **GROUPS, "pooling": "none"}, "analyte_family pools analytes, but pooling"),
    ({"equivalence": 1}, "equivalence = 1"),
    ({"equivalence": 0.8}, "a ratio above 1 is needed"),
    ({"pooling": "complete"}, "pooling = 'complete' is not a choice"),
    ({"substitute": "zero"}, "substitute = 'zero' is not a choice"),
    ({"beyond_limit": "drop"}, "beyond_limit = 'drop'"),
    ({"analyte": 3}, "analyte = 3"),
    ({"priors": {"group_mean": bd.Prior("Normal", mu=0, sigma=1)}}, "priors.group_mean: the model has no such"),
    ({"priors": {"residual_sd": bd.Prior("Normal", mu=0, sigma=1)}}, "priors.residual_sd"),
]


@pytest.mark.parametrize(("settings", "message"), BAD_SETTINGS)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(BadInput) as raised:
        Cytokines(**settings)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


EVERY = {
    "plain": ({}, {"level", "residual_sd"}),
    "analytes": (
        {"analyte": "analyte"}, {"level_mean", "level_sd", "residual_mean", "residual_spread"},
    ),
    "groups": ({**NAMES, **GROUPS}, {"group_mean", "group_sd", "subject_sd"}),
    "times": ({**NAMES, "time": "time"}, {"time_mean", "time_sd", "cell_ratio", "subject_sd"}),
    "both": (
        {**NAMES, **GROUPS, "time": "time", "group_by_time": True}, {"interaction_mean", "interaction_sd"},
    ),
    "unpooled": (
        {**NAMES, **GROUPS, "pooling": "none"}, {"level", "group_effect", "residual_sd", "subject_sd"},
    ),
    "plates": ({**NAMES, "plate": "plate"}, {"plate_sd"}),
    "covariates": ({**NAMES, "covariates": "age"}, {"covariate_mean", "covariate_sd"}),
    "families": ({**NAMES, **GROUPS, "analyte_family": "family"}, {"group_family_sd"}),
    "factor": ({**NAMES, "shared_factor": True}, {"loading_sd"}),
    "robust": ({"robust": True}, {"nu"}),
    "one analyte in time": ({"subject": "subject", "time": "time"}, {"level", "time_effect", "cell_ratio"}),
}  # fmt: skip


@pytest.mark.parametrize("name", EVERY)
def test_priors_are_those_of_the_terms_switched_on(name):
    settings, own = EVERY[name]
    slots = set(Cytokines(**settings).slots)
    assert own <= slots
    if name in ("plain", "unpooled", "one analyte in time"):
        assert slots == own | ({"residual_sd"} if name != "unpooled" else set())
    else:
        assert not own & (set(Cytokines().slots) - own)
    for other in ("plates", "factor", "robust", "families", "covariates"):
        if other != name:
            assert not slots & EVERY[other][1]


def test_the_model_is_told_as_it_is_set():
    plain = Cytokines(**NAMES, **GROUPS)
    assert plain.words == (
        "Log concentrations are normal around an expected level for each analyte; groups differ from HC, people have "
        "a general level. Effects of the analytes are drawn towards their mean as far as the data allow: intervals are "
        "right on average over analytes, and not for a few that differ from the rest. A value beyond a detection limit "
        "enters as the probability of lying there."
    )
    assert plain.formula[:3] == [
        "log_concentration[m] ~ Normal(eta[m], residual_sd[a]), censored at its limits",
        "eta[m] = level[a] + group_effect[a] group[i] + subject[i]",
        "level[a] ~ Normal(level_mean, level_sd)",
    ]
    assert "subject_sd ~ HalfNormal(sigma=1)" in plain.formula
    robust = dataclasses.replace(plain, robust=True, priors={}, substitute="half")
    assert robust.words.startswith("Log concentrations are Student t")
    assert "FOR CONTRAST ONLY: non-detects are replaced by their limit divided by 2." in robust.words
    assert robust.formula[0].startswith("log_concentration[m] ~ StudentT(nu, eta[m], residual_sd[a])")
    families = Cytokines(**NAMES, **GROUPS, analyte_family="family")
    assert "group_effect[a] ~ Normal(group_family[f], group_sd)" in families.formula
    for settings, _ in EVERY.values():
        model = Cytokines(**settings)
        assert model.left_out == ("cell" if model.time else "measurement")
        assert len(model.formula) >= 2 + len(model.slots)


# ---- tables

BAD_TABLES = [
    (NAMES | GROUPS | {"reference": "hc"}, small(), "reference = 'hc' is not in column 'group'; did you mean 'HC'?"),
    (NAMES, small(analyte="IL-6", subject=[f"s{i}" for i in range(8)]), "has one analyte, 'IL-6'"),
    (NAMES, small(subject=["s1"] * 4 + list("abcd")), "set replicates = True where these are wells of one sample"),
    (
        NAMES | {"time": "t"},
        small(subject=["s1"] * 4 + list("abcd"), t=[0, 0, 0, 1, 0, 1, 0, 1]),
        "leave time out and set replicates = True",
    ),
    (NAMES | GROUPS, small(group=["HC", "TRD"] + ["HC", "TRD"] * 3), "each subject has one, so correct the row"),
    (NAMES | GROUPS, small(group="HC"), "is 'HC' throughout"),
    (NAMES | {"plate": "plate"}, small(plate="p1"), "is 'p1' throughout"),
    (NAMES | GROUPS | {"plate": "plate"}, small(plate=list("aabb") * 2), "every plate holds one group only"),
    (NAMES | {"covariates": "agee"}, small(), "there is no column 'agee' in the table; did you mean 'age'?"),
    (NAMES | {"covariates": "age"}, small(age=4.0), "'age' does not vary"),
    (NAMES | {"time": "week", "baseline": "9"}, small(week=[0, 0, 1, 1] * 2), "baseline = '9' is not in column 'week'"),
    (NAMES | GROUPS | {"analyte_family": "f"}, small(f=list("aabbaabb")), "each analyte has one, so"),
    ({"analyte": "marker"}, small(), "column 'marker'"),
    ({}, small(concentration=[1, 2, 3, 4, 0, 6, 7, 8]), "row 5"),
    (NAMES | {"lod": "lod"}, small(lod=3.5), "below"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "table", "message"), BAD_TABLES)
def test_bad_tables_are_refused_in_one_sentence(settings, table, message):
    with pytest.raises(BadInput) as raised:
        Cytokines(**settings).prepare(table)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("form", EXAMPLES)
def test_five_forms_of_one_table_are_one_panel(form):
    _, found = example(form)
    _, whole = example("limits")
    for name in ("kind", "analyte_of", "subject_of", "group_of", "time_of", "plate_of", "group_code", "unit"):
        np.testing.assert_array_equal(found[name], whole[name], err_msg=name)
    for name in ("lower", "upper", "centre"):
        np.testing.assert_allclose(found[name], whole[name], rtol=0, atol=1e-12, err_msg=name)
    for name in ("lod", "uloq"):
        known = np.isfinite(found[name].values)
        np.testing.assert_allclose(found[name].values[known], whole[name].values[known], rtol=1e-12)
    np.testing.assert_array_equal(found["measurement"], whole["measurement"])


def test_rows_are_sorted_and_every_limit_stands_at_its_end():
    _, data = example("limits")
    table = bd.add_limits(pd.read_csv(DATA / "detection_limits.csv"), pd.read_csv(DATA / "limits.csv"))
    kind, rows = data["kind"].values, data["measurement"].values - 1
    cut = np.array([0, 1, 1, 2])[kind]
    assert (np.diff(cut) >= 0).all()
    assert list(data["group"].values) == ["HC", "TRD"]
    for c in range(3):
        part = cut == c
        key = np.stack([data["analyte_of"].values[part], data["subject_of"].values[part]], axis=1).tolist()
        assert key == sorted(key)
    for name in ("analyte", "subject", "group", "plate"):
        np.testing.assert_array_equal(data[name].values[data[f"{name}_of"].values], table[name].to_numpy()[rows])
    lower, upper = data["lower"].values, data["upper"].values
    lod, uloq = np.log(table["lod"].to_numpy(float)[rows]), np.log(table["uloq"].to_numpy(float)[rows])
    assert set(kind) == {0, 1, 2, 3}
    np.testing.assert_array_equal(lower[kind == 0], upper[kind == 0])
    assert (lower[kind == 1] == -np.inf).all()
    np.testing.assert_allclose(upper[kind == 1], lod[kind == 1], rtol=1e-12)
    assert (upper[kind == 2] == np.inf).all()
    np.testing.assert_allclose(lower[kind == 2], uloq[kind == 2], rtol=1e-12)
    np.testing.assert_allclose(lower[kind == 3], lod[kind == 3], rtol=1e-12)
    known = np.where(kind == 2, lower, upper)
    np.testing.assert_allclose(data["centre"].values, np.full(6, known.mean()), rtol=1e-12)
    # 12 of 26 are controls: the code is an indicator less the share of people
    np.testing.assert_allclose(data["group_code"].values[:, 0], [-14 / 26, 12 / 26], rtol=1e-12)
    assert data.sizes["comparison"] == 1
    assert data.sizes["later"] == 0


def test_analytes_on_their_own_have_centres_of_their_own():
    _, data = example("limits", pooling="none")
    for a in range(6):
        rows = data["analyte_of"].values == a
        known = np.where(data["kind"].values == 2, data["lower"].values, data["upper"].values)
        assert float(data["centre"][a]) == pytest.approx(known[rows].mean(), rel=1e-12)


def test_rough_effects_touch_the_likelihood_of_each_analyte():
    """Least squares where all is detected; less is known where less is; a later time counts for nothing."""
    rng = np.random.default_rng(6)
    people, group = np.arange(200), np.arange(200) % 2
    logs = rng.normal(0.5 + 0.6 * group, 0.7)
    limits = {"a": -np.inf, "b": np.quantile(logs, 0.7), "c": logs.max() + 1}
    rows = [
        {"analyte": a, "subject": f"s{i}", "group": ("HC", "TRD")[group[i]], "below": logs[i] < limit}
        | {"concentration": np.exp(max(logs[i], limit))}
        for a, limit in limits.items()
        for i in people
    ]
    table = pd.DataFrame(rows).assign(time=0)
    later = table.assign(time=4, concentration=1e3, below=False)
    later = pd.concat([later, later[later["analyte"] == "a"].assign(analyte="d")])
    data = Cytokines(**NAMES, **GROUPS, censored="below", time="time").prepare(
        pd.concat([table, later], ignore_index=True)
    )
    rough = rough_effects(data)
    means = np.array([logs[group == g].mean() for g in (0, 1)])
    sd = np.sqrt(np.mean((logs - means[group]) ** 2))
    expected = [np.log(sd), means[1] - means[0], means.mean() - data["centre"].values[0]]
    errors = np.array([1 / np.sqrt(400), 2 * sd / np.sqrt(200), sd / np.sqrt(200)])
    at = rough.estimate[0].copy()
    for j in (1, 2):
        at[j] += rough.slope[0, j, :j] @ np.array(expected[:j])
    assert (np.abs(at - expected) < 0.2 * errors).all(), (at, expected)
    np.testing.assert_allclose(rough.error[0], errors, rtol=0.05)
    # b: 70% hidden, so more spread goes with a lower level; c: never detected; d: not measured at baseline
    assert rough.slope[1, 2, 0] < -0.3
    assert rough.log_sd[0] == pytest.approx(np.log(sd), abs=0.01)
    assert (rough.error[1] > 1.03 * rough.error[0]).all()
    assert (rough.error[2] > 5 * rough.error[0]).all()
    np.testing.assert_array_equal(rough.estimate[3], 0.0)
    np.testing.assert_array_equal(rough.error[3], 100.0)


def test_analytes_that_were_never_detected_say_nothing_of_a_residual_sd():
    """Their limits are all alike, which is no spread of values; most of a panel may be so."""
    rng = np.random.default_rng(7)
    rows = [
        {"analyte": f"x{k}", "subject": f"s{i}", "group": ("HC", "TRD")[i % 2], "below": k > 0}
        | {"concentration": np.exp(0.3 * k) if k else rng.lognormal(0, 0.7)}
        for k in range(5)
        for i in range(40)
    ]
    rough = rough_effects(Cytokines(**NAMES, **GROUPS, censored="below").prepare(pd.DataFrame(rows)))
    assert float(rough.estimate[0, 0]) == pytest.approx(np.log(0.7), abs=0.3)
    assert rough.error[0, 0] < 0.2
    assert (rough.error[1:, 0] == 100).all()
    assert (np.abs(rough.log_sd[1:] - rough.log_sd[0]) < 2).all()  # where their levels were estimated
    assert np.isfinite(rough.estimate).all()
    assert np.isfinite(rough.slope).all()


@pytest.mark.parametrize("hidden", [0.0, 0.5])
def test_rough_residual_sds_leave_out_what_people_differ_by_in_all_analytes(hidden):
    """People's levels have an sd of 1.5 beside residuals of 0.3 to 0.6; left in, all sds would be near 1.5."""
    rng = np.random.default_rng(8)
    sd, person, group = rng.uniform(0.3, 0.6, 12), rng.normal(0, 1.5, 80), np.arange(80) % 2
    logs = person[:, None] + 0.4 * group[:, None] + sd * rng.normal(size=(80, 12))
    limit = np.quantile(logs, hidden, axis=0) if hidden else np.full(12, -np.inf)
    limit[6:] = -np.inf
    below = logs < limit
    rows = {
        "analyte": np.tile([f"x{k:02d}" for k in range(12)], 80),
        "subject": np.repeat([f"s{i}" for i in range(80)], 12),
        "group": np.repeat(np.array(["HC", "TRD"])[group], 12),
        "below": below.ravel(),
        "concentration": np.exp(np.where(below, limit, logs)).ravel(),
    }
    data = Cytokines(**NAMES, **GROUPS, censored="below").prepare(pd.DataFrame(rows))
    rough = rough_effects(data, people=True)
    z = (rough.estimate[:, 0] - np.log(sd)) / rough.error[:, 0]
    assert np.abs(z).max() < 4
    assert np.sqrt((z**2).mean()) < 2
    # differences between groups are those of the analyte and of the group's people: exact where nothing is hidden
    cells = np.array([(logs[group == 1, k].mean() - logs[group == 0, k].mean()) for k in range(6, 12)])
    relative = np.exp(np.log(sd) - rough.log_sd)[6:]
    at_no_sd = rough.estimate[6:, 1] + rough.slope[6:, 1, 0] * (rough.log_sd[6:] - 1)
    found = at_no_sd + rough.slope[6:, 1, 0] * relative
    assert (np.abs(found - cells) < 0.5 * rough.error[6:, 1]).all()
    assert (rough.error[6:, 1] < 2 * 2 * sd[6:] / np.sqrt(80)).all()


def test_of_rough_effects_the_ones_given_before_are_conditional_means():
    """From a parabola's precision, against the conditionals of the joint normal it makes with the weak prior."""
    rng = np.random.default_rng(2)
    root = rng.normal(size=(4, 4))
    precision, at, mean, width = root @ root.T + np.eye(4), rng.normal(size=4), rng.normal(size=4), np.full(4, 0.7)
    estimate, error, slope = conditionals(precision, precision @ at, mean, width)
    for j in range(4):
        later = np.arange(4) > j
        joint = precision + np.diag(later / width**2)
        covariance = np.linalg.inv(joint)
        centre = covariance @ (precision @ at + later * mean / width**2)
        before = rng.normal(size=j)
        gain = covariance[j, :j] @ np.linalg.inv(covariance[:j, :j]) if j else np.zeros(0)
        assert estimate[j] + slope[j, :j] @ before == pytest.approx(centre[j] + gain @ (before - centre[:j]), rel=1e-9)
        assert error[j] ** 2 == pytest.approx(covariance[j, j] - gain @ covariance[:j, j], rel=1e-9)


def test_zeros_with_a_limit_are_below_it_and_a_floor_is_noted():
    """A zero is below its row's limit or its analyte's only one; a value in more than a tenth of rows is noted."""
    table = pd.DataFrame(
        {
            "analyte": ["a"] * 4 + ["b"] * 10 + ["c"] * 20,
            "concentration": [0, 0.0, 2, 3, *[0.01] * 2, *range(1, 9), *[0.01] * 2, *range(1, 19)],
            "lod": [0.5, None, None, 0.5, *[None] * 30],
        }
    )
    data = Cytokines(analyte="analyte", lod="lod", beyond_limit="censor").prepare(table)
    below = data["kind"].values == 1
    assert sorted(data["measurement"].values[below]) == [1, 2]
    np.testing.assert_allclose(data["upper"].values[below], np.log(0.5))
    notes = data.attrs["notes"].split("\n")
    assert [n for n in notes if "floor" in n] == [
        n for n in notes if "of b, 0.01, stands in 2 of its 10 rows (20%)" in n
    ]
    assert len(notes) == 1
    with pytest.raises(BadInput, match="beyond_limit = 'censor'"):
        Cytokines(analyte="analyte", lod="lod").prepare(table)
    with pytest.raises(BadInput, match="above zero"):  # b has no limit
        Cytokines(analyte="analyte", lod="lod", beyond_limit="censor").prepare(table.replace(0.01, 0.0))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_splitting_the_means_leaves_their_joint_prior_with_people(groups):
    """All is linear in standard normals given the sd between people, so the covariance is found exactly."""
    people = [2, 5, 3, 4][:groups]
    rows = [
        {"analyte": a, "subject": f"{g}{i}", "group": f"g{g}", "concentration": 1.0 + i + g}
        for g, n in enumerate(people)
        for i in range(n)
        for a in "xy"
    ]
    model = Cytokines(**NAMES, **({"group": "group", "reference": "g0"} if groups > 1 else {}))
    built = model.build(model.prepare(pd.DataFrame(rows)))
    sd, names = 0.8, ["level_mean", *(["group_mean"] if groups > 1 else []), "subject_effect"]
    normals = [f"{n}{end}" for n in names[:-1] for end in ("_standardised", "_split")] + ["person"]
    shapes = [built[n].shape.eval() for n in normals]
    sizes = [int(np.prod(shape)) for shape in shapes]
    every = np.eye(sum(sizes))
    parts = np.split(every, np.cumsum(sizes)[:-1], axis=1)
    units = {n: part.reshape(len(every), *shape) for n, part, shape in zip(normals, parts, shapes, strict=True)}
    given = {built["subject_sd"]: np.full(len(every), sd)}
    given |= {built[n]: values for n, values in units.items() if not n.endswith("_split")}
    given[built["person"]] = sd * units["person"]
    for n in names[:-1]:  # what people add is normal given the sum, with the mean and sd that the model states
        place, width = at_draws(built[f"{n}_split"].owner.inputs[-2:], given)
        given[built[f"{n}_split"]] = place + width * units[f"{n}_split"]
    found = at_draws([built[n] for n in names], given)
    columns = np.concatenate([x.reshape(len(every), -1) for x in found], axis=1)
    contrasts = 1.5**2 * (np.eye(groups - 1) + 1) / 2
    expected = linalg.block_diag([[2.5**2]], contrasts, sd**2 * np.eye(sum(people)))
    if groups == 1:
        expected = linalg.block_diag([[2.5**2]], sd**2 * np.eye(sum(people)))
    np.testing.assert_allclose(columns.T @ columns, expected, atol=1e-12)


def joint_density(built, points):
    """Log joint density at values of the parameters, without compiling anything."""
    given = {built[name]: values for name, values in points.items()}
    parts = log_density(built.free_RVs, {rv: rv for rv in built.free_RVs}, given)
    parts += log_density(built.observed_RVs, built.rvs_to_values, given)
    return sum(x.reshape(len(x), -1).sum(axis=1) for x in parts)


def test_the_density_is_the_same_in_any_unit_and_whichever_group_is_the_reference():
    table = three()
    settings = {"plate": "plate", "lod": "lod", "beyond_limit": "censor", "group": "group"}
    model = Cytokines(**NAMES, **settings, reference="HC")
    built = model.build(model.prepare(table))
    names = [rv.name for rv in built.free_RVs]
    points = dict(zip(names, from_prior([built[n] for n in names], 5, seed=1), strict=True))
    expected = joint_density(built, points)
    for shift in (2.0**10, 2.0**20):
        other = table.assign(concentration=table["concentration"] * shift, lod=table["lod"] * shift)
        # on the log scale the Jacobian is one
        found = joint_density(model.build(model.prepare(other)), points)
        np.testing.assert_allclose(found, expected, rtol=1e-10)
    turned = Cytokines(**NAMES, **settings, reference="TRD")
    mirrored = {
        k: -v if k.startswith("group_") and not {"sd", "nu"} & {*k.split("_")} else v for k, v in points.items()
    }
    found = joint_density(turned.build(turned.prepare(table)), mirrored)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_times_are_in_order_of_their_numbers_and_the_baseline_first():
    table = pd.concat([small(time=t) for t in (24, 0, 4)], ignore_index=True)
    order = [list(Cytokines(**NAMES, time="time", baseline=b).prepare(table)["time"].values) for b in (None, "4")]
    assert order == [["0", "4", "24"], ["4", "0", "24"]]


@pytest.mark.parametrize(("word", "divisor"), [("half", 2.0), ("root2", np.sqrt(2.0))])
def test_a_substitute_is_a_number_in_place_of_every_non_detect(word, divisor):
    model, found = example("limits", substitute=word)
    _, whole = example("limits")
    found, whole = (d.sortby("measurement") for d in (found, whole))
    low = whole["kind"].values == 1
    for end in ("lower", "upper"):
        np.testing.assert_allclose(found[end].values[low], whole["upper"].values[low] - np.log(divisor), rtol=1e-12)
        np.testing.assert_array_equal(found[end].values[~low], whole[end].values[~low])
    np.testing.assert_array_equal(found["kind"], np.where(low, 0, whole["kind"]))
    _, again = example("limits", substitute=word)
    assert (np.diff(np.array([0, 1, 1, 2])[again["kind"].values]) >= 0).all()
    model.build(again)  # and can be built


# ---- estimands

LEVEL, EFFECT, SD = np.array([0.3, -0.2, 0.9]), np.array([0.5, -0.1, 0.2]), np.array([0.7, 0.9, 1.1])


def three(times=(0,)):
    rng = np.random.default_rng(1)
    rows = [
        {"subject": f"s{i}", "group": ("HC", "TRD")[i % 3 > 0], "plate": f"p{i // 3}", "age": 20.0 + i * i, "time": t}
        | {"analyte": a, "concentration": float(np.exp(rng.normal())), "lod": {"p0": 0.4, "p1": 0.6}[f"p{i // 3}"]}
        for i, a, t in itertools.product(range(6), "abc", times)
    ]
    return pd.DataFrame(rows)


def at_one_draw(model, data, **values):
    """The estimands of one draw, every dim but the draw's kept."""
    dims = {
        "level": ("analyte",), "group_effect": ("analyte", "comparison"), "residual_sd": ("analyte",),
        "group_mean": ("comparison",),
        "plate_latent": ("analyte", "plate"), "subject_effect": ("subject",), "loading": ("analyte",),
        "time_effect": ("analyte", "later"), "interaction": ("analyte", "comparison", "later"),
        "covariate_effect": ("analyte", "covariate"),
    }  # fmt: skip
    posterior = {k: (("chain", "draw", *dims.get(k, ())), np.asarray(v, float)[None, None]) for k, v in values.items()}
    coords = {d: data[d].values for d in ("analyte", "comparison", "later", "plate", "subject", "covariate")}
    return model.estimands(xr.Dataset(posterior, coords), data).isel(chain=0, draw=0)


def test_estimands_of_groups_equal_hand_computation():
    model = Cytokines(**NAMES, **GROUPS, plate="plate", lod="lod", beyond_limit="censor", shared_factor=True,
                      equivalence=1.1)  # fmt: skip
    data = model.prepare(three())
    plate, loading = np.array([[0.2, -0.2], [0.5, -0.5], [-0.1, 0.1]]), np.array([0.1, 0.2, 0.3])
    found = at_one_draw(
        model, data, level=LEVEL, group_effect=EFFECT[:, None], group_mean=[0.1], group_sd=0.3, residual_sd=SD,
        subject_sd=0.4, plate_sd=0.5, plate_latent=plate, loading=loading, subject_effect=np.zeros(6), loading_sd=0.5,
        level_mean=0, level_sd=1,
    )  # fmt: skip
    centre = float(data["centre"][0])
    levels = LEVEL[:, None] + centre + EFFECT[:, None] * np.array([-4 / 6, 2 / 6])  # four of six are TRD
    variance = SD**2 + 0.4**2 + loading**2
    np.testing.assert_allclose(found["log_level"], levels, rtol=1e-12)
    np.testing.assert_allclose(found["geometric_mean"], np.exp(levels), rtol=1e-12)
    np.testing.assert_allclose(found["log_ratio"][:, 0], EFFECT, rtol=1e-12)
    np.testing.assert_allclose(found["geometric_mean_ratio"][:, 0], np.exp(EFFECT), rtol=1e-12)
    np.testing.assert_allclose(found["geometric_mean_ratio"][:, 0], np.exp(levels[:, 1] - levels[:, 0]), rtol=1e-12)
    means = np.exp(levels + variance[:, None] / 2)
    np.testing.assert_allclose(found["mean_difference"][:, 0], means[:, 1] - means[:, 0], rtol=1e-12)
    np.testing.assert_array_equal(found["rank"][:, 0], [1, 3, 2])
    assert float(found["number_elevated"].squeeze()) == 2
    assert float(found["mean_log_ratio"].squeeze()) == 0.1
    assert found["log_ratio"].attrs["rope_upper"] == pytest.approx(np.log(1.1))
    assert found["geometric_mean_ratio"].attrs["rope_lower"] == pytest.approx(1 / 1.1)
    # people s0..s2 are on the first plate with limit 0.4, one of them a control; likewise s3..s5 with 0.6
    for a, g in itertools.product(range(3), range(2)):
        shares = [
            stats.norm.cdf((np.log(limit) - levels[a, g] - 0.5 * plate[a, p]) / np.sqrt(variance[a]))
            for p, limit in enumerate((0.4, 0.6))
        ]
        assert float(found["share_below"][a, g]) == pytest.approx(np.mean(shares), rel=1e-10)


def test_estimands_of_times_and_covariates_equal_hand_computation():
    model = Cytokines(**NAMES, **GROUPS, time="time", group_by_time=True, covariates="age")
    data = model.prepare(three(times=(0, 4, 24)))
    change, more = np.arange(6.0).reshape(3, 2) / 10, np.array([[0.3, -0.3], [0.0, 0.1], [0.2, 0.2]])
    slope = np.array([[0.2], [-0.1], [0.05]])
    found = at_one_draw(
        model, data, level=LEVEL, group_effect=EFFECT[:, None], group_mean=[0.1], group_sd=0.3, residual_sd=SD,
        subject_sd=0.4, subject_effect=np.zeros(6), time_effect=change, interaction=more[:, None, :], cell_ratio=1.5,
        covariate_effect=slope,
    )  # fmt: skip
    assert float(found["intraclass_correlation"]) == pytest.approx(1.5**2 / (1 + 1.5**2))
    changes = change[:, :, None] + more[:, :, None] * np.array([-4 / 6, 2 / 6])
    np.testing.assert_allclose(found["log_change"], changes, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found["ratio_to_baseline"], np.exp(changes), rtol=1e-12)
    per_year = slope[:, 0] / three()["age"].std(ddof=0)
    np.testing.assert_allclose(found["covariate_effect"][:, 0], per_year, rtol=1e-12)
    np.testing.assert_allclose(found["covariate_ratio"][:, 0], np.exp(per_year), rtol=1e-12)
    levels = LEVEL[:, None] + float(data["centre"][0]) + EFFECT[:, None] * np.array([-4 / 6, 2 / 6])
    means = np.exp(levels + (SD**2 * (1 + 1.5**2) + 0.4**2)[:, None] / 2)
    np.testing.assert_allclose(found["mean_difference"][:, 0], means[:, 1] - means[:, 0], rtol=1e-12)
    assert np.isnan(found["share_below"]).all()  # no limit is known


def test_students_shares_are_an_integral_over_people_and_means_are_left_out():
    model = Cytokines(**NAMES, **GROUPS, lod="lod", beyond_limit="censor", robust=True)
    data = model.prepare(three().query("plate == 'p0'").reset_index(drop=True))
    found = at_one_draw(
        model, data, level=LEVEL, group_effect=EFFECT[:, None], group_mean=[0.1], group_sd=0.3, residual_sd=SD,
        subject_sd=0.4, subject_effect=np.zeros(3), nu=4.0,
    )  # fmt: skip
    assert "mean_difference" not in found
    v = np.linspace(-9, 9, 2001)
    for a, g in itertools.product(range(3), range(2)):
        away = np.log(0.4) - float(found["log_level"][a, g]) - 0.4 * v
        share = (stats.t.cdf(away / SD[a], 4) * stats.norm.pdf(v)).sum() * (v[1] - v[0])
        assert float(found["share_below"][a, g]) == pytest.approx(share, rel=1e-6)


# ---- comparison


@pytest.mark.sampling
def test_substituted_and_censored_fits_are_not_compared():
    fits = {}
    for word in (None, "half"):
        model = Cytokines(lod="lod", beyond_limit="censor", group="group", reference="HC", substitute=word)
        table = three().query("analyte == 'a'").reset_index(drop=True)
        table["lod"] = table["concentration"].quantile(0.4)
        fits[str(word)] = bd.fit(model, table, draws=100, tune=200, chains=2, seed=1)
    with pytest.raises(BadInput) as raised:
        bd.compare(fits)
    assert "\n" not in str(raised.value)
