"""Formulas and conditions are data: what their grammars read, that nothing else runs, and that none takes long."""

import builtins
import operator
import time

import formulaic
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayesdep.data.conditions import read_condition
from bayesdep.data.errors import BadInput
from bayesdep.data.sources import read_table
from bayesdep.models.parts.covariates import read_covariates
from bayesdep.models.parts.formulas import read_formula

FRAME = pd.DataFrame(
    {
        "a": [1.5, 2.0, 4.0, 3.5, 7.0, 5.5, 0.5, 6.0],
        "b": [3, 1, 4, 1, 5, 9, 2, 6],
        "c": [0.2, 0.9, 0.4, 0.7, 0.1, 0.6, 0.3, 0.8],
        "s": list("xyzxyzxy"),
    }
)
FIXED = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def raw(formula):
    read = read_covariates(FRAME, formula)
    return (read.values * read.sds + read.means).T


def answer(read):
    """What is read, or the refusal's sentence."""
    try:
        return read()
    except BadInput as refused:
        return str(refused)


# ---- nothing runs

HOSTILE = [
    "canary()", "canary(a)", "I(canary())", "`canary`()", "a.touched", "`a`.touched", "I(a.touched)",
    "log(a.touched)", "a.touched()", "np.canary(a)", "I(np.canary(a))", "np.lib.canary()", "{canary()}",
    "{a.touched}", "Q('canary()')", 'Q("a").touched', "Q(canary())", "C(s, canary())", "C(s, levels=canary())",
    "C(s, Treatment(canary()))", "C(s, contr.canary())", "poly(a, canary())", "bs(a, df=canary())",
    "bs(a, knots=[canary()])", "(x := canary())", "I((lambda: canary())())", "[canary() for _ in a]", "f'{canary()}'",
    "I(f'{canary()}')", "a if canary() else b", "I(a[canary()])", "a[canary()]", "I(a @ canary())", "a ~ canary()",
    "canary() ~ a", "a | canary()", "(1 | canary())", "a %in% canary()", "a in canary()", "I(a in canary())",
    "__import__('builtins').canary()", "I(a.__class__.mro())", "().__class__.__base__.__subclasses__()",
    "I(a)\ncanary()", "a; canary()", "a + canary ()", "сanary(a)", "ｃanary(a)", "I(a * canary(b))", "log(canary(a))",
    "center(canary(a))", "lag(canary())", "hashed(canary())", "a, canary()", "print(canary())",
    "getattr(a, 'touched')", "eval('canary()')", "exec('canary()')", "I(a).touched", "log(a).touched", "*canary()",
    "**canary()", "poly(*canary())", "poly(a, **canary())", "C(s, **canary())", "await canary()", "@canary",
    "a > canary()", "a.touched > 1", "canary() > 1", "a in [canary()]", "not canary()", "a == 1 or canary()",
    "a.str > 1",
]  # fmt: skip


@pytest.fixture
def canary(monkeypatch):
    """A function that any evaluator of Python would find, and an attribute that any access would touch."""
    calls = []

    def sing(*args, **kwargs):
        calls.append((args, kwargs))
        return 1.0

    monkeypatch.setattr(builtins, "canary", sing, raising=False)
    monkeypatch.setattr(np, "canary", np.frompyfunc(sing, 1, 1), raising=False)
    monkeypatch.setattr(np.lib, "canary", sing, raising=False)
    monkeypatch.setattr(pd.Series, "touched", property(sing), raising=False)
    monkeypatch.setitem(formulaic.transforms.TRANSFORMS, "canary", sing)
    return calls


def test_the_canary_sings_where_text_is_evaluated(canary):
    """formulaic by itself calls what a formula says, so the tests below can fail."""
    for formula in ("canary(a)", "I(a.touched)", "np.canary(a)"):
        formulaic.model_matrix(formula, FRAME, context={})
        assert canary
        canary.clear()


@pytest.mark.parametrize("text", HOSTILE)
def test_no_formula_and_no_condition_calls_anything(canary, text):
    for form in ("{}", "a + {}", "log({})", "I({})", "({})", "{} ** 2", "poly({}, 2)", "C({})"):
        with pytest.raises(BadInput):
            read_covariates(FRAME, form.format(text))
    with pytest.raises(BadInput):
        read_condition(text, "data.keep")(FRAME)
    assert not canary


PIECES = [
    "a", "b", "c", "s", "`a`", "canary", "canary()", "(", ")", "()", "+", "-", "*", "/", ":", "**", "^", "|", "~",
    ".", ",", "1", "0", "2.5", "1e9", "'x'", '"canary()"', "[", "]", "{", "}", "I(", "C(", "log(", "poly(", "bs(",
    "Q(", "np.", ".touched", "__class__", "lambda", ":=", "=", "==", "<", "and", "or", "not", "in", "if", "else",
    "for", "%in%", "@", "\\", "\n", "`", "'", "#", ";", "True", "None", "df=", "levels=", "Treatment", "center(", "$",
    "\x00", "\u202e", "é", "９",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=30))
@settings(FIXED, max_examples=400)
def test_any_text_is_read_or_refused_and_nothing_runs(canary, text):
    for read in (lambda: read_covariates(FRAME, text), lambda: read_condition(text, "data.keep")(FRAME)):
        said = answer(read)
        assert not isinstance(said, str) or "\n" not in said
    assert not canary


# ---- everything is answered at once

LONG = {
    "a power of terms": "(a + b) ** 50",
    "a power of powers": "I(9**9**9)",
    "a power of powers in parentheses": "I(((a**20)**20)**20)",
    "a large number": "I(" + "9" * 9000 + "* a)",
    "nested parentheses": "(" * 4000 + "a" + ")" * 4000,
    "nested functions": "log(" * 1500 + "a" + ")" * 1500,
    "nested I": "I(-" * 2000 + "a" + ")" * 2000,
    "signs": "a" + "-" * 9000 + "b",
    "a long sum": " + ".join(["a"] * 2400),
    "many terms": "+".join(f"x{i}" for i in range(1500)),
    "all products": "*".join("abcdefghijklmnopqrstuvwxyz"),
    "nested products": "((a+b+c)*(d+e+f)*(g+h+i)*(j+k+l))**5",
    "powers of powers of terms": "((((a+b+c+d)**5)**5)**5)**5",
    "a long arithmetic sum": "I(" + "+".join(["a"] * 4000) + ")",
    "a megabyte": "a + " * 262_144 + "a",
    "a megabyte of a name": "`" + "x" * 1_000_000 + "`",
    "a megabyte of blanks": " " * 1_000_000 + "a",
    "blanks": " " * 9000 + "$",
    "open quotes": "'" * 9999,
    "open backticks": "`a" * 4000,
    "a polynomial": "poly(a, 1000000000)",
    "a spline": "bs(a, df=1000000000)",
    "a list": f"bs(a, knots=[{','.join(['1'] * 4000)}])",
    "digits": "1" * 9999,
    "dots": "a" + ".a" * 4900,
}


@pytest.mark.parametrize("text", LONG.values(), ids=list(LONG))
def test_a_formula_is_answered_at_once_in_one_short_sentence(text):
    start = time.perf_counter()
    for read in (lambda: read_covariates(FRAME, text), lambda: read_condition(text, "data.keep")(FRAME)):
        said = answer(read)
        assert not isinstance(said, str) or len(said) < 500
    assert time.perf_counter() - start < 2  # a hang is what is tested: these take some milliseconds


def test_levels_that_multiply_are_refused_before_their_columns_are_made():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({k: rng.integers(0, 40, 2000).astype(str) + k for k in "defgh"})
    with pytest.raises(BadInput, match=r"'d:e:f:g:h' has at least \d+ columns of numbers, but only 2000 rows are used"):
        read_covariates(frame, "d:e:f:g:h")


# ---- what is accepted is what it says

NAMES = st.sampled_from(["a", "b", "c", "`a`"])


def leaf():
    return NAMES.map(lambda n: (n, FRAME[n.strip("`")].to_numpy(float))) | st.sampled_from(
        ["2", "0.5", "3", "1e1", ".25"]
    ).map(lambda n: (n, float(n)))


def grown(inner):
    signs = st.sampled_from(["+", "-", "*", "/"])
    functions = st.sampled_from(["log1p", "exp", "sqrt", "log", "center"])
    does = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide}
    apply = {name: getattr(np, name) for name in ("log1p", "exp", "sqrt", "log")} | {"center": lambda x: x - np.mean(x)}
    return (
        st.tuples(signs, inner, inner).map(lambda x: (f"({x[1][0]} {x[0]} {x[2][0]})", does[x[0]](x[1][1], x[2][1])))
        | st.tuples(functions, inner).map(lambda x: (f"{x[0]}({x[1][0]})", apply[x[0]](x[1][1])))
        | st.tuples(inner, st.sampled_from([2, 3, -1, 0.5]), st.sampled_from(["**", "^"])).map(
            lambda x: (f"({x[0][0]}) {x[2]} {x[1]}", np.power(x[0][1], float(x[1])))
        )
        | inner.map(lambda x: (f"(-{x[0]})", -x[1]))
    )


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


@given(st.deferred(lambda: st.recursive(leaf(), grown, max_leaves=6)))
@settings(FIXED, max_examples=300)
def test_arithmetic_is_numpys(made):
    with np.errstate(all="ignore"):
        text, wanted = made
        found = answer(lambda: raw(f"I({text})")[0])
        if isinstance(found, str):  # refused: it must be constant, or beyond what numbers can hold
            constant = np.ndim(wanted) == 0 or np.ptp(wanted) <= 1e-12 * np.abs(wanted).max()
            assert constant or not np.isfinite(np.square(wanted)).all(), found
            return
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("I(-a ** 2)", lambda a, b: -(a**2)),
        ("I(a - b - 1)", lambda a, b: a - b - 1),
        ("I(a / b / 2)", lambda a, b: a / b / 2),
        ("I(a / b * 2)", lambda a, b: a / b * 2),
        ("I(2 * a + b / 4 - 1)", lambda a, b: 2 * a + b / 4 - 1),
        ("I(a * -b)", lambda a, b: a * -b),
        ("I(b ** 20)", lambda a, b: b**20.0),  # whole numbers would overflow
        ("I(b ** -1)", lambda a, b: 1 / b),
        ("I(a > 3)", lambda a, b: a > 3),
        ("I(s == 'x')", lambda a, b: FRAME["s"] == "x"),
        ("center(a)", lambda a, b: a - a.mean()),
        ("scale(a)", lambda a, b: (a - a.mean()) / a.std(ddof=1)),
        ("log2(a):b", lambda a, b: np.log2(a) * b),
        ("np.sqrt(a)", lambda a, b: np.sqrt(a)),
    ],
)
def test_expressions_mean_what_they_mean_in_mathematics(text, wanted):
    numbers = (FRAME[k].to_numpy(float) for k in "ab")
    wanted = np.asarray(wanted(*numbers), float)
    np.testing.assert_allclose(raw(text)[0], wanted, rtol=1e-12, atol=1e-14 * np.abs(wanted).max() + 1e-12)


@pytest.mark.parametrize(
    "text", ["bs(a, df=4)", "bs(a, knots=[2, 4])", "poly(a, 3)", "C(s)", "C(s, Sum)", "C(s, Helmert)"]
)
def test_columns_are_formulaics(text):
    wanted = formulaic.model_matrix(text, FRAME).to_numpy(float)[:, 1:]
    np.testing.assert_allclose(raw(text).T, wanted, atol=1e-12)


def test_a_natural_spline_is_centred_and_spans_what_it_spans():
    """Its own columns add up to one, so that beside a mean only differences of them tell anything."""
    made = raw("cr(a, df=4)").T
    whole = formulaic.model_matrix("0 + cr(a, df=5)", FRAME).to_numpy(float)
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-12)
    assert np.linalg.matrix_rank(np.column_stack([np.ones(len(FRAME)), made])) == 5
    assert np.linalg.matrix_rank(np.column_stack([whole, made]), tol=1e-8) == 5


def test_a_level_to_compare_with_is_a_literal():
    for text in ("C(s, 'y')", "C(s, Treatment('y'))", "C(s, contr.treatment('y'))", "C(s, Treatment(reference='y'))",
                 "C(s, levels=['y', 'x', 'z'])"):  # fmt: skip
        np.testing.assert_allclose(raw(text), [FRAME["s"] == "x", FRAME["s"] == "z"], atol=1e-12)
    for text, said in (("C(s, 'q')", "'q' in .* is not a value"), ("C(s, levels=['x', 'y'])", "lacks 'z'"),
                       ("C(s, levels=['x', 'y', 'z', 'z'])", "has 'z' twice"), ("poly(a, 'x')", "a number is needed"),
                       ("C(s, Sum, ['x'], 3)", "takes no more")):  # fmt: skip
        with pytest.raises(BadInput, match=said):
            raw(text)


def terms(depth=3):
    names = st.sampled_from(["a", "b", "c", "log(d)"])
    joined = st.tuples(
        st.deferred(lambda: terms(depth - 1)), st.sampled_from(["+", "-", "*", ":", "/"]), names
    ) | st.tuples(
        names, st.sampled_from(["+", "*", ":", "/"]), st.deferred(lambda: terms(depth - 1).map("({})".format))
    )
    powers = st.deferred(lambda: terms(depth - 1)).map("({})**2".format)
    return names if depth == 0 else names | joined.map(" ".join) | powers


@given(terms())
@settings(FIXED, max_examples=300)
def test_sums_products_and_powers_of_terms_are_formulaics(text):
    """formulaic's own parser is the oracle for the algebra of terms; the text is ours, so it may read it."""
    wanted = {frozenset(str(f) for f in term.factors) - {"1"} for term in formulaic.Formula(text)}
    found = answer(lambda: {frozenset(map(str, term)) for term in read_formula(text, "covariates").terms})
    assert found == wanted or "more than" in str(found)


# ---- conditions

SUBJECTS = pd.DataFrame(
    {"age": [17, 40, None, 50, 70], "sex": ["F", "F", "M", "M", " "], "well": [True, False, True, True, False]}
)


def test_conditions_say_which_rows():
    """Unknown is neither true nor false, as in SQL: the row is not among those for which a condition holds."""
    for text, wanted in {
        "18 <= age < 65": [False, True, None, True, False],
        "not age > 45": [True, True, None, False, False],
        "age > 45 or sex == 'M'": [False, False, True, True, True],
        "age > 45 and sex == 'F'": [False, False, False, False, None],
        "sex in ['F', 'M'] and `well` == true": [True, False, True, True, False],
        "sex not in ['F']": [False, False, True, True, None],
        "age in [40, 50]": [False, True, None, True, False],
        "not (age < 18 or age > 65) and well == False": [False, True, False, False, False],
        "age > -1 and age != 40": [True, False, None, True, True],
    }.items():
        found = read_condition(text, "data.keep")(SUBJECTS)
        assert [None if v is pd.NA else bool(v) for v in found] == wanted, text


@given(st.data())
@settings(FIXED, max_examples=150)
def test_any_condition_is_numpys(data):
    """Comparisons joined at random, against the same joined in numpy."""
    does = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

    def condition(depth):
        if depth == 0 or data.draw(st.booleans()):
            name, sign, number = data.draw(
                st.tuples(st.sampled_from("abc"), st.sampled_from(list(does)), st.integers(0, 9))
            )
            return f"{name} {sign} {number}", does[sign](FRAME[name].to_numpy(), number)
        kind = data.draw(st.sampled_from(["and", "or", "not"]))
        left, right = condition(depth - 1), condition(depth - 1)
        if kind == "not":
            return f"not ({left[0]})", ~left[1]
        return f"({left[0]}) {kind} ({right[0]})", (left[1] & right[1]) if kind == "and" else (left[1] | right[1])

    text, wanted = condition(3)
    assert read_condition(text, "data.keep")(FRAME).tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("age = 40", r"data.keep = 'age = 40' .* character 5: '=' does not compare; write =="),
        ("age", r"at character 4: the end where a comparison such as == or >= is needed"),
        ("agee > 3", r"no column 'agee' in the table \(character 1\); did you mean 'age'"),
        ("sex == 'm'", r"'m' \(character 8\) is in no row of column 'sex'; did you mean 'M'"),
        ("sex != 'X'", r"'X' .* is in no row"),
        ("sex < 'M'", "column 'sex' holds text, which < cannot order"),
        ("age > 'x'", "column 'age' holds numbers, which 'x' is not"),
        ("sex == age", "column 'sex' holds text, but column 'age' holds numbers"),
        ("1 == 1", "two values are compared, none of them a column"),
        ("age > 1 and", "character 12: the end"),
        ("age > 100", "leaves no row"),
    ],
)
def test_bad_conditions_are_refused_in_one_sentence(text, said):
    with pytest.raises(BadInput, match=said):
        read_table(SUBJECTS, keep=text)


def test_rows_kept_by_a_condition_are_counted():
    table = read_table(SUBJECTS, keep="age >= 18")
    assert table["age"].tolist() == [40, 50, 70]
    assert (
        "kept the 3 of 5 rows with age >= 18, leaving out 1 where a cell that it needs is empty"
        in table.attrs["left_out"]
    )
    assert read_table(SUBJECTS, keep={"sex": "F"})["age"].tolist() == [17, 40]
