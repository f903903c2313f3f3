"""Detection limits: every form of reporting a non-detect is read as one interval, or refused in one sentence."""

import contextlib
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bayesdep.data.detection import add_limits, count_detected, read_detection
from bayesdep.data.errors import BadInput
from bayesdep.data.limit_text import Reading, Refusal, read_cell

unhurried = settings(deadline=None, max_examples=150)  # the first call imports; a slow machine is no failure

DATA = Path(__file__).parent / "data"
COLUMNS = ("flag", "lod", "lloq", "uloq", "unit")


def read(values, *, analyte=None, plate=None, **columns):
    """Read a list of cells; other lists are columns of their names, everything else an option."""
    cells = {name: columns.pop(name) for name in COLUMNS if name in columns}
    table = {"pg": values, **cells}
    frame = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in table.items()})
    analyte = np.array(analyte or ["IL-6"] * len(values), dtype=object)
    plate = None if plate is None else np.array(plate, dtype=object)
    return read_detection(frame, value="pg", analyte=analyte, plate=plate, **{c: c for c in cells}, **columns)


def intervals(values, **columns):
    """Return kind and both ends, not logged."""
    found = read(values, **columns)
    ends = zip(np.exp(found.lower), np.exp(found.upper), strict=True)
    return [(kind, float(f"{a:.9g}"), float(f"{b:.9g}")) for kind, (a, b) in zip(found.kind, ends, strict=True)]


def limits_of(values, what="lod", **columns):
    return [round(float(x), 9) for x in np.exp(getattr(read(values, **columns), what))]


def refusal(call, *args, **kwargs):
    """Return the message of the refusal, which must be one line."""
    with pytest.raises(BadInput) as refused:
        call(*args, **kwargs)
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    return message


def has(message, *words):
    for word in words:
        assert word in message, f"{word!r} is not in {message!r}"


def left(limit):
    return ("left", 0.0, limit)


def right(limit):
    return ("right", limit, np.inf)


def at(number):
    return ("detected", number, number)


def between(a, b):
    return ("interval", a, b)


NAN = float("nan")


# The grammar.

blanks = st.text(" \t\u00a0", max_size=2)
sizes = st.floats(1e-4, 1e6, allow_nan=False)


@st.composite
def numbers(draw):
    """Return a number as a laboratory may write it, and what it is."""
    size = draw(sizes)
    form = draw(st.sampled_from(["f", "e", "E", "thousands"]))
    digits = draw(st.integers(0, 6))
    text = f"{size:,.{digits}f}" if form == "thousands" else f"{size:.{digits}{form}}"
    if form == "thousands":
        assume("." in text or text.count(",") != 1)  # 1,234 is refused
        return text, float(text.replace(",", ""))
    comma = text.replace(".", ",")
    whole, _, decimals = comma.lower().partition("e")[0].partition(",")
    if draw(st.booleans()) and not (len(decimals) == 3 and len(whole) <= 3 and not whole.startswith("0")):
        return comma, float(text)
    return text, float(text)


@given(number=numbers(), sign=st.sampled_from(["", "<", "<=", "≤", ">", ">=", "≥"]), pad=st.tuples(*[blanks] * 3))
@unhurried
def test_a_number_is_read_however_it_is_written(number, sign, pad):
    text, value = number
    says = {"": "detected", "<": "left", "≤": "left", ">": "right", "≥": "right"}[sign[:1]]
    found = read_cell(pad[0] + sign + pad[1] + text + pad[2])
    assert isinstance(found, Reading)
    assert (found.says, found.low) == (says, value)


@given(a=numbers(), b=numbers(), dash=st.sampled_from("-–—−"), pad=st.tuples(*[blanks] * 2))
@unhurried
def test_a_range_is_read_however_it_is_written(a, b, dash, pad):
    found = read_cell(a[0] + pad[0] + dash + pad[1] + b[0])
    assert isinstance(found, Reading)
    assert (found.says, found.low, found.high) == ("interval", a[1], b[1])


@given(size=st.floats(1e-300, 1e300))
@unhurried
def test_numbers_and_their_repr_are_read_back_exactly(size):
    assert read_cell(size).low == read_cell(repr(size)).low == read_cell(f"<{size!r}").low == size


@given(text=st.one_of(st.text(max_size=15), st.text("<>=≤≥-–.,0159eE*+ ORLDQndbuifpg/µ", max_size=12)))
@settings(deadline=None, max_examples=500)
def test_arbitrary_text_is_read_or_refused(text):
    assert isinstance(read_cell(text), (Reading, Refusal))
    with contextlib.suppress(BadInput):  # refused: that is one of the two
        found = read([text], lod=[0.5], lloq=[1], uloq=[9], beyond_limit="censor")
        assert found.lower[0] <= found.upper[0]


@pytest.mark.parametrize("cell", [[1], {"a": 1}, pd.Timestamp("2020-01-01"), 1j, b"1x", True, np.True_, np.array([1])])
def test_cells_that_are_no_concentrations_are_refused(cell):
    has(refusal(read, [cell]), "row 1 (IL-6)", "not understood")


@pytest.mark.parametrize("text", ["OOR <", "oor<", " OOR  < ", "<LOD", "< lod", "<=LOD", "ND", "nd", "N.D.", "BDL"])
def test_words_take_the_limit_of_detection_or_else_of_quantification(text):
    assert intervals([text], lod=[0.3], lloq=[0.64]) == [left(0.3)]
    assert intervals([text, text], lod=[0.3, None], lloq=[None, 0.64]) == [left(0.3), left(0.64)]


@pytest.mark.parametrize("text", ["<LLOQ", "< lloq", "BLQ", "blq"])
def test_words_of_quantification_take_only_its_limit(text):
    assert intervals([text], lod=[0.3], lloq=[0.64]) == [left(0.64)]
    has(refusal(read, [text], lod=[0.3]), "row 1 (IL-6)", "non-detect without a limit", "as lloq")


@pytest.mark.parametrize("text", ["OOR >", "oor>", ">ULOQ", "> uloq"])
def test_words_above_take_the_upper_limit(text):
    assert intervals([text], uloq=[100]) == [right(100.0)]
    has(refusal(read, [text], lod=[0.3]), "non-detect without a limit", "as uloq")


def test_a_word_without_a_limit_is_refused():
    has(
        refusal(read, ["1", "ND", "BDL"]),
        "row 2 (IL-6)",
        "'ND'",
        "a non-detect without a limit (and 1 more row)",
        "lod",
    )
    has(refusal(read, ["ND", "ND"], lod=[0.5, None]), "row 2", "non-detect without a limit")


@pytest.mark.parametrize("text", ["1,234", "12,345", "123,456", "<1,234", "1,234e2", "0.5-1,234"])
def test_a_comma_that_may_be_either_is_refused(text):
    has(refusal(read, ["5", text]), "row 2 (IL-6)", repr(text), "decimal comma or thousands", "1234")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0,640", 0.64),
        ("1,5", 1.5),
        ("1234,567", 1234.567),
        ("1,234.5", 1234.5),
        ("1,234,567", 1234567),
        ("12,3456", 12.3456),
    ],
)
def test_an_unambiguous_comma_is_read(text, number):
    assert intervals([text]) == [at(number)]


@pytest.mark.parametrize("text", ["<0.64 pg/mL", "12 pg/ml", "12µg", ">5 %", "0.5 ng"])
def test_a_unit_after_the_number_is_refused(text):
    has(refusal(read, [text]), repr(text), "has a unit", "named as unit")


@pytest.mark.parametrize("text", ["*12.3", "12.3*", "* 12.3", "*<0.5"])
def test_an_extrapolated_number_is_refused(text):
    has(refusal(read, [text]), "extrapolated", "remove the asterisk")


@pytest.mark.parametrize("text", ["abc", "OOR", "<", "1.2.3", "1 234", "12,34,5", "--1", "<>1", "1-", "1-2-3", "٣"])
def test_other_text_is_refused_with_what_is_understood(text):
    has(refusal(read, [text, text]), repr(text), "not understood (and 1 more row)", "'<0.64'", "'0.13-0.64'", "'ND'")


def test_a_long_text_is_shortened():
    assert len(refusal(read, ["x" * 5000])) < 300


@pytest.mark.parametrize("cell", [None, NAN, pd.NA, "", "  ", "NA", "n/a"])
def test_missing_is_not_the_same_as_not_detected(cell):
    message = refusal(read, [1, cell, cell])
    has(message, "row 2 (IL-6)", "blank", "missing is not the same", "and 1 more row", "'OOR <'", 'require=["pg"]')


@pytest.mark.parametrize("cell", [0, -1.5, "0", "-2", "−2", "<0", "< -1", ">0", "1e-999"])
def test_a_concentration_is_above_zero(cell):
    has(refusal(read, [1, cell]), "row 2 (IL-6)", "above zero", "exponentiate")


@pytest.mark.parametrize("cell", [np.inf, "inf", "1e999", ">inf", "1-inf"])
def test_a_concentration_is_finite(cell):
    has(refusal(read, [1, cell]), "row 2 (IL-6)", "infinite")


def test_ranges_that_are_none():
    has(refusal(read, ["0-0.64"]), "range from zero", "'<0.64'")
    has(refusal(read, ["0.64-0.13"]), "row 1 (IL-6)", "from 0.64 to 0.13", "lower end")
    has(refusal(read, ["0.64-0.64"]), "from 0.64 to 0.64")


# Flags.


@pytest.mark.parametrize(
    "word", ["none", "No", "false", "0", 0, 0.0, "", None, NAN, "detected", " Observed ", "=", False]
)
def test_flags_that_say_detected(word):
    assert intervals([3.0], flag=[word]) == [at(3.0)]


@pytest.mark.parametrize("word", ["left", "BELOW", "<", "yes", "true", True, np.True_, 1, 1.0, "1.0", "nd", " bdl "])
def test_flags_that_say_below(word):
    assert intervals([0.64], flag=[word]) == [left(0.64)]
    assert intervals([0.45], flag=[word], lod=[0.64], lloq=[0.9]) == [left(0.64)]
    assert intervals([0.45], flag=[word], lloq=[0.64]) == [left(0.64)]


@pytest.mark.parametrize("word", ["right", "Above", ">"])
def test_flags_that_say_above(word):
    assert intervals([100], flag=[word]) == [right(100.0)]
    assert intervals([150], flag=[word], uloq=[100]) == [right(100.0)]


@pytest.mark.parametrize("word", ["interval", "Between"])
def test_flags_that_say_between(word):
    assert intervals([0.5, None], flag=[word] * 2, lod=[0.3] * 2, lloq=[0.64] * 2) == [between(0.3, 0.64)] * 2
    assert intervals(["0.2-0.5"], flag=[word]) == [between(0.2, 0.5)]
    has(refusal(read, [0.5], flag=[word], lod=[0.3]), "non-detect without a limit", "lod and lloq")
    has(refusal(read, [0.5], flag=[word], lod=[0.5], lloq=[0.5]), "lower end")


def test_a_blank_beside_a_flag_and_a_limit_is_a_non_detect():
    assert intervals([None, ""], flag=["left", "right"], lod=[0.6, None], uloq=[None, 9]) == [left(0.6), right(9.0)]
    for flag in ("left", "right"):
        has(refusal(read, [None], flag=[flag]), "row 1 (IL-6)", "blank", "non-detect without a limit")
    has(refusal(read, [None], flag=["detected"]), "missing is not the same")


def test_a_fill_may_be_anything_below_the_limit():
    assert intervals([0, -9, 0.64 / 2**0.5, 0.64], flag=["left"] * 4, lod=[0.64] * 4) == [left(0.64)] * 4
    has(refusal(read, [0], flag=["left"]), "above zero")


def test_a_flag_on_the_wrong_side_of_the_limit_is_refused():
    """Most often 1 means detected in such a table."""
    message = refusal(read, [5.0, 7.0], flag=[1, 1], lod=[0.64, 0.64])
    has(message, "row 1 (IL-6)", "is 5.0", "flagged as left", "and 1 more row", "flag_codes")
    has(refusal(read, [5.0], flag=["right"], uloq=[100]), "flagged as right", "other side")
    has(refusal(read, [5.0], flag=["between"], lod=[0.5], lloq=[0.6]), "flagged as interval")


@pytest.mark.parametrize("code", [-1, 2, "2", 2.0, "-1", 3])
def test_numeric_codes_must_be_said(code):
    message = refusal(read, [1, 2, 3], flag=[0, code, code])
    has(
        message,
        "column 'flag'",
        "row 2 (IL-6)",
        f"the code {code!r}",
        "different meanings",
        "and 1 more row",
        "flag_codes",
    )


def test_codes_mean_what_is_said():
    flags = [0, "1.0", 2.0, "2"]
    codes = {"1": "left", "2.0": "right"}
    assert intervals([3, 0.5, 9, 9], flag=flags, flag_codes=codes) == [at(3.0), left(0.5), right(9.0), right(9.0)]
    brms = {"-1": "left", "0": "detected", "1": "right", "2": "interval"}
    assert intervals([0.5, 3, 9, "1-2"], flag=[-1, 0, 1, 2], flag_codes=brms) == [
        left(0.5), at(3.0), right(9.0), between(1.0, 2.0),
    ]  # fmt: skip
    assert intervals([0.5], flag=["Unter"], flag_codes={"unter": "left"}) == [left(0.5)]
    assert intervals([0.5], flag=["yes"], flag_codes={"yes": "detected"}) == [at(0.5)]


def test_one_is_not_guessed_beside_other_codes():
    has(refusal(read, [1, 2], flag=[1, -1], flag_codes={"-1": "left"}), "row 1", "the code 1", "flag_codes")


def test_flags_and_codes_that_are_not_understood():
    has(
        refusal(read, [1], flag=["maybe"]),
        "column 'flag'",
        "row 1 (IL-6)",
        "'maybe'",
        "detected, left, right or interval",
    )
    has(refusal(read, [1], flag=[0], flag_codes={"2": "up"}), "flag_codes", "'up'", "interval")
    has(refusal(read, [1], flag_codes={"2": "left"}), "no column of flags")


@pytest.mark.parametrize(
    ("flag", "value"), [("right", "<0.64"), ("left", ">9"), ("left", "1-2"), ("no", "<0.64"), ("interval", "ND")]
)
def test_a_flag_that_contradicts_the_text_is_refused(flag, value):
    message = refusal(read, [value], flag=[flag], lod=[0.64], uloq=[9])
    has(message, "row 1 (IL-6)", repr(value), "contradicts its flag", repr(flag))


def test_a_flag_that_agrees_with_the_text_is_fine():
    assert intervals(["<0.64", "ND", ">9"], flag=["left", 1, "above"], lod=[None, 0.5, None]) == [
        left(0.64), left(0.5), right(9.0),
    ]  # fmt: skip


# Numbers beside limits.


def test_numbers_beyond_their_limits_are_refused():
    message = refusal(read, [1, 0.32, 0.1], lod=[0.64] * 3)
    has(message, "row 2 (IL-6) is 0.32, below its own limit of detection 0.64, and not flagged", "and 1 more row")
    has(message, "set beyond_limit = 'censor'", "correct it")
    has(refusal(read, [0.32], lloq=[0.64]), "below its own lower limit of quantification 0.64")
    has(refusal(read, [200], uloq=[100]), "above its own upper limit 100", "censor")


def test_numbers_beyond_their_limits_are_censored_when_that_is_asked_for():
    limits = {"lod": [0.3, 0.3, 0.3, 0.3, None], "lloq": [0.64] * 5, "uloq": [100] * 5}
    found = intervals([0.1, 0.5, 3, 200, 0.5], **limits, beyond_limit="censor")
    assert found == [left(0.3), between(0.3, 0.64), at(3.0), right(100.0), left(0.64)]


def test_a_number_between_the_limits_is_detected_unless_censored():
    assert intervals([0.5], lod=[0.3], lloq=[0.64]) == [at(0.5)]


def test_a_number_at_its_limit_is_detected():
    assert intervals([0.64, 100], lod=[0.64] * 2, uloq=[100] * 2, beyond_limit="censor") == [at(0.64), at(100.0)]
    assert intervals([0.1 + 0.2, 0.3], lod=[0.3, 0.1 + 0.2]) == [at(0.3), at(0.3)]


def test_a_number_below_what_its_plate_states_is_refused_or_censored():
    values, plate = [0.3, "<0.64", 0.3], ["1", "1", "2"]
    has(refusal(read, values, plate=plate), "row 1 (IL-6)", "below its plate's limit of detection 0.64")
    assert intervals(values, plate=plate, beyond_limit="censor") == [left(0.64), left(0.64), at(0.3)]
    assert intervals(values) == [at(0.3), left(0.64), at(0.3)]


def test_what_to_do_beyond_limits_is_one_of_two_words():
    has(refusal(read, [1], beyond_limit="drop"), "'drop'", "'refuse' or 'censor'")


# Limits.


@pytest.mark.parametrize("word", ["lod", "lloq", "uloq"])
@pytest.mark.parametrize("cell", [0, -1, "0", "abc", "<0.64", "ND", "1,234", "1-2", np.inf, True])
def test_limits_are_numbers_above_zero(word, cell):
    has(refusal(read, [1, 1], **{word: [None, cell]}), f"column '{word}'", "row 2 (IL-6)", "above zero", "blank")


def test_limits_may_be_text_with_a_decimal_comma():
    assert intervals(["ND"], lod=["0,64"]) == [left(0.64)]


def test_limits_in_the_wrong_order_are_refused():
    has(
        refusal(read, [1, 1], lod=[0.5, 2], lloq=[0.5, 1]),
        "column 'lod'",
        "row 2",
        "limit of detection 2",
        "quantification 1",
    )
    has(refusal(read, [1], lod=[1], uloq=[1]), "limit of detection 1", "upper limit 1")
    has(refusal(read, [1], lloq=[2], uloq=[1]), "lower limit of quantification 2", "upper limit 1")
    has(refusal(read, ["<2"], lloq=[1]), "limit of detection 2", "quantification 1")
    has(refusal(read, ["<2", ">1"], plate=["1", "1"]), "column 'pg'", "limit of detection 2", "upper limit 1")


def test_a_text_that_contradicts_its_limit_is_refused():
    has(refusal(read, ["<0.64"], lod=[0.32]), "row 1 (IL-6)", "'<0.64'", "contradicts the limit 0.32")
    has(refusal(read, [">10"], uloq=[20]), "'>10'", "contradicts the limit 20")
    assert intervals(["<0.64", "<0.64"], lod=[0.64 * (1 + 1e-12), 0.32], lloq=[None, 0.64]) == [left(0.64)] * 2


@pytest.mark.parametrize(
    ("values", "columns", "words"),
    [
        ([1, 1, 1], {"lod": [0.3, 0.4, 0.4]}, ["column 'lod'", "limit of detection", "0.3", "0.4", "and 1 more row"]),
        ([1, 1, 1], {"lloq": [0.3, 0.4, None]}, ["column 'lloq'", "lower limit of quantification"]),
        ([1, 1, 1], {"uloq": [3, 4, None]}, ["column 'uloq'", "upper limit"]),
        (["<0.3", "<0.4", 1], {}, ["column 'pg'", "limit of detection", "0.3", "0.4"]),
        ([">3", ">4", 1], {}, ["column 'pg'", "upper limit"]),
        ([0.3, "<0.4", 1], {"flag": ["left", None, None]}, ["column 'pg'", "limit of detection"]),
    ],
)
def test_an_analyte_has_one_limit_on_a_plate(values, columns, words):
    message = refusal(read, values, plate=["P1"] * 3, **columns)
    has(message, "IL-6 on plate P1", "in row 1", "in row 2", *words)
    read(values, plate=["P1", "P2", "P2"], **columns)
    read(values, plate=["P1"] * 3, analyte=["IL-6", "IL-8", "IL-8"], **columns)
    read(values, **columns)  # without plates, limits may differ


def test_a_limit_of_quantification_in_the_text_is_not_a_second_limit_of_detection():
    columns = {"lod": [0.3, None], "lloq": [0.64, None]}
    assert intervals([1, "<0.64"], plate=["1", "1"], **columns) == [at(1.0), left(0.64)]
    assert limits_of([1, "<0.64"], plate=["1", "1"], **columns) == [0.3, 0.64]


def test_rows_without_a_limit_have_the_one_of_their_analyte_and_plate():
    values, plate = ["<0.5", 3, "<0.7", 4, 5, ">9"], ["1", "1", "2", "2", "3", "3"]
    np.testing.assert_array_equal(limits_of(values, plate=plate), [0.5, 0.5, 0.7, 0.7, NAN, NAN])
    np.testing.assert_array_equal(limits_of(values, "uloq", plate=plate), [NAN, NAN, NAN, NAN, 9, 9])
    np.testing.assert_array_equal(limits_of(values), [0.5, NAN, 0.7, NAN, NAN, NAN])
    np.testing.assert_array_equal(limits_of(["<0.5", 3, 4], analyte=["a", "a", "b"]), [0.5, 0.5, NAN])


def test_the_limit_of_detection_wins_over_that_of_quantification():
    assert limits_of([3, 3, "BLQ"], lod=[0.3, None, None], lloq=[0.64] * 3) == [0.3, 0.3, 0.64]
    assert limits_of([3, 4], lloq=[0.64, None]) == [0.64, 0.64]


def test_another_rows_limit_is_not_taken_for_a_number_beyond_it():
    np.testing.assert_array_equal(limits_of([0.3, "<0.64"]), [NAN, 0.64])
    np.testing.assert_array_equal(limits_of([12, ">10"], "uloq"), [NAN, 10])


# Units and columns.


def test_an_analyte_has_one_unit():
    analyte = ["IL-6", "IL-8", "IL-6", "IL-6"]
    message = refusal(read, [1] * 4, analyte=analyte, unit=["pg/mL", "ng/mL", "ng/mL", "ng/mL"])
    has(message, "column 'unit'", "row 3 (IL-6)", "in ng/mL", "row 1 in pg/mL", "and 1 more row", "convert")
    read([1] * 4, analyte=analyte, unit=["pg/mL", "ng/mL", "pg/ml", " pg / mL"])
    has(refusal(read, [1], unit=[None]), "column 'unit'", "is empty")


@pytest.mark.parametrize("word", ["value", "flag", "lod", "lloq", "uloq", "unit"])
def test_a_column_that_is_not_there_is_refused(word):
    frame = pd.DataFrame({"analyte": ["IL-6"], "concentration": [1.0], "limit_": [0.5]})
    has(refusal(count_detected, frame, **{word: "limits"}), "column 'limits'", "not in the table", word, "'limit_'")


def test_forms_may_be_mixed_row_by_row():
    rows = [
        # value, flag, lod, lloq, uloq, interval
        (3.5, None, None, None, None, at(3.5)),
        ("3,5", "no", None, None, None, at(3.5)),
        ("< 0,64", None, None, None, None, left(0.64)),
        ("OOR <", None, 0.64, None, 100, left(0.64)),
        (0.45, "left", 0.64, None, 100, left(0.64)),
        (0.64, True, None, None, None, left(0.64)),
        (None, "below", 0.64, 0.9, None, left(0.64)),
        (0.1, None, 0.64, 0.9, None, left(0.64)),
        ("0.64 – 0.9", None, None, None, None, between(0.64, 0.9)),
        (0.8, None, 0.64, 0.9, None, between(0.64, 0.9)),
        (">1e2", None, None, None, None, right(100.0)),
        ("oor >", ">", None, None, 100, right(100.0)),
    ]
    *columns, expected = (list(column) for column in zip(*rows, strict=True))
    named = dict(zip(("flag", "lod", "lloq", "uloq"), columns[1:], strict=True))
    found = {"plate": ["P1"] * len(rows), **named, "beyond_limit": "censor"}
    assert intervals(columns[0], **found) == expected
    assert limits_of(columns[0], **found) == [0.64] * len(rows)
    assert limits_of(columns[0], "uloq", **found) == [100.0] * len(rows)


# A table of limits.


def measured():
    table = pd.DataFrame({"analyte": list("abab"), "plate": [1, 1, 2, 2], "concentration": ["ND", "3", "5", ">ULOQ"]})
    table.attrs = {"title": "mine"}
    return table


def limit_table(**columns):
    table = {"analyte": list("bbaa"), "plate": [2, 1, 2, 1], "lod": [0.4, 0.3, 0.2, 0.1], "uloq": [9, 8, None, 6]}
    return pd.DataFrame({**table, **columns})


@pytest.mark.parametrize("form", [pd.DataFrame, pl.from_pandas])
def test_limits_are_joined_row_by_row(form):
    joined = add_limits(form(measured()), form(limit_table()))
    assert joined["lod"].tolist() == [0.1, 0.3, 0.2, 0.4]
    assert joined["uloq"].fillna(-1).tolist() == [6, 8, -1, 9]
    assert joined["concentration"].tolist() == measured()["concentration"].tolist()
    found = count_detected(joined, plate="plate", lod="lod", uloq="uloq")
    assert found["share_below"].tolist() == [1, 0, 0, 0]


def test_limits_keep_attrs_and_leave_the_table_alone():
    table = measured()
    assert add_limits(table, limit_table()).attrs == {"title": "mine"}
    assert list(table) == ["analyte", "plate", "concentration"]


def test_limits_may_be_by_analyte_or_by_plate_alone_or_under_the_tables_names():
    by_analyte = pd.DataFrame({"analyte": ["b", "a"], "lloq": [2, 1]})
    assert add_limits(measured(), by_analyte)["lloq"].tolist() == [1, 2, 1, 2]
    assert add_limits(measured(), pd.DataFrame({"plate": [1, 2], "lod": [3, 4]}))["lod"].tolist() == [3, 3, 4, 4]
    table = measured().rename(columns={"analyte": "marker"})
    for limits in (by_analyte, by_analyte.rename(columns={"analyte": "marker"})):
        assert add_limits(table, limits, analyte="marker")["lloq"].tolist() == [1, 2, 1, 2]


def test_limits_that_cannot_be_joined_are_refused():
    table, limits = measured(), limit_table()
    has(refusal(add_limits, table, limits[["lod"]]), "no column 'analyte' or 'plate'")
    has(refusal(add_limits, table, limits[["analyte", "plate"]]), "none of the columns 'lod', 'lloq' and 'uloq'")
    has(refusal(add_limits, table, limits.drop(columns="plate")), "'b'", "rows 1 and 2", "keep one")
    has(refusal(add_limits, table, limits.drop(index=3)), "row 1 (a / 1)", "no row in the limits")
    has(refusal(add_limits, table, limits[limits["analyte"] == "b"]), "row 1 (a / 1)", "and 1 more row")
    has(refusal(add_limits, table.assign(lod=1), limits), "column 'lod'", "in the table and in its limits")
    has(refusal(add_limits, table.drop(columns="plate"), limits), "column 'plate'", "not in the table")


@pytest.mark.parametrize("limit", [0, -0.1, "low"])
def test_joined_limits_are_numbers_above_zero(limit):
    limits = limit_table(lod=[0.4, limit, 0.2, 0.1])
    has(refusal(add_limits, measured(), limits), "column 'lod'", "row 2 (b / 1)", "above zero")


# The summary.


@pytest.mark.parametrize("form", [lambda d: d, pl.from_pandas])
def test_the_summary_counts_by_analyte_group_and_plate(form):
    table = form(pd.DataFrame({
        "marker": ["z", "z", "z", "a", "z", "a"],
        "pg": ["<0.64", "2", "0.64-0.9", "1", "<0.5", ">9"],
        "who": ["TRD", "TRD", "TRD", "TRD", "HC", "HC"],
        "batch": ["1", "1", "1", "1", "2", "2"],
    }))  # fmt: skip
    found = count_detected(table, value="pg", analyte="marker")
    assert found.columns.tolist() == [
        "analyte", "n", "share_below", "share_between", "share_above", "lod_lowest", "lod_highest",
    ]  # fmt: skip
    assert found.iloc[0].tolist() == ["z", 4, 0.5, 0.25, 0.0, 0.5, 0.64]
    assert found.iloc[1, :5].tolist() == ["a", 2, 0.0, 0.0, 0.5]
    assert found.iloc[1, 5:].isna().all()
    found = count_detected(table, value="pg", analyte="marker", group="who", plate="batch")
    assert found[["analyte", "group", "plate"]].to_numpy().tolist() == [
        ["z", "TRD", "1"], ["z", "HC", "2"], ["a", "TRD", "1"], ["a", "HC", "2"],
    ]  # fmt: skip
    assert found["n"].tolist() == [3, 1, 1, 1]


# Five files that hold the same measurements.

EXAMPLES = {
    "flag": {"flag": "flag", "lod": "lod", "lloq": "lloq"},
    "text": {"lod": "lod", "uloq": "uloq"},
    "columns": {"lod": "lod", "lloq": "lloq", "uloq": "uloq", "beyond_limit": "censor"},
    "limits": {"lod": "lod", "lloq": "lloq", "uloq": "uloq"},
    "mixed": {"flag": "flag", "lod": "lod", "lloq": "lloq", "uloq": "uloq", "beyond_limit": "censor"},
}


def example(name):
    frame = pd.read_csv(DATA / f"detection_{name}.csv")
    if name == "limits":
        frame = add_limits(frame, pd.read_csv(DATA / "limits.csv"))
    labels = {word: frame[word].to_numpy(dtype=object) for word in ("analyte", "plate")}
    return read_detection(frame, value="concentration", unit="unit", **labels, **EXAMPLES[name])


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_form_of_the_same_measurements_is_read_alike(name):
    found, whole = example(name), example("limits")
    assert found.kind.tolist() == whole.kind.tolist()
    for ends in ("lower", "upper"):
        np.testing.assert_allclose(getattr(found, ends), getattr(whole, ends), rtol=0, atol=1e-12)
    for limits in ("lod", "uloq"):
        known = ~np.isnan(getattr(found, limits))
        np.testing.assert_allclose(getattr(found, limits)[known], getattr(whole, limits)[known], rtol=0, atol=1e-12)
    assert not np.isnan(whole.lod).any()


def test_the_examples_hold_what_they_are_meant_to():
    frame, found = pd.read_csv(DATA / "detection_limits.csv"), example("limits")
    assert frame.groupby("group")["subject"].nunique().to_dict() == {"HC": 12, "TRD": 14}
    below = found.kind == "left"
    assert 0.25 < below.mean() < 0.4
    assert 0.6 < below[frame["analyte"] == "IL-2"].mean() < 0.8
    assert 2 <= (found.kind == "right").sum() <= 8
    assert (found.kind == "interval").any()
    assert frame["origin"].str.startswith("synthetic: ").all()


def test_the_examples_are_what_their_script_writes(tmp_path):
    runpy.run_path(str(DATA.parents[1] / "tools" / "make_detection_examples.py"))["write"](tmp_path)
    written = sorted(tmp_path.glob("*.csv"))
    assert [path.name for path in written] == [
        *sorted(path.name for path in DATA.glob("detection_*.csv")),
        "limits.csv",
    ]
    for path in written:
        assert path.read_bytes() == (DATA / path.name).read_bytes(), path.name
