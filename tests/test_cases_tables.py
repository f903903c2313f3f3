"""Tables as people bring them: each is read rightly, or refused in one sentence whose remedy works."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

import bayesdep as bd
from bayesdep.cli import main
from bayesdep.data.detection import read_detection
from bayesdep.data.labels import lone_labels
from bayesdep.data.missing import suspected_codes
from bayesdep.plan import prepare, read_plan

CASES = Path(__file__).parents[2] / "shared" / "cases"


def case(name):
    return pd.read_csv(CASES / f"{name}.csv")


def refusal(call, *args, **kwargs):
    with pytest.raises(bd.BadInput) as refused:
        call(*args, **kwargs)
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    return message


# The cases.


def flagged(**settings_):
    frame = case("flag_one_is_right")
    analyte = np.full(len(frame), "it", dtype=object)
    return read_detection(frame, value="concentration", analyte=analyte, flag="cens", **settings_)


def test_flag_one_on_the_largest_values_is_refused_and_the_advice_gives_the_right_likelihood():
    message = refusal(flagged)
    assert 'flag_codes = {"1" = "right"}' in message
    read = flagged(flag_codes={"1": "right"})
    seen, above = read.lower[read.kind == "detected"], read.lower[read.kind == "right"]

    def minus_log_likelihood(p):
        mean, sd = p[0], np.exp(p[1])
        return -(stats.norm.logpdf(seen, mean, sd).sum() + stats.norm.logsf(above, mean, sd).sum())

    mean, log_sd = optimize.minimize(minus_log_likelihood, [8.0, 0.0]).x
    assert (mean, np.exp(log_sd)) == (pytest.approx(8.644, abs=1e-3), pytest.approx(1.086, abs=1e-3))


def test_a_flag_of_what_was_detected_is_refused_and_one_of_what_was_not_is_read():
    values, detected = [0.5] * 4 + [0.9, 1.3, 2.2, 4.0], [0] * 4 + [1] * 4
    frame = pd.DataFrame({"pg": values, "seen": detected})
    analyte = np.full(8, "it", dtype=object)
    message = refusal(read_detection, frame, value="pg", analyte=analyte, flag="seen")
    assert 'flag_codes = {"1" = "detected", "0" = "left"}' in message
    codes = {"1": "detected", "0": "left"}
    assert list(read_detection(frame, value="pg", analyte=analyte, flag="seen", flag_codes=codes).kind[:5]) == (
        ["left"] * 4 + ["detected"]
    )
    frame["seen"] = 1 - frame["seen"]
    assert (read_detection(frame, value="pg", analyte=analyte, flag="seen").kind == "left").sum() == 4


@pytest.mark.parametrize("name", ["meta_trailing_rows", "meta_semicolons_commas"])
def test_a_spreadsheets_file_has_three_studies(name):
    data = prepare(read_plan(CASES / f"{name}.toml"))
    assert data["study"].values.tolist() == ["Adler 2012", "Blum 2015", "Cruz 2019"]
    assert data["effect"].values.tolist() == [-0.52, -0.10, -0.33]
    assert data["se"].values.tolist() == [0.21, 0.18, 0.25]
    said = data.attrs["notes"]
    assert ("rows 4, 5 with nothing in them left out" in said) == (name == "meta_trailing_rows")
    assert ("semicolons" in said and "decimal commas" in said) == (name == "meta_semicolons_commas")


def test_a_plan_says_its_notes_on_the_command_line(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ending:
        main(["run", str(CASES / "meta_trailing_rows.toml"), "--quick"])
    assert ending.value.code == 0
    assert "note: rows 4, 5 with nothing in them left out" in capsys.readouterr().err
    report = next(tmp_path.rglob("report.html")).read_text(encoding="utf-8")
    assert "<li>rows 4, 5 with nothing in them left out</li>" in report


def test_an_arm_called_none_is_an_arm():
    data = prepare(read_plan(CASES / "meta_arm_called_none.toml"))
    assert data["arm"].values.tolist() == ["None", "Drug"]
    assert data["events"].values.tolist() == [[4, 9]]


def test_spaces_around_an_arm_are_no_third_arm():
    data = bd.Trial(reference="placebo ", better="lower").prepare(case("trial_label_space"))
    assert data["arm"].values.tolist() == ["placebo", "drug"]
    assert "column 'arm': spaces" in data.attrs["notes"]


def test_spaces_around_an_analyte_are_no_second_analyte():
    model = bd.Cytokines(analyte="analyte", subject="subject", group="group", reference="HC")
    data = model.prepare(case("panel_label_space"))
    assert data["analyte"].values.tolist() == ["IL-6", "TNF"]
    assert "column 'analyte': spaces" in data.attrs["notes"]


def test_limits_in_a_file_are_joined_to_the_wells_that_hold_something():
    data = prepare(read_plan(CASES / "panel_with_blank_row.toml"))
    wells = case("panel_with_blank_row").dropna(subset=["concentration", "analyte", "plate"])
    assert data.sizes["measurement"] == len(wells)
    limits = case("panel_limits").set_index(["analyte", "plate"])["lod"]
    found = dict(zip(data["measurement"].values, np.exp(data["lod"].values), strict=True))
    for row, well in enumerate(wells.itertuples(), 1):
        assert found[row] == pytest.approx(limits[well.analyte, int(well.plate)])


WELLS = {
    "subject": "Sample",
    "value": "Calc. Concentration",
    "censored": "Detection Range",
    "lod": "Detection Limits: Calc. Low",
    "uloq": "Detection Limits: Calc. High",
}


def test_two_wells_of_a_sample_are_refused_with_the_setting_that_models_them():
    wells = case("duplicate_wells")
    message = refusal(bd.Cytokines(**WELLS).prepare, wells)
    assert "rows 1 and 2" in message
    assert "replicates = True" in message
    data = bd.Cytokines(**WELLS, replicates=True).prepare(wells)
    assert data.sizes == {**data.sizes, "subject": 8, "measurement": 9}
    assert data["kind"].values.tolist().count(1) == 2
    assert data["kind"].values.tolist().count(2) == 2
    assert "1 of 8 samples have several rows (2 at most)" in data.attrs["notes"]
    twice = pd.concat([wells, wells.iloc[[6]]])
    assert "rows 7 and 10 are alike in every column" in refusal(bd.Cytokines(**WELLS, replicates=True).prepare, twice)


# What stands for a missing number.

HAMD = [12, 17, 22, 8, 15, 19, 25, 11]


def trial_table(outcome, **columns):
    """Two arms of four patients, synthetic, with two visits."""
    rows = [(f"P{i}", "drug" if i % 2 else "placebo", v, 20 + i, outcome[i] - v) for i in range(8) for v in (1, 2)]
    return pd.DataFrame(rows, columns=["subject", "arm", "visit", "baseline", "outcome"]).assign(**columns)


def trial(**settings_):
    return bd.Trial(reference="placebo", better="lower", covariance="compound-symmetry", **settings_)


@pytest.mark.parametrize("code", [999, -9, 9999, -99])
def test_a_code_for_missing_is_refused_and_what_the_message_advises_works(code):
    table = trial_table(HAMD)
    table.loc[[1, 4, 11], "outcome"] = code
    message = refusal(trial().prepare, table)
    assert f'missing=["{code}"]' in message
    assert "rows 2, 5, 12" in message
    read = bd.read_table(table, missing=[str(code)])
    data = trial().prepare(read)
    assert np.isnan(data["outcome"].values).sum() == 3
    assert "3 cells read as missing" in data.attrs["notes"]
    assert "3 of 16 cells are missing" in data.attrs["notes"]
    honest = trial().prepare(bd.read_table(table, missing=[]))
    assert (honest["outcome"].values == code).sum() == 3


@pytest.mark.parametrize(
    "honest",
    [
        [985, 999, 999, 1003, 1010],  # metres walked
        [-9, -9, -9, -4, 2, -12],  # changes of a score
        [9, 9, 9, 7, 4, 11],
        [99, 99, 97.5, 98, 96],  # per cent
        [999, 999],
    ],
)
def test_honest_numbers_made_of_nines_are_no_codes(honest):
    assert suspected_codes(np.array(honest, dtype=float)) == []


@pytest.mark.parametrize("codes", [["999", "-99"], ["777", "888"], ["9999", "999"]])
def test_several_codes_are_found_at_once_and_what_the_message_advises_works(codes):
    """Two codes in one column, of which the larger does not hide the smaller."""
    table = trial_table(HAMD)
    table.loc[[1, 4], "outcome"], table.loc[[7, 11], "outcome"] = int(codes[0]), int(codes[1])
    message = refusal(trial().prepare, table)
    listed = ", ".join(f'"{code}"' for code in codes)
    assert f"missing=[{listed}])" in message
    assert np.isnan(trial().prepare(bd.read_table(table, missing=codes))["outcome"].values).sum() == 4
    other = trial().prepare(bd.read_table(table, missing=codes[:1]))
    assert f"{codes[1]} in rows 8, 12, far from all other numbers" in other.attrs["notes"]


ASKED = {
    "trial": ("age", lambda table: trial(covariates="age").prepare(table)),
    "trial's moderator": ("age", lambda table: trial(moderator="age").prepare(table)),
    "meta": ("age", lambda table: bd.Meta(measure="standardised-difference", covariates="age").prepare(table)),
    "response": ("age", lambda table: bd.Response(outcome="event", value="value", predicts_when="above",
                                                  effects="none", covariates="age").prepare(table)),
    "panel": ("age", lambda table: bd.Cytokines(
        reference="HC", group="group", value="value", subject="subject", analyte="analyte", covariates="age",
    ).prepare(table)),
}  # fmt: skip


def people_of(family):
    """Twelve people or studies, synthetic."""
    n, rng = 12, np.random.default_rng(3)
    who = {"subject": [f"P{i}" for i in range(n)], "age": 30.0 + np.arange(n), "event": np.arange(n) % 3 == 0}
    if family.startswith("trial"):
        frame = pd.DataFrame(who | {"arm": ["drug", "placebo"] * 6, "baseline": 20.0 + rng.permutation(n)})
        frame = frame.loc[frame.index.repeat(2)].assign(visit=[1, 2] * n, outcome=rng.normal(15, 4, 2 * n).round(2))
    elif family == "meta":
        frame = pd.DataFrame(who | {"study": who["subject"], "effect": rng.normal(size=n), "se": 0.3})
    elif family == "response":
        frame = pd.DataFrame(who | {"value": rng.lognormal(size=n)})
    else:
        frame = pd.DataFrame(who | {"group": ["HC", "MDD"] * 6})
        frame = frame.loc[frame.index.repeat(2)].assign(analyte=["IL-6", "TNF"] * n, value=rng.lognormal(size=2 * n))
    return frame.reset_index(drop=True)


@pytest.mark.parametrize("family", ASKED)
def test_a_code_among_what_belongs_to_people_is_refused_and_the_advice_works(family):
    """Two people of age 999 are refused, one is noted; the advice leaves them out."""
    column, prepare_ = ASKED[family]
    table = people_of(family)
    one, two = table.copy(), table.copy()
    ages = sorted(table[column].unique())
    one.loc[one[column] == ages[3], column] = 999.0
    two.loc[two[column].isin(ages[3:5]), column] = 999.0
    message = refusal(prepare_, two)
    assert f'say so with bd.read_table(table, missing=["999"], require=["{column}"])' in message
    prepare_(bd.read_table(two, missing=["999"], require=[column]))
    prepare_(bd.read_table(two, missing=[]))
    if family != "panel":  # in which one person has several rows
        assert "999 in row" in prepare_(one).attrs["notes"]


def test_what_an_arm_of_one_person_is_called_can_be_meant():
    """'esketamine' beside 'ketamine' is refused as a misspelling, unless it is said to be none."""
    table = trial_table(HAMD)
    table["arm"] = (
        table["arm"].map({"drug": "ketamine", "placebo": "placebo"}).mask(table["subject"] == "P1", "esketamine")
    )
    message = refusal(trial().prepare, table)
    assert "did you mean 'ketamine'" in message
    assert 'labels_meant=["esketamine"]' in message
    data = trial().prepare(bd.read_table(table, labels_meant=["esketamine"]))
    assert data["arm"].values.tolist() == ["placebo", "esketamine", "ketamine"]
    assert "'esketamine' has one person" in data.attrs["notes"]
    assert "did you mean 'esketamine'" in refusal(bd.read_table, table, labels_meant=["esketamin"])


def test_a_plan_says_which_labels_are_meant(tmp_path):
    table = trial_table(HAMD)
    table["arm"] = (
        table["arm"].map({"drug": "ketamine", "placebo": "placebo"}).mask(table["subject"] == "P1", "esketamine")
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    text = (
        '[study]\nname = "x"\ntitle = "Synthetic"\n[data]\nsource = "t.csv"\nlabels_meant = ["esketamine"]\n'
        '[model]\nfamily = "trial"\nreference = "placebo"\ncovariance = "ar1"\n'
    )
    (tmp_path / "p.toml").write_text(text, encoding="utf-8")
    assert prepare(read_plan(tmp_path / "p.toml")).sizes["arm"] == 3
    (tmp_path / "p.toml").write_text(text.replace('labels_meant = ["esketamine"]', ""), encoding="utf-8")
    assert "labels_meant" in refusal(prepare, read_plan(tmp_path / "p.toml"))


def plan_of(folder, content, data, **files):
    for name, text in {"table.csv": content, **files}.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / "p.toml").write_text(
        f'[study]\nname = "x"\ntitle = "Synthetic"\n[data]\nsource = "table.csv"\n{data}\n'
        '[model]\nfamily = "meta"\nmeasure = "standardised-difference"\n',
        encoding="utf-8",
    )
    return read_plan(folder / "p.toml")


def test_words_for_missing_numbers_are_missing_in_columns_of_numbers_only(tmp_path):
    content = "study,effect,se\nNA,0.1,0.2\nNone,.,0.3\nx,NA,0.1\ny,,0.2\nz,0.4,0.2\n"
    plan = plan_of(tmp_path, content, 'require = ["effect"]')
    data = prepare(plan)
    assert data["study"].values.tolist() == ["NA", "z"]
    assert "column 'effect': 2 cells read as missing numbers (1 '.', 1 'NA')" in data.attrs["notes"]
    assert "3 of 5 rows left out because they lack effect: None, x, y" in data.attrs["left_out"]


@pytest.mark.parametrize("said", ['missing = ["999"]', "missing = [999]", 'missing = { effect = ["999", "-1"] }'])
def test_a_plan_declares_what_is_missing(tmp_path, said):
    content = "study,effect,se\na,0.1,0.2\nb,999,0.3\nc,0.3,0.2\n"
    data = prepare(plan_of(tmp_path, content, said + '\nrequire = ["effect"]'))
    assert data["study"].values.tolist() == ["a", "c"]


def test_rows_without_a_first_cell_are_left_out_and_counted(tmp_path):
    data = prepare(plan_of(tmp_path, "study,effect,se\na,0.1,0.2\n,0.3,\nc,0.3,0.2\n", 'require = ["study", "se"]'))
    assert data["study"].values.tolist() == ["a", "c"]
    assert "1 of 3 rows left out because they lack study or se: (blank)" in data.attrs["left_out"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("study;effect;se\na;1,234;0,2\nb;0.5;0,3\n", "where a number is needed"),  # points and commas
        ("study;effect;se\na;1,234;2\nb;2,345;3\n", "where a number is needed"),  # thousands or decimals
        ("study;more,effect;se\na;1,0;2\nb;1,1;3\n", "split at commas and 3 columns split at semicolons"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path, content, problem):
    plan = plan_of(tmp_path, content, "")
    assert problem in refusal(prepare, plan)


def test_digits_of_labels_are_kept(tmp_path):
    content = "study,effect,se\n20260112,0.1,0.2\n20260113,0.2,0.2\n,,\n20260114,0.1,0.3\n"
    assert prepare(plan_of(tmp_path, content, ""))["study"].values.tolist() == ["20260112", "20260113", "20260114"]
    content = "study,effect,se\n001,0.1,0.2\n002,0.2,0.2\n"
    assert prepare(plan_of(tmp_path, content, ""))["study"].values.tolist() == ["001", "002"]
    frame = pd.DataFrame({"study": [1.0, 2.0, np.nan], "effect": [0.1, 0.2, np.nan], "se": [0.1, 0.2, np.nan]})
    assert bd.Meta(measure="standardised-difference").prepare(frame)["study"].values.tolist() == ["1", "2"]


def test_a_p_value_below_one_has_a_direction():
    frame = pd.DataFrame(
        {"study": ["a", "b"], "p_value": [0.2, 1], "direction": [0, 0], "n_treated": 9, "n_control": 9}
    )
    model = bd.Meta(measure="standardised-difference", input="p-value")
    assert "row 1 (a) is 0, but P is 0.2" in refusal(model.prepare, frame)
    assert model.prepare(frame.assign(direction=[-1, 0]))["effect"].values[1] == 0


# Labels.


@pytest.mark.parametrize("other", ["Drug", "dr ug", "\uff44rug x", "DRUG"])
def test_arms_that_differ_only_in_case_or_inner_spaces_are_refused(other):
    table = trial_table(HAMD)
    table["arm"] = table["arm"].replace("drug", "drug x" if "x" in other else "drug")
    odd = table["subject"] == "P3"
    table.loc[odd, "arm"] = other.upper() if "x" in other else other
    assert "differ only in case" in refusal(trial().prepare, table)


def test_labels_that_are_one_number_are_refused_and_of_people_joined():
    """A cell of a spreadsheet that is the number 1 is read as "1"; beside it stands the text "1.0"."""
    table = trial_table(HAMD)
    table["visit"] = table["visit"].astype(str)
    first = str(table["visit"].iloc[0])
    table.loc[0, "visit"] = f"{float(first):.1f}"
    assert "are the same number; write them alike" in refusal(trial().prepare, table)
    table = trial_table(HAMD)
    table["subject"] = table["subject"].str.removeprefix("P")
    table.loc[3, "subject"] += ".0"
    assert trial().prepare(table).sizes["subject"] == 8


def test_subjects_that_differ_only_in_case_are_one_which_is_noted_or_refused_where_rows_conflict():
    table = trial_table(HAMD)
    table.loc[3, "subject"] = "p1"
    data = trial().prepare(table)
    assert data.sizes["subject"] == 8
    (said,) = [line for line in data.attrs["notes"].splitlines() if "only in case or spaces" in line]
    assert "the label in row 4 differs from an earlier one" in said
    assert "p1" not in said.lower()
    table.loc[3, "arm"] = "placebo"
    assert "rows 3 and 4 are of one person" in refusal(trial().prepare, table)


def test_an_arm_of_one_person_is_noted_and_refused_only_where_it_looks_misspelt():
    table = trial_table(HAMD)
    table.loc[table["subject"] == "P3", "arm"] = "wait list"
    assert "'wait list' has one person" in trial().prepare(table).attrs["notes"]
    table.loc[table["subject"] == "P3", "arm"] = "drgu"
    assert "did you mean 'drug'?" in refusal(trial().prepare, table)
    for honest in (["A", "A", "B"], ["10 mg", "10 mg", "20 mg"], ["HC", "HC", "BD"]):
        assert len(lone_labels(honest, "column 'arm'")) == 1


# Rows shuffled, columns reordered, spaces around labels: the same prepared data, up to order.

PANEL = pd.DataFrame(
    [(f"P{i}", a, "HC" if i % 2 else "MDD", 1.5 + i + 2 * (a == "TNF")) for i in range(6) for a in ("IL-6", "TNF")],
    columns=["subject", "analyte", "group", "concentration"],
)
TABLES = {
    "meta": (
        lambda: bd.Meta(measure="standardised-difference"),
        pd.DataFrame({"study": list("abcd"), "effect": [0.1, 0.4, -0.2, 0.3], "se": [0.1, 0.2, 0.3, 0.15]}),
    ),
    "counts": (
        lambda: bd.Counts(control="pbo", subgroup="site"),
        pd.DataFrame({"site": list("xxyy"), "arm": ["pbo", "drug"] * 2, "events": [1, 4, 2, 5], "n": [9, 10, 11, 12]}),
    ),
    "screen": (
        lambda: bd.Screen(condition="ill"),
        pd.DataFrame({"group": ["ill", "well"], "positives": [15, 1], "n": [19, 12]}),
    ),
    "trial": (trial, trial_table(HAMD)),
    "cytokines": (
        lambda: bd.Cytokines(analyte="analyte", subject="subject", group="group", reference="HC"),
        PANEL,
    ),
}


def by_label(data):
    """A prepared table without its order: numbers of positions become labels, rows sorted."""
    found = {}
    for name, values in data.data_vars.items():
        of = str(name).removesuffix("_of")
        if str(name).endswith("_of") and of in data.coords:
            values = values.copy(data=data[of].values[values.values])
        found[name] = (
            sorted(map(str, np.atleast_1d(values.values).round(9).ravel().tolist()))
            if (values.dtype.kind == "f")
            else sorted(map(str, np.atleast_1d(values.values).ravel().tolist()))
        )
    labels = {str(d): sorted(map(str, data[d].values)) for d in data.coords}
    return found, labels


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
@settings(deadline=None, max_examples=12)
def test_order_and_spaces_change_nothing_in_what_is_prepared(name, data):
    make, table = TABLES[name]
    rows = data.draw(st.permutations(range(len(table))))
    columns = data.draw(st.permutations(list(table.columns)))
    changed = table.iloc[rows][columns].reset_index(drop=True)
    space = st.sampled_from(["", " ", "\u00a0", "\ufeff", "\t", "  "])
    for column in columns:
        if not pd.api.types.is_numeric_dtype(changed[column]):
            changed[column] = [data.draw(space) + str(cell) + data.draw(space) for cell in changed[column]]
    assert by_label(make().prepare(changed)) == by_label(make().prepare(table))


def test_wells_of_a_sample_share_its_own_deviation_in_the_likelihood():
    """Log density of synthetic wells against scipy: a pair correlated within the sample, one value beyond a limit."""
    rows = [("a", "1.5"), ("a", "1.7"), ("b", "0.9"), ("b", "<0.5"), ("c", "3.1")]
    wells = pd.DataFrame(rows, columns=["subject", "concentration"]).assign(well=range(5))
    model = bd.Cytokines(subject="subject", replicates=True)
    assert {"cell_ratio", "residual_sd"} <= set(model.priors)
    data = model.prepare(wells)
    graph = model.build(data)
    free = {v.name for v in graph.free_RVs}
    assert free == {"level", "residual_sd", "cell_ratio"}
    point = graph.initial_point()
    inverse = {"residual_sd_softplus__": np.array([0.4]), "cell_ratio_softplus__": np.array(1.7)}
    point.update(level=np.array([0.2]), **{name: np.log(np.expm1(value)) for name, value in inverse.items()})
    found = graph.compile_logp(vars=[graph["log_concentration"]], jacobian=False)(point)
    mean = float(data["centre"].values[0]) + 0.2
    cov = 0.4**2 * (np.eye(2) + 1.7**2)
    logs = {k: np.log(v) - mean for k, v in {"a1": 1.5, "a2": 1.7, "b": 0.9, "limit": 0.5, "c": 3.1}.items()}
    one = stats.norm(0, np.sqrt(cov[0, 0]))
    slope = cov[0, 1] / cov[0, 0]
    right = (
        stats.multivariate_normal([0, 0], cov).logpdf([logs["a1"], logs["a2"]])
        + one.logpdf(logs["b"])
        + stats.norm.logcdf(logs["limit"], slope * logs["b"], np.sqrt(cov[1, 1] - slope * cov[0, 1]))
        + one.logpdf(logs["c"])
    )
    assert found == pytest.approx(right, abs=1e-9)


# Siblings of the cases: the same kinds of fault in other families, columns and forms.


def periods_table():
    """Twelve people in an AB/BA crossover with two days a period, synthetic."""
    rng, rows = np.random.default_rng(5), []
    for i in range(12):
        for p in (1, 2):
            who = {"subject": f"P{i}", "treatment": "AB"[(i + p) % 2], "period": p, "base": 20.0 + i}
            rows += [who | {"day": d, "outcome": round(rng.normal(15, 4), 2)} for d in (1, 2)]
    return pd.DataFrame(rows)


def pooled_table():
    """Four trials of ten people at two times, synthetic."""
    rng, rows = np.random.default_rng(6), []
    for k in "abcd":
        for i in range(10):
            who = {"study": k, "subject": f"{i}", "arm": "ck"[i % 2], "base": round(rng.normal(25, 4), 1)}
            rows += [who | {"time": t, "outcome": round(rng.normal(15, 4), 2)} for t in ("baseline", "week 1")]
    return pd.DataFrame(rows)


def crossover_of(table, **settings_):
    return bd.Crossover(reference="A", **settings_).prepare(table)


def pooled_of(table, **settings_):
    return bd.PatientMeta(reference="c", time="time", **settings_).prepare(table)


def panel_of(table, **settings_):
    base = {"reference": "HC", "group": "group", "value": "value", "subject": "subject", "analyte": "analyte"}
    return bd.Cytokines(**(base | settings_)).prepare(table)


@pytest.mark.parametrize("how", ["one differs", "rounded"])
def test_a_visit_that_is_the_baseline_but_for_rounding_is_refused_and_the_advice_works(how):
    table = people_of("trial")
    first = table[table["visit"] == 1].assign(visit=0)
    off = (first["subject"] == "P3") * 2.0 if how == "one differs" else np.resize([0.04, -0.04], len(first))
    table = pd.concat([table, first.assign(outcome=first["baseline"] + off)], ignore_index=True)
    message = refusal(trial().prepare, table)
    assert "equals the baseline in 1" in message
    assert "of 12, but for rounding, at visit 0" in message
    assert trial().prepare(table[table["visit"].astype(str) != "0"]).sizes["visit"] == 2


def test_a_time_that_is_the_baseline_is_refused_in_every_family_that_has_one():
    pooled = pooled_table()
    pooled.loc[pooled["time"] == "baseline", "outcome"] = pooled["base"]
    assert "so that time is the baseline itself" in refusal(pooled_of, pooled, baseline="base")
    assert pooled_of(pooled[pooled["time"].astype(str) != "baseline"], baseline="base").sizes["time"] == 1
    periods = periods_table()
    periods.loc[periods["day"] == 1, "outcome"] = periods["base"]
    assert "so that day is the baseline itself" in refusal(crossover_of, periods, baseline="base")
    assert crossover_of(periods[periods["day"].astype(str) != "1"], baseline="base").sizes["day"] == 1
    assert "is 3 in everybody at day 1" in refusal(
        crossover_of, periods.assign(outcome=periods["outcome"].mask(periods["day"] == 1, 3.0))
    )


def test_actual_times_are_told_from_planned_ones_in_every_family():
    rng = np.random.default_rng(7)
    panel = people_of("panel")
    panel = panel.loc[panel.index.repeat(2)].assign(time=[0.0, 24.0] * len(panel)).reset_index(drop=True)
    panel["value"] = rng.lognormal(size=len(panel))
    hours = (panel["time"] + rng.normal(0, 0.3, len(panel))).round(2)
    assert "so these are actual times" in refusal(panel_of, panel.assign(time=hours), time="time")
    assert panel_of(panel, time="time").sizes["time"] == 2
    periods, pooled = periods_table(), pooled_table()
    days = (periods["day"] + rng.normal(0, 0.1, len(periods))).round(3)
    assert "name that one as day" in refusal(crossover_of, periods.assign(day=days))
    weeks = rng.uniform(0, 2, len(pooled)).round(3)
    assert "name that one as time" in refusal(pooled_of, pooled.assign(time=weeks))


def test_a_treatment_of_one_person_may_be_misspelt():
    table = periods_table().replace({"treatment": {"A": "placebo", "B": "ketamine"}})
    table.loc[(table["subject"] == "P1") & (table["treatment"] == "placebo"), "treatment"] = "placebp"
    message = refusal(bd.Crossover(reference="placebo").prepare, table)
    assert "'placebp' has one person; did you mean 'placebo'" in message
    assert bd.Crossover(reference="placebo").prepare(table.replace("placebp", "placebo")).sizes["treatment"] == 2


@pytest.mark.parametrize("family", ["trial", "meta", "response", "panel"])
def test_levels_of_a_covariate_that_look_alike_are_refused(family):
    table = people_of(family)
    sex = ["Female", "Male", "Male", "Female"] * 3
    table["age"] = table["age"].map(dict(zip(sorted(table["age"].unique()), sex, strict=True)))
    prepare_ = ASKED[family][1]
    prepare_(table)
    table.loc[table["age"].index[-2:], "age"] = "female"
    assert "'Female' in row 1 and 'female' in row" in refusal(prepare_, table)


@pytest.mark.parametrize("label", ["Total", "overall", "Sub-total", "All studies", "POOLED"])
def test_a_row_that_holds_all_studies_together_is_refused(label):
    table = pd.DataFrame({"study": ["a", "b", "c", label], "effect": [0.1, 0.3, 0.2, 0.2], "se": [0.2, 0.2, 0.2, 0.12]})
    model = bd.Meta(measure="standardised-difference")
    assert "whose people would count twice; leave it out" in refusal(model.prepare, table)
    assert model.prepare(table[:3]).sizes["study"] == 3


def test_a_subgroup_that_is_the_sum_of_the_others_is_refused_by_its_counts():
    table = pd.DataFrame(
        {"subgroup": ["f", "f", "m", "m", "x", "x", "ITT", "ITT"], "arm": ["d", "p"] * 4,
         "events": [3, 4, 5, 6, 1, 2, 9, 12], "n": [20, 20, 22, 21, 8, 9, 50, 50]}
    )  # fmt: skip
    assert "'ITT' is the sum of the others" in refusal(bd.Counts(control="p").prepare, table)
    other = table.assign(events=[3, 4, 5, 6, 1, 2, 9, 11])
    assert bd.Counts(control="p").prepare(other).sizes["subgroup"] == 4
    assert bd.Counts(control="p", pooling="none").prepare(table).sizes["subgroup"] == 4  # each by itself


def test_scores_and_changes_are_told_apart_where_response_is_asked():
    scores = people_of("trial")
    changes = scores.assign(outcome=-1 - scores["outcome"] / 4)
    asked = {"response": 0.5, "remission": 7}
    assert "say so with change = True" in refusal(trial(**asked).prepare, changes)
    assert "leave change out if they are scores" in refusal(trial(**asked, change=True).prepare, scores)
    trial(**asked).prepare(scores)
    trial(**asked, change=True).prepare(changes)
    trial().prepare(changes)  # nothing depends on it


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('"study";"effect";"se"\n"a";"0,1";"0,2"\n"b, c";"-0,3";"0,2"\n', "cells were split at semicolons"),
        ("sep=;\nstudy;effect;se\na;0,1;0,2\nb, c;-0,3;0,2\n", "cells were split at semicolons"),
        ("study|effect|se\na|0.1|0.2\nb, c|-0.3|0.2\n", "cells were split at vertical bars"),
        (' study , effect,se \na,0.1,0.2\n"b, c",-0.3,0.2\n', "spaces around names of columns were removed"),
        ("study\teffect\tse\na\t0,1\t0,2\nb, c\t-0,3\t0,2\n", "cells were split at tabs"),
    ],
)
def test_files_that_spreadsheets_write_are_read(tmp_path, content, said):
    data = prepare(plan_of(tmp_path, content, ""))
    assert data["study"].values.tolist() == ["a", "b, c"]
    assert data["effect"].values.tolist() == [0.1, -0.3]
    assert data["se"].values.tolist() == [0.2, 0.2]
    assert said in data.attrs["notes"]


def test_names_of_columns_that_are_numbers_are_text():
    table = pd.DataFrame({"study": ["a", "b"], 1: [0.1, 0.3], 2: [0.2, 0.2]})
    model = bd.Meta(measure="standardised-difference", effect="1", se="2")
    assert model.prepare(table)["effect"].values.tolist() == [0.1, 0.3]
    both = pd.DataFrame([["a", 0.1, 0.2], ["b", 0.3, 0.2]], columns=["study", 1, "1"])
    assert "two columns of the table have one name ('1')" in refusal(model.prepare, both)


def test_rows_of_what_belongs_to_patients_are_rows_of_the_table():
    """`PatientMeta` reads the baseline of each patient's first row; a bad one is named by its row, not its patient."""
    table = pooled_table()
    table["base"] = table["base"].astype(object)
    table.loc[[6, 7], "base"] = "high"  # the fourth patient, from row 7
    assert "row 7 is 'high'" in refusal(pooled_of, table, baseline="base")


def test_a_code_among_limits_is_refused_before_it_censors():
    """999 among limits of 0.001; every number would be below it, and be taken as a non-detect with 'censor'."""
    table = people_of("panel").assign(lod=0.001)
    table.loc[[0, 3], "lod"] = 999.0
    for settings_ in ({}, {"beyond_limit": "censor"}):
        message = refusal(panel_of, table, lod="lod", **settings_)
        assert 'say so with bd.read_table(table, missing=["999"])' in message
    data = panel_of(bd.read_table(table, missing={"lod": ["999"]}), lod="lod")
    assert (data["kind"].values == 0).all()
    assert panel_of(table.assign(uloq=9999.0), lod=None, uloq="uloq").sizes["subject"] == 12


def test_an_index_with_a_name_is_a_column():
    table = people_of("trial")
    plain = trial().prepare(table)
    for names in (["subject"], ["subject", "visit"]):
        assert trial().prepare(table.set_index(names))["outcome"].identical(plain["outcome"])


def test_complex_numbers_are_no_outcomes():
    table = people_of("trial")
    assert "where a number is needed" in refusal(trial().prepare, table.assign(outcome=table["outcome"] + 2j))
