"""Covariates by formula: what is computed, in which order, and every way in which a formula is refused."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import as_frame
from bayesdep.models.parts.covariates import read_covariates


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


@pytest.mark.parametrize("formula", ["0 + sex", "sex - 1", "1 + sex", "-1 + sex"])
def test_whatever_is_said_of_the_intercept_it_is_removed(formula):
    assert read_covariates(FRAME, formula).names == ("sex[M]",)


def test_functions_interactions_and_names_with_blanks():
    read = read_covariates(FRAME, "I(bmi / 5) + age + log(`body mass`) + age:sex")
    assert read.names == ("I(bmi / 5)", "age", "log(`body mass`)", "age:sex[M]")
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
        ("age +", r"covariates = 'age \+' is not understood \(Operator `\+` .*\); write it as in 'age \+ sex \+ bmi'"),
        ("age + (", "is not understood"),
        ("responder ~ age", "more than the covariates' own side; .* without '~' and '|'"),
        ("age | sex", "more than the covariates' own side"),
        ("", "names no column"),
        ("1", "names no column"),
        ("agee + sex", "there is no column 'agee' in the table; did you mean 'age'?"),
        ("squash(age)", "there is no column 'squash' in the table"),
        ("open('x') + age", "there is no column 'open' in the table"),
        (
            "age + gap",
            r"column 'gap' is empty in row 2 \(and 1 more\); .* leave such rows out with .data. require = ..gap..",
        ),
        ("age + same", "'same' does not vary between the 5 rows used, .*; leave it out"),
        ("age + I(2 * age + 1)", r"'I\(2 \* age \+ 1\)' follows from the columns before it \(age\)"),
        ("age + bmi + zero + smoker + `body mass`", r"'body mass' follows from the columns before it"),
        ("log(zero)", r"'log\(zero\)' is not a finite number in row 1; correct that row or the formula"),
        ("log(sex)", "cannot be worked out"),
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
