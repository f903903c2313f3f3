"""Column contracts: every bad cell is refused in one line that names column, row and remedy."""

import hashlib
import unicodedata

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayesdep as bd
from bayesdep.data.errors import BadInput, did_you_mean, speaking_toml
from bayesdep.data.labels import clean_label
from bayesdep.data.magnitude import LARGEST, LOWEST
from bayesdep.data.tables import (
    MOST_DIFFERENT,
    Column,
    as_frame,
    note,
    provenance,
    read_columns,
    refuse_duplicates,
    refuse_more_events_than_people,
)

unhurried = settings(deadline=None, max_examples=50)  # the first call imports; a slow machine is no failure

KINDS = ("label", "number", "positive", "count", "probability")
NUMERIC = KINDS[1:]
NEEDED = {
    "number": "a number is needed",
    "positive": "a number above zero is needed",
    "count": "a whole number of at least zero is needed",
    "probability": "a number above 0 and at most 1 is needed",
}
# What each kind accepts and, beside what no number column accepts, what each refuses.
ACCEPTED = {
    "number": st.just(0.0) | st.floats(LOWEST, LARGEST) | st.floats(-LARGEST, -LOWEST),
    "positive": st.floats(LOWEST, LARGEST),
    "count": st.integers(0, 2**53).map(float),
    "probability": st.floats(min_value=0, max_value=1, exclude_min=True),
}
REFUSED = {
    "number": [],
    "positive": [0, 0.0, -0.0, -0.2],
    "count": [-1, 2.5, -3.0, 1e-9],
    "probability": [0.0, -0.1, 1.0000001, 5],
}
NEVER_A_NUMBER = ["abc", "<0.13", "1,5", "nan", True, False, np.True_, float("inf"), float("-inf"), "inf"]
EMPTY = [None, float("nan"), pd.NA, "", "  "]


def as_numbers(values, kind="number", name="sei"):
    column = Column(name, kind, "standard error")
    return read_columns(as_frame(pd.DataFrame({name: pd.Series(values, dtype=object)})), {"se": column})["se"]


def refusal(call, *args, **kwargs):
    """Return the message of the refusal, which must be one line."""
    with pytest.raises(BadInput) as refused:
        call(*args, **kwargs)
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    return message


# What is accepted comes back unchanged.


@pytest.mark.parametrize("kind", NUMERIC)
@given(data=st.data())
@unhurried
def test_accepted_numbers_are_read_back_exactly(kind, data):
    values = data.draw(st.lists(ACCEPTED[kind], min_size=1, max_size=30))
    read = as_numbers(values, kind)
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, values)


@given(values=st.lists(ACCEPTED["number"], min_size=1, max_size=30))
@unhurried
def test_numbers_written_as_text_are_read_back_exactly(values):
    np.testing.assert_array_equal(as_numbers([repr(v) for v in values]), values)


@given(labels=st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip), min_size=1))
@unhurried
def test_labels_are_read_back_exactly_but_for_spaces_around_them(labels):
    table = pd.DataFrame({"trial": labels})
    if any(is_control(sign) for label in labels for sign in label):
        with pytest.raises(BadInput, match="holds a control character"):
            as_frame(table)
        return
    frame = as_frame(table)
    if any(not clean_label(label) for label in labels):  # nothing but invisible characters
        return
    read = read_columns(frame, {"study": Column("trial", "label", "trial", "free")})
    assert list(read["study"]) == [clean_label(label) for label in labels]


def is_control(sign):
    """Control characters but for white space, and code points that are no characters (Unicode 16, section 23.7)."""
    is_none = 0xFDD0 <= ord(sign) <= 0xFDEF or ord(sign) & 0xFFFE == 0xFFFE
    return (unicodedata.category(sign) == "Cc" and sign not in "\t\n\v\f\r\x85") or is_none


def test_numbers_used_as_labels_become_text():
    read = read_columns(as_frame(pd.DataFrame({"plate": [3, 7]})), {"plate": Column("plate", "label", "plate")})
    assert list(read["plate"]) == ["3", "7"]


def test_count_of_zero_and_probability_of_one_are_accepted():
    assert list(as_numbers([0, 3], "count")) == [0, 3]
    assert list(as_numbers([1, 0.004], "probability")) == [1, 0.004]


def test_each_column_is_returned_under_the_models_word():
    frame = pd.DataFrame({"Trial": ["a", "b"], "sei": [0.1, 0.2], "not used": [None, "x"]})
    columns = {"study": Column("Trial", "label", "study"), "se": Column("sei", "positive", "standard error")}
    read = read_columns(frame, columns)
    assert list(read) == ["study", "se"]
    assert list(read["study"]) == ["a", "b"]
    assert list(read["se"]) == [0.1, 0.2]


# Every kind of dataframe is read alike.

FRAMES = {
    "pandas": pd.DataFrame,
    "pandas with its own index": lambda d: pd.DataFrame(d, index=[7 * i for i in range(len(next(iter(d.values()))))]),
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_every_kind_of_dataframe_gives_the_same_arrays(make):
    columns = {
        "study": Column("trial", "label", "trial"),
        "effect": Column("yi", "number", "effect"),
        "n": Column("n", "count", "people"),
    }
    table = make({"trial": ["a", "b", "c"], "yi": [0.25, -1.5, 3.0], "n": [4, 0, 12]})
    read = read_columns(as_frame(table), columns)
    assert list(read["study"]) == ["a", "b", "c"]
    assert list(read["effect"]) == [0.25, -1.5, 3.0]
    assert list(read["n"]) == [4, 0, 12]


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize(
    ("cells", "kind", "problem"),
    [
        ([0.1, None, 0.3], "positive", "row 2 is empty;"),
        (["a", None, "c"], "label", "row 2 is empty;"),
        (["a", "", "c"], "label", "row 2 is empty;"),
        (["0.1", "0.2", "x"], "number", "row 3 is 'x', where a number is needed;"),
        ([True, False, True], "number", "row 1 is True, where a number is needed (and 2 more: rows 2, 3);"),
        ([0.1, -0.2, 0.3], "positive", "row 2 is -0.2, where a number above zero is needed;"),
        ([1.0, 2.0, float("inf")], "number", "row 3 is inf, where a number is needed;"),
        ([1.0, 2.5, 3.0], "count", "row 2 is 2.5, where a whole number of at least zero is needed;"),
    ],
)
def test_every_kind_of_dataframe_is_refused_in_the_same_words(make, cells, kind, problem):
    table = make({"sei": cells})
    message = refusal(lambda: read_columns(as_frame(table), {"se": Column("sei", kind, "standard error")}))
    assert message.startswith(f"column 'sei' (standard error): {problem}")


def test_attrs_of_the_table_survive():
    table = pd.DataFrame({"a": [1]})
    table.attrs["synthetic"] = True
    assert as_frame(table).attrs == {"synthetic": True}
    assert as_frame(pl.DataFrame({"a": [1]})).attrs == {}


# Bad cells.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", EMPTY, ids=repr)
def test_empty_cell_is_refused_with_the_row_and_how_to_leave_it_out(kind, bad):
    message = refusal(as_numbers, [1, 1, bad, 1], kind)
    assert message == (
        "column 'sei' (standard error): row 3 is empty; "
        'fill it in, or leave such rows out with bd.read_table(table, require=["sei"])'
    )
    with speaking_toml():
        assert refusal(as_numbers, [1, 1, bad, 1], kind).endswith('leave such rows out with [data] require = ["sei"]')


@pytest.mark.parametrize("kind", NUMERIC)
@pytest.mark.parametrize("bad", NEVER_A_NUMBER, ids=repr)
def test_what_is_no_finite_number_is_refused_in_every_number_column(kind, bad):
    message = refusal(as_numbers, [1, bad, 1], kind)
    written = repr(bad) if isinstance(bad, str) else str(bad)
    assert message.startswith(f"column 'sei' (standard error): row 2 is {written}, where {NEEDED[kind]}; ")
    assert message.endswith(("write numbers only, with a decimal point", "correct it or leave the row out"))


@pytest.mark.parametrize(("kind", "bad"), [(kind, bad) for kind in REFUSED for bad in REFUSED[kind]])
def test_number_outside_the_kinds_range_is_refused(kind, bad):
    message = refusal(as_numbers, [1, 1, 1, bad], kind)
    assert message == (
        f"column 'sei' (standard error): row 4 is {bad}, where {NEEDED[kind]}; correct it or leave the row out"
    )


def test_dates_are_not_read_as_numbers():
    assert "row 1 is 2020-01-31" in refusal(as_numbers, [pd.Timestamp("2020-01-31"), 1])


@pytest.mark.parametrize("kind", ["number", "positive"])
@pytest.mark.parametrize("bad", [1e200, 5e-324, 1e-170, 1.7e308, "1e200", 2**400])
def test_numbers_whose_squares_are_none_are_refused(kind, bad):
    with np.errstate(all="ignore"):
        assert np.square(float(bad)) in (0, np.inf) or np.square(1 / np.square(float(bad))) == 0
    said = refusal(as_numbers, [1.0, bad], kind)
    assert "row 2" in said
    assert "change the unit" in said


@pytest.mark.parametrize("word", ["visit", "arm", "analyte"])
def test_a_column_of_another_kind_is_told_by_how_many_values_it_has(word):
    most = MOST_DIFFERENT[word]
    frame = pd.DataFrame({"a": [f"v{i}" for i in range(most)] * 2})
    assert len(read_columns(as_frame(frame), {word: Column("a", "label", "what")})[word]) == 2 * most
    frame.loc[0, "a"] = "one more"
    frame.loc[most, "a"] = "one more"
    said = refusal(
        read_columns, as_frame(pd.concat([frame, frame.assign(a="yet")])), {word: Column("a", "label", "what")}
    )
    assert f"{most + 1:,} values" in said


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@unhurried
def test_message_names_the_row_wherever_the_bad_value_stands(kind, data):
    rows = data.draw(st.integers(1, 40))
    row = data.draw(st.integers(0, rows - 1))
    values = [1.0] * rows
    values[row] = data.draw(st.sampled_from([*EMPTY, *(() if kind == "label" else (*NEVER_A_NUMBER, *REFUSED[kind]))]))
    message = refusal(as_numbers, values, kind)
    assert message.startswith(f"column 'sei' (standard error): row {row + 1} is ")
    assert "more:" not in message


@given(st.sets(st.integers(0, 30), min_size=2, max_size=12))
@unhurried
def test_message_counts_every_bad_row_and_shows_the_first_six(bad):
    rows = sorted(bad)
    message = refusal(as_numbers, [-1.0 if i in bad else 1.0 for i in range(31)], "positive")
    assert f"row {rows[0] + 1} is -1.0," in message
    others = ", ".join(str(r + 1) for r in rows[1:6]) + (", ..." if len(rows) > 6 else "")
    assert f"(and {len(rows) - 1} more: row{'s' if len(rows) > 2 else ''} {others});" in message


@given(st.text(min_size=1))
@unhurried
def test_any_text_in_a_number_column_gives_one_line_or_a_finite_number(text):
    try:
        outcome = as_numbers([text])[0]
    except BadInput as refused:
        outcome = str(refused)
    if isinstance(outcome, str):
        assert len(outcome.splitlines()) == 1
        assert "row 1 is" in outcome
    else:
        assert outcome == float(text)


def test_the_first_bad_column_in_the_models_order_is_reported():
    frame = pd.DataFrame({"yi": ["x"], "sei": [-1.0]})
    columns = {"se": Column("sei", "positive", "standard error"), "effect": Column("yi", "number", "effect")}
    assert "'sei'" in refusal(read_columns, frame, columns)
    assert "'yi'" in refusal(read_columns, frame, dict(reversed(columns.items())))


# Bad columns and bad tables.


@pytest.mark.parametrize("kind", KINDS)
def test_missing_column_suggests_the_nearest_and_says_where_to_name_it(kind):
    frame = pd.DataFrame({"trial": ["a"], "standard_eror": [1.0]})
    message = refusal(read_columns, frame, {"se": Column("standard_error", kind, "standard error")})
    assert message == (
        "column 'standard_error' (standard error) is not in the table; did you mean 'standard_eror'? then "
        'write se="standard_eror" as an argument'
    )


def test_all_missing_columns_stand_in_one_sentence():
    frame = pd.DataFrame({"trial": ["a"], "SE": [1.0]})
    columns = {"se": Column("se", "positive", "standard error"), "n": Column("people", "count", "people")}
    message = refusal(read_columns, frame, columns)
    assert message.startswith("columns 'se' (standard error) and 'people' (people) are not in the table; ")
    with speaking_toml():
        message = refusal(read_columns, frame, columns)
    assert '[data.columns] se = "SE" and [data.columns] n = "NAME"' in message
    with pytest.raises(BadInput) as refused:
        bd.Meta(measure="standardised-difference", study="trial").prepare(frame)
    assert 'write bd.Meta(effect="NAME") and bd.Meta(se="SE")' in str(refused.value)


def test_every_bad_column_is_found_at_once():
    frame = pd.DataFrame({"study": ["a", "b"], "effect": [1.0, None], "se": [0.0, 1.0]})
    columns = {"effect": Column("effect", "number", "effect"), "se": Column("se", "positive", "standard error")}
    with pytest.raises(BadInput) as refused:
        read_columns(frame, columns)
    first, second = refused.value.faults
    assert "row 2 is empty" in first
    assert str(refused.value) == first
    assert "row 1 is 0.0" in second


def test_missing_column_with_nothing_near_lists_all_columns():
    frame = pd.DataFrame({"zzz": [1.0], 7: [2.0]})
    message = refusal(read_columns, frame, {"se": Column("sei", "positive", "standard error")})
    assert message.endswith('write se="NAME" as an argument, NAME being the table\'s; known: 7, zzz')


def test_suggestion_ignores_case():
    assert did_you_mean("HAMD_17", ["hamd_17", "madrs"]) == "did you mean 'hamd_17'?"


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame([["a", 1, 2]], columns=["trial", "se", "se"]),
        pa.table([["a"], [1], [2]], ["trial", "se", "se"]),
    ],
    ids=["pandas", "pyarrow"],
)
def test_table_with_one_name_for_two_columns_is_refused(table):
    assert refusal(as_frame, table) == "two columns of the table have one name ('se' 2 times); rename all but one"


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "pyarrow"])
def test_table_without_rows_is_refused(make):
    message = refusal(as_frame, make({"trial": [], "se": []}))
    assert message == "the table has no rows; check the file, or the rows left out by require"


@pytest.mark.parametrize(
    "thing",
    [np.ones((2, 2)), [1, 2], {"se": [1]}, pd.Series([1]), pl.LazyFrame({"se": [1]}), "trials.csv", None],
    ids=lambda thing: type(thing).__name__,
)
def test_what_is_no_table_is_refused_by_its_type(thing):
    message = refusal(as_frame, thing)
    assert message.startswith(f"the data are a {type(thing).__name__}, not a table; pass a dataframe")


# Rules across rows and columns.

TRIAL, ANALYTE = Column("trial", "label", "trial"), Column("cytokine", "label", "analyte")
EVENTS, PEOPLE = Column("tb", "count", "events"), Column("n", "count", "people")


@given(st.lists(st.text(max_size=3), max_size=8), st.text(max_size=3), st.data())
@unhurried
def test_repeated_label_is_refused_with_both_rows(others, repeated, data):
    labels = [label for label in dict.fromkeys(others) if label != repeated]
    first, second = sorted(data.draw(st.sets(st.integers(0, len(labels) + 1), min_size=2, max_size=2)))
    labels.insert(first, repeated)
    labels.insert(second, repeated)
    message = refusal(refuse_duplicates, {"study": np.array(labels, object)}, {"study": TRIAL}, "study")
    assert message == (
        f"column 'trial': study {repeated!r} stands in rows {first + 1} and {second + 1}; "
        "keep one row, or correct the label of one"
    )


@given(st.lists(st.text(max_size=3), unique=True))
@unhurried
def test_distinct_labels_are_accepted(labels):
    refuse_duplicates({"study": np.array(labels, object)}, {"study": TRIAL}, "study")


def test_pairs_of_labels_are_repeated_only_together():
    columns = {"study": TRIAL, "analyte": ANALYTE}
    labels = {
        "study": np.array(["a", "a", "b"], object),
        "analyte": np.array(["IL-6", "CRP", "IL-6"], object),
    }
    refuse_duplicates(labels, columns, "analyte of a trial")
    labels["analyte"][1] = "IL-6"
    message = refusal(refuse_duplicates, labels, columns, "analyte of a trial")
    assert message.startswith("column 'trial' and 'cytokine': analyte of a trial 'a / IL-6' stands in rows 1 and 2; ")


@given(
    st.lists(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1),
    st.data(),
)
@unhurried
def test_more_events_than_people_is_refused_with_row_and_study(arms, data):
    events, n = np.array(arms, float).T
    names = np.array([f"trial {i}" for i in range(len(n))], object)
    refuse_more_events_than_people(events, n, names, (EVENTS, PEOPLE))
    row = data.draw(st.integers(0, len(n) - 1))
    events[row] = n[row] + 1
    message = refusal(refuse_more_events_than_people, events, n, names, (EVENTS, PEOPLE))
    assert message == (
        f"column 'tb' (events): row {row + 1} (trial {row}) has {n[row] + 1:.0f} of {n[row]:.0f}; "
        "there cannot be more than 'n', so check both"
    )


def test_arm_without_people_is_refused_with_row_and_study():
    message = refusal(
        refuse_more_events_than_people,
        np.zeros(2),
        np.array([3.0, 0.0]),
        np.array(["a", "b"]),
        (EVENTS, PEOPLE),
    )
    assert message == "column 'n' (people): row 2 (b) is 0; leave out rows without people"


def test_line_breaks_in_a_users_label_do_not_break_the_message():
    names = np.array(["Stein &\nAronson"], object)
    message = refusal(refuse_more_events_than_people, np.array([5.0]), np.array([4.0]), names, (EVENTS, PEOPLE))
    assert "row 1 (Stein & Aronson) has 5 of 4" in message


# Where a table came from.


def test_provenance_of_a_bare_dataframe_says_so_and_hashes_its_content():
    frame = pd.DataFrame({"a": [1, 2]})
    about = provenance(frame)
    assert about["source"] == "a dataframe in memory"
    assert about["sha256"] == hashlib.sha256(b"a\n1\n2\n").hexdigest()
    assert about["synthetic"] == 0
    assert provenance(pd.DataFrame({"a": [1, 3]}))["sha256"] != about["sha256"]


def test_notes_are_kept_once_each_and_never_change_the_users_own_table():
    own = pd.DataFrame({"a": [1]})
    own.attrs["notes"] = ["one"]
    frame = as_frame(own)
    note(frame, "two")
    note(frame, "two")
    assert provenance(frame)["notes"].splitlines() == ["one", "two"]
    assert own.attrs["notes"] == ["one"]


def test_provenance_keeps_what_the_table_says_of_itself():
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {
        "title": "T",
        "sha256": "abc",
        "synthetic": True,
        "inconsistencies": ["one", "two"],
        "left_out": "r",
    }
    about = provenance(frame)
    assert (about["title"], about["sha256"], about["synthetic"], about["left_out"]) == ("T", "abc", 1, "r")
    assert about["inconsistencies"].splitlines() == ["one", "two"]
    assert all(isinstance(value, str | int) for value in about.values())  # what a NetCDF attribute can hold


def test_true_and_false_are_written_as_the_reader_writes_them():
    """A contradiction names its setting as Python has it, and in a plan as a plan has it."""
    contradiction = {"reference": "p", "covariance": "unstructured", "heterogeneous": False}
    with pytest.raises(BadInput, match="heterogeneous = False contradicts covariance"):
        bd.Trial(**contradiction)
    with pytest.raises(BadInput, match="heterogeneous = false contradicts covariance"), speaking_toml():
        bd.Trial(**contradiction)
