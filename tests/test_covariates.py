"""Covariates by formula: what is computed, in which order, and every way in which a formula is refused."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.data.tables import as_frame
from bayesdep.models.parts.covariates import columns_of, read_covariates, refuse_covariates_of


@pytest.fixture(autouse=True)
def _nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


FRAME = pd.DataFrame(
    {
        "age": [30, 41, 55, 28, 63],
        "bmi": [22.5, 31.0, 27.5, 24.0, 29.0],
        "sex": ["M", "F", "F", "M", "F"],
        "site": ["c", "a", "b", "a", "c"],
        "smoker": [True, False, False, True, True],
        "body mass": [1.0, 2.0, 4.0, 3.0, 7.0],
        "gap": [1.0, np.nan, 2.0, np.nan, 3.0],
        "same": [2.0] * 5,
        "zero": [0.0, 1.0, 2.0, 3.0, 4.0],
    }
)


def test_no_formula_gives_no_columns():
    read = read_covariates(FRAME, None)
    assert read.names == ()
    assert read.values.shape == (5, 0)
    assert read.means.shape == read.sds.shape == (0,)


def test_columns_are_standardised_and_can_be_taken_back():
    read = read_covariates(FRAME, "age + bmi")
    assert read.names == ("age", "bmi")
    np.testing.assert_allclose(read.values.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(read.values.std(axis=0), 1)
    np.testing.assert_allclose(read.values * read.sds + read.means, FRAME[["age", "bmi"]].to_numpy(float))


def test_text_is_coded_against_its_first_level():
    read = read_covariates(FRAME, "sex + site")
    assert read.names == ("sex[M]", "site[b]", "site[c]")
    raw = read.values * read.sds + read.means
    np.testing.assert_allclose(raw, [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)


def test_a_categorical_column_has_its_own_order_and_no_unused_levels():
    frame = FRAME.assign(site=pd.Categorical(FRAME["site"], categories=["b", "z", "a", "c"]))
    assert read_covariates(frame, "site").names == ("site[a]", "site[c]")


def test_an_intercept_that_is_named_is_the_models_own():
    assert read_covariates(FRAME, "1 + sex").names == ("sex[M]",)


@pytest.mark.parametrize("formula", ["0 + sex", "sex - 1", "-1 + sex", "sex + 0"])
def test_a_formula_cannot_take_the_intercept_out(formula):
    with pytest.raises(BadInput, match=r"takes the intercept out.*without 0 and - 1"):
        read_covariates(FRAME, formula)


def test_functions_interactions_and_names_with_blanks():
    read = read_covariates(FRAME, "I(bmi / 5) + age + log(`body mass`) + age:sex")
    assert read.names == ("I(bmi / 5)", "age", "log(body mass)", "age:sex[M]")
    raw = (read.values * read.sds + read.means).T
    np.testing.assert_allclose(raw[0], FRAME["bmi"] / 5)
    np.testing.assert_allclose(raw[2], np.log(FRAME["body mass"]), atol=1e-12)
    np.testing.assert_allclose(raw[3], FRAME["age"] * (FRAME["sex"] == "M"), atol=1e-12)
    assert read_covariates(FRAME, "`body mass`").names == ("body mass",)


def test_true_and_false_are_one_and_zero():
    read = read_covariates(FRAME, "smoker")
    assert read.names == ("smoker",)
    np.testing.assert_allclose(read.values[:, 0] * read.sds + read.means, FRAME["smoker"])


@pytest.mark.parametrize("kind", ["polars", "object", "nullable", "arrow"])
def test_numbers_are_numbers_in_any_table(kind):
    frame = FRAME[["age", "sex"]]
    table = {
        "polars": lambda: pl.from_pandas(frame),
        "object": lambda: frame.astype(object),
        "nullable": lambda: frame.convert_dtypes(),
        "arrow": lambda: frame.convert_dtypes(dtype_backend="pyarrow"),
    }[kind]()
    read, plain = read_covariates(as_frame(table), "age + sex"), read_covariates(frame, "age + sex")
    assert read.names == plain.names
    np.testing.assert_allclose(read.values, plain.values)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("age +", r"is not understood \(at character 6: the end where a column is needed\); write it as in 'age"),
        ("age + (", "is not understood"),
        ("responder ~ age", "more than the covariates' own side; .* without '~' and '|'"),
        ("age | sex", "more than the covariates' own side"),
        ("", "names no column"),
        ("1", "names no column"),
        ("agee + sex", "there is no column 'agee' in the table; did you mean 'age'?"),
        ("squash(age)", r"there is no function 'squash' \(character 1\); known: C, I, bs, "),
        ("open('x') + age", "there is no function 'open'"),
        (
            "age + gap",
            r"column 'gap' is empty in row 2 \(and 1 more\); .* leave such rows out with .*require=..gap..",
        ),
        ("age + same", "'same' does not vary between the 5 rows used, .*; leave it out"),
        ("age + I(2 * age + 1)", r"'I\(2 \* age \+ 1\)' follows from the columns before it \(age\)"),
        ("age + bmi + zero + smoker + `body mass`", r"'body mass' follows from the columns before it"),
        ("log(zero)", r"'log\(zero\)' is not a finite number in row 1; correct that row or the formula"),
        ("log(sex)", "cannot be evaluated"),
    ],
)
def test_bad_formulas_are_refused_in_one_sentence(formula, message):
    with pytest.raises(BadInput, match=message) as caught:
        read_covariates(FRAME, formula)
    text = str(caught.value)
    assert "\x1b" not in text
    assert "⧛" not in text
    assert text.startswith("covariates = ")


def test_a_row_is_named_as_in_the_users_table():
    with pytest.raises(BadInput, match=r"empty in row 4;"):
        read_covariates(FRAME.iloc[[0, 3, 4]], "gap")


def test_empty_text_is_empty():
    with pytest.raises(BadInput, match="column 'site' is empty in row 2;"):
        read_covariates(FRAME.assign(site=["c", " ", "b", "a", "c"]), "site")


ODD_NAMES = [
    "center", "scale", "Treatment", "C", "I", "log", "Sum", "lag", "poly", "bs", "exp", "Q", "np", "contr", "hashed",
    "None", "True", "class", "lambda", "0", "1", "2nd", "my col", "a-b", "a.b", "a:b", "50%", "年",
    "x$y", "{x}", "<b>", "y ~ x", "a|b", "hs-CRP (mg/L)", "=x", "x\\y", "column_0_of_the_table",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_columns_come_first_whatever_they_are_named(name):
    """A column has the same values under any name: alone, in a function and in an interaction."""
    frame = FRAME[["age", "bmi"]].rename(columns={"bmi": name})
    for formula in ("`{}`", "log(`{}`)", "age + `{}`:age", "I(`{}` / 2) + age"):
        plain, odd = read_covariates(FRAME, formula.format("bmi")), read_covariates(frame, formula.format(name))
        np.testing.assert_array_equal(odd.values, plain.values)
        assert odd.names == tuple(x.replace("bmi", name) for x in plain.names)
        assert columns_of(formula.format(name), list(frame.columns)) == tuple(
            sorted(x.replace("bmi", name) for x in columns_of(formula.format("bmi")))
        )


@pytest.mark.parametrize("name", ["center", "scale", "Treatment", "C", "I", "log", "Sum", "lag", "poly", "bs", "exp"])
def test_a_function_s_name_is_a_column_where_it_is_not_called(name):
    """The logarithm of a column called log is a function of a column."""
    frame = FRAME[["age"]].assign(**{name: FRAME["bmi"]})
    read = read_covariates(frame, f"age + {name} + log({name}) + I({name} ** 2)")
    raw = (read.values * read.sds + read.means).T
    np.testing.assert_allclose(raw[1], FRAME["bmi"])
    np.testing.assert_allclose(raw[2], np.log(FRAME["bmi"]), atol=1e-12)
    np.testing.assert_allclose(raw[3], FRAME["bmi"] ** 2)


def test_functions_with_more_than_one_column_or_argument_work():
    frame = pd.DataFrame({"x": np.arange(12.0), "s": list("abc") * 4})
    assert read_covariates(frame, "poly(x, 2)").names == ("poly(x, 2)[1]", "poly(x, 2)[2]")
    assert read_covariates(frame, "bs(x, df=4)").values.shape == (12, 4)
    assert read_covariates(frame, "C(s, Treatment('b'))").values.shape == (12, 2)
    assert read_covariates(frame, "np.sqrt(x)").names == ("np.sqrt(x)",)
    assert read_covariates(frame, "Q('x')").names == ("x",)


@pytest.mark.parametrize(
    ("name", "formula", "advice"),
    [("my col", "my col", "`my col`"), ("hs-CRP", "hs-CRP + age", "`hs-CRP` + age"), ("50%", "50%", "`50%`"),
     ("hs CRP (mg/L)", "hs CRP (mg/L)", "`hs CRP (mg/L)`"), ("x$y", "age + x$y", "age + `x$y`")],
)  # fmt: skip
def test_a_name_that_needs_backticks_is_told_so(name, formula, advice):
    frame = FRAME[["age"]].assign(**{name: FRAME["bmi"]})
    with pytest.raises(BadInput, match="in backticks, as `") as caught:
        read_covariates(frame, formula)
    assert f"`{name}`" in str(caught.value)
    assert name in read_covariates(frame, advice).names


@pytest.mark.parametrize(
    "formula", ["I(np.lib.npyio.os.getcwd())", "I(age.__class__)", "__import__('os').getcwd()", "I(eval('1') + age)",
                "np.load('x')", "{age.to_csv('x')}", "I([x for x in age])"]
)  # fmt: skip
def test_a_formula_runs_no_other_code(formula, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput):
        read_covariates(FRAME, formula)
    assert not list(Path().iterdir())


def people(**columns):
    return pd.DataFrame({"n": np.arange(40.0)} | columns)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            [f"{20 + i / 7:.1f}".replace(".", ",") for i in range(40)],
            "decimal comma .'20,0' in row 1.; write them with a",
        ),
        ([f"{20 + i / 7:.1f}" for i in range(40)], "numbers that are stored as text"),
        ([*map(str, range(39)), "n/a"], "'n/a' in row 40 is not a number; correct that cell"),
        ([f"person {i // 1.4}" for i in range(40)], "text with 28 different values in 40 units"),
    ],
)
def test_text_that_means_numbers_or_people_is_refused(values, said):
    """Never as many columns as there are values."""
    with pytest.raises(BadInput, match=said):
        read_covariates(people(x=values), "n + x")
    if "decimal" in said:
        repaired = [float(v.replace(",", ".")) for v in values]
        assert read_covariates(people(x=repaired), "x").names == ("x",)


def test_few_levels_stay_levels_and_units_are_counted_not_rows():
    stages = ["1", "2", "3", "4a"] * 10
    assert read_covariates(people(x=stages), "x").values.shape == (40, 3)
    wide = people(x=[f"site {i % 10}" for i in range(40)])
    assert read_covariates(wide, "x").values.shape == (40, 9)
    with pytest.raises(BadInput, match="10 different values in 10 units"):
        read_covariates(wide, "x", units=10)


def test_what_the_model_has_already_is_no_covariate():
    """By name, and by what follows from it: an arm copied, coded as 0 and 1, or a baseline in other units."""
    arm = np.array(["drug", "placebo", "other", "drug"] * 10, dtype=object)
    score = np.sin(np.arange(40.0))
    beside = {"arm ('group')": arm, "baseline ('b')": score}
    frame = people(copy=arm, coded=(arm == "drug").astype(int), b2=3 * score + 1, x=np.cos(np.arange(40.0)))
    for formula in ("copy", "coded", "b2", "x + I(b2 + x)"):
        with pytest.raises(BadInput, match=r"follows from arm \('group'\) and baseline .*leave it out of covariates"):
            read_covariates(frame, formula, beside=beside)
    assert read_covariates(frame, "x", beside=beside).names == ("x",)
    with pytest.raises(BadInput, match="column 'group' is the arm, which the model has already; leave it out"):
        refuse_covariates_of("x + group:x", {"group": "arm", None: "plate"})
    refuse_covariates_of("x", {"group": "arm", None: "plate"})
    refuse_covariates_of(None, {"group": "arm"})


def test_models_refuse_their_own_columns_as_covariates():
    """The arm, a copy of it, and the people: before anything is sampled."""
    rng = np.random.default_rng(1)
    rows = [
        {"subject": f"s{i}", "group": "ab"[i % 2], "analyte": a, "value": float(np.exp(rng.normal())), "age": float(i),
         "copy": ["x", "y"][i % 2], "responder": int(rng.uniform() < 0.5)}
        for i in range(20) for a in ("IL-6", "TNF")
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    panel = {"reference": "a", "group": "group", "analyte": "analyte", "value": "value", "subject": "subject"}
    for formula, said in (("group", "is the group"), ("subject", "is the "), ("copy", "follows from column 'group'")):
        with pytest.raises(BadInput, match=said):
            bd.Cytokines(**panel, covariates=formula).prepare(frame)
    assert bd.Cytokines(**panel, covariates="age").prepare(frame).sizes["covariate"] == 1
    marker = {"outcome": "responder", "value": "value", "subject": "subject", "analyte": "analyte"}
    with pytest.raises(BadInput, match="column 'responder' is the"):
        bd.Response(**marker, covariates="responder").prepare(frame)
    trials = pd.DataFrame(
        {"study": list("abcd"), "effect": [0.1, 0.2, 0.4, 0.3], "se": [0.1] * 4, "dose": [1, 2, 3, 5]}
    )
    for formula in ("study", "effect"):
        with pytest.raises(BadInput, match=f"column '{formula}' is the"):
            bd.Meta(
                measure="standardised-difference", study="study", effect="effect", se="se", covariates=formula
            ).prepare(trials)
