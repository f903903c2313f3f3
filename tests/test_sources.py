"""From the word a plan uses for its data to a table whose origin is known."""

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesdep.data import sources
from bayesdep.data.errors import BadInput
from bayesdep.data.published import load, table_file
from bayesdep.data.sources import read_source
from bayesdep.data.tables import as_frame, provenance
from bayesdep.designs.register import designs, simulate
from bayesdep.plan import _simulate as simulated

TRIALS = pd.DataFrame({"trial": ["a", "b", "c", "d"], "effect": [0.1, np.nan, -0.3, 1 / 3], "n": [10, 20, 30, 40]})


@pytest.fixture
def written(tmp_path):
    """Return a function that writes bytes to a file and reads it as a source."""

    def write_and_read(name, content, **kwargs):
        (tmp_path / name).write_bytes(content)
        return read_source(name, folder=tmp_path, **kwargs)

    return write_and_read


def refusal(call, *args, **kwargs):
    """Return the message of the refusal, which must be one line."""
    with pytest.raises(BadInput) as refused:
        call(*args, **kwargs)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


# What can be read.


def test_published_source_is_the_shipped_table_with_its_hash():
    table = read_source("published:kiraly2017_table2")
    pd.testing.assert_frame_equal(table, load("kiraly2017_table2"))
    assert table.attrs["source"] == "published:kiraly2017_table2"
    assert table.attrs["sha256"] == hashlib.sha256(table_file("kiraly2017_table2").read_bytes()).hexdigest()
    assert table.attrs["synthetic"] is False
    assert table.attrs["citation"].startswith("Kiraly et al. 2017")


@pytest.mark.parametrize("name", designs())
def test_simulated_source_is_the_simulators_table_with_its_hash(name):
    table = read_source(f"simulate:{name}", seed=3, simulate=simulated)
    pd.testing.assert_frame_equal(table, simulate(name, seed=3).table)
    assert table.attrs["source"] == f"simulate:{name}"
    assert table.attrs["sha256"] == hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()
    assert table.attrs["sha256"] != read_source(f"simulate:{name}", seed=4, simulate=simulated).attrs["sha256"]
    assert table.attrs["synthetic"] is True


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV", ".Parquet"])
def test_file_is_read_back_exactly_with_the_hash_of_its_bytes(tmp_path, suffix):
    path = tmp_path / f"trials{suffix}"
    if suffix.lower() == ".csv":
        TRIALS.to_csv(path, index=False)
    else:
        TRIALS.to_parquet(path)
    table = read_source(path.name, folder=tmp_path)
    pd.testing.assert_frame_equal(table, TRIALS)
    assert table.attrs["source"] == path.name
    assert table.attrs["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert table.attrs["synthetic"] is False


def test_absolute_path_does_not_depend_on_the_plans_folder(tmp_path):
    TRIALS.to_csv(tmp_path / "trials.csv", index=False)
    table = read_source(str(tmp_path / "trials.csv"), folder=Path("no such folder"))
    pd.testing.assert_frame_equal(table, TRIALS)


def test_path_is_relative_to_the_plans_folder_not_to_the_working_directory(tmp_path, monkeypatch):
    for folder in ("plan", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "trials.csv").write_text(f"trial\n{folder}\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert list(read_source("../plan/trials.csv", folder=tmp_path / "plan").trial) == ["plan"]
    assert list(read_source("trials.csv", folder=tmp_path / "plan").trial) == ["plan"]


def test_byte_order_mark_of_a_spreadsheet_is_no_part_of_the_first_name(written):
    assert list(written("bom.csv", b"\xef\xbb\xbftrial,n\na,1\n").columns) == ["trial", "n"]


def test_commas_at_the_end_of_lines_do_not_shift_the_columns(written):
    table = written("trailing.csv", b"effect,se\n1,2,\n4,5,\n")
    assert table.to_dict("list") == {"effect": [1, 4], "se": [2, 5]}


@given(st.lists(st.floats(-1e300, 1e300), min_size=1))
@settings(deadline=None, max_examples=50)
def test_numbers_survive_a_csv_file_to_the_last_bit_but_one(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("csv")
    pd.DataFrame({"effect": values}).to_csv(folder / "x.csv", index=False)
    table = read_source("x.csv", folder=folder)
    # pandas' default parser may be one unit in the last place off
    np.testing.assert_array_almost_equal_nulp(table.effect.to_numpy(float), np.array(values), nulp=1)


# Rows left out.


def test_rows_without_a_required_value_are_left_out_and_named():
    table = read_source("published:ketamine_trials", require=["se"])
    assert list(table.trial) == ["Murrough 2013", "Lapidus 2014", "NIMH MOA", "Lii 2023"]
    assert list(table.index) == [0, 1, 2, 3]
    assert table.attrs["left_out"] == "1 of 5 rows left out because they lack se: Diazgranados 2010"
    assert provenance(as_frame(table))["left_out"] == table.attrs["left_out"]
    assert table.attrs["sha256"] == read_source("published:ketamine_trials").attrs["sha256"]  # the file's, whole


def test_rows_are_left_out_for_want_of_any_required_column(written):
    table = written("x.csv", b"trial,effect,se\na,1,\nb,,2\nc,3,4\n", require=["effect", "se"])
    assert table.to_dict("list") == {"trial": ["c"], "effect": [3.0], "se": [4.0]}
    assert list(table.index) == [0]
    assert table.attrs["left_out"] == "2 of 3 rows left out because they lack effect or se: a, b"


@given(st.lists(st.one_of(st.none(), st.floats(-9, 9)), min_size=1, max_size=20))
@settings(deadline=None, max_examples=50)
def test_as_many_rows_are_left_out_as_lack_the_value(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("csv")
    frame = pd.DataFrame({"trial": [f"t{i}" for i in range(len(values))], "se": values}, dtype=object)
    frame.to_csv(folder / "x.csv", index=False)
    table = read_source("x.csv", folder=folder, require=["se"])
    lacking = [label for label, value in zip(frame.trial, values, strict=True) if value is None]
    assert len(table) == len(values) - len(lacking)
    if lacking:
        more = f" and {len(lacking) - 10} more" if len(lacking) > 10 else ""
        said = f"{len(lacking)} of {len(values)} rows left out because they lack se: {', '.join(lacking[:10])}{more}"
        assert table.attrs["left_out"] == said
    else:
        assert "left_out" not in table.attrs


def test_required_column_that_is_missing_suggests_the_nearest():
    message = refusal(read_source, "published:ketamine_trials", require=["sei"])
    assert message == "[data] require names column 'sei', which is not in the table; did you mean 'se'?"


def test_when_every_row_is_left_out_the_table_is_refused_as_empty(written):
    table = written("x.csv", b"trial,se\na,\nb,\n", require=["se"])
    assert "rows left out by require" in refusal(as_frame, table)


# Rows kept.

BLOOD = b"""\
id,time,analyte,group,smoker,level
1,0,FGF-2,TRD,true,1.5
1,24,FGF-2,TRD,true,2.5
1,0,IL-6,TRD,true,
2,0,FGF-2,HC,false,3.5
2,24,FGF-2,HC,false,4.5
3,0,IFN-g,TRD,,5.5
"""
KEPT = {
    "a number": ({"time": 24}, [1, 4], "kept the 2 of 6 rows with time 24"),
    "a number as text": ({"time": "24"}, [1, 4], "kept the 2 of 6 rows with time 24"),
    "a number with a point": ({"time": 24.0}, [1, 4], "kept the 2 of 6 rows with time 24"),
    "a measurement": ({"level": 2.5}, [1], "kept the 1 of 6 rows with level 2.5"),
    "text": ({"group": "TRD"}, [0, 1, 2, 5], "kept the 4 of 6 rows with group TRD"),
    "one of several": (
        {"analyte": ["IL-6", "IFN-g"]},
        [2, 5],
        "kept the 2 of 6 rows with analyte IL-6 or IFN-g",
    ),
    "true": ({"smoker": True}, [0, 1, 2], "kept the 3 of 6 rows with smoker true"),
    "false": ({"smoker": False}, [3, 4], "kept the 2 of 6 rows with smoker false"),
    "several columns": (
        {"time": 0, "analyte": ["FGF-2"], "group": "TRD"},
        [0],
        "kept the 1 of 6 rows with time 0 and analyte FGF-2 and group TRD",
    ),
}


@pytest.mark.parametrize(("keep", "rows", "said"), KEPT.values(), ids=list(KEPT))
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_with_the_asked_values_are_kept_and_it_is_said(written, tmp_path, keep, rows, said, suffix):
    whole = written("blood.csv", BLOOD)
    if suffix == ".parquet":
        whole.to_parquet(tmp_path / "blood.parquet")
        whole = read_source("blood.parquet", folder=tmp_path)
    table = read_source(f"blood{suffix}", folder=tmp_path, keep=keep)
    pd.testing.assert_frame_equal(table, whole.iloc[rows].reset_index(drop=True))
    assert table.attrs["left_out"] == said
    assert table.attrs["sha256"] == hashlib.sha256((tmp_path / f"blood{suffix}").read_bytes()).hexdigest()


@pytest.mark.parametrize("keep", [{}, {"time": [0, 24]}])
def test_nothing_is_said_where_every_row_is_kept(written, keep):
    table = written("blood.csv", BLOOD, keep=keep)
    assert len(table) == 6
    assert "left_out" not in table.attrs


def test_kept_column_of_truths_without_gaps_is_compared_as_such_too(written):
    assert list(written("x.csv", b"id,ill\n1,TRUE\n2,FALSE\n", keep={"ill": True}).id) == [1]


def test_rows_are_kept_before_rows_without_a_required_value_are_left_out(written):
    table = written("blood.csv", BLOOD, keep={"time": 0, "group": "TRD"}, require=["level"])
    assert list(table.analyte) == ["FGF-2", "IFN-g"]
    assert table.attrs["left_out"] == (
        "kept the 3 of 6 rows with time 0 and group TRD; 1 of 3 rows left out because they lack level"
    )  # of people, none is named


def test_long_lists_of_rows_left_out_are_cut_after_the_tenth(written):
    rows = "".join(f"t{i},\n" for i in range(13))
    said = written("x.csv", f"trial,se\n{rows}z,1\n".encode(), require=["se"]).attrs["left_out"]
    assert said == "13 of 14 rows left out because they lack se: t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 3 more"


UNKEPT = {
    "unknown column": ({"tiem": 0}, "[data.keep] names column 'tiem', which is not in the table; did you mean 'time'?"),
    "misspelt text": ({"group": "TDR"}, "[data.keep] group = 'TDR' is in no row of the table; did you mean 'TRD'?"),
    "text in another case": ({"group": "hc"}, "[data.keep] group = 'hc' is in no row of the table; did you mean 'HC'?"),
    "one of several": (
        {"analyte": ["FGF-2", "TNF"]},
        "[data.keep] analyte = 'TNF' is in no row of the table; known: FGF-2, IFN-g, IL-6",
    ),
    "number": ({"time": 7}, "[data.keep] time = 7 is in no row of the table; known: 0, 24"),
    "text in a column of numbers": ({"time": "x"}, "[data.keep] time = 'x' is in no row of the table; known: 0, 24"),
    "truth in a column of numbers": ({"time": True}, "[data.keep] time = true is in no row of the table; known: 0, 24"),
    "empty text": ({"smoker": ""}, "[data.keep] smoker = '' is in no row of the table; known: false, true"),
    "no row at all": (
        {"time": 24, "analyte": "IL-6"},
        "[data.keep] leaves no row: none has time 24 and analyte IL-6; leave out or correct one of these",
    ),
}


@pytest.mark.parametrize(("keep", "says"), UNKEPT.values(), ids=list(UNKEPT))
def test_value_or_column_that_is_not_there_cannot_be_kept(written, keep, says):
    assert refusal(written, "blood.csv", BLOOD, keep=keep) == says


def test_long_lists_of_known_values_are_cut_after_the_tenth(written):
    rows = "".join(f"{i}\n" for i in range(200, 225))
    message = refusal(written, "x.csv", f"id\n{rows}".encode(), keep={"id": "x"})
    assert message.endswith("known: 200, 201, 202, 203, 204, 205, 206, 207, 208, 209 and 15 more")


def test_column_without_values_keeps_nothing(written):
    message = refusal(written, "x.csv", b"id,time\n1,\n", keep={"time": 0})
    assert message == "[data.keep] time = 0 is in no row of the table; it has no values at all"


@given(st.lists(st.sampled_from([0, 1, 24, 168]), min_size=1), st.data())
@settings(deadline=None, max_examples=50)
def test_kept_rows_are_those_with_the_values_and_no_others(tmp_path_factory, times, data):
    folder = tmp_path_factory.mktemp("csv")
    pd.DataFrame({"row": range(len(times)), "time": times}).to_csv(folder / "x.csv", index=False)
    wanted = data.draw(st.lists(st.sampled_from(times), min_size=1))
    table = read_source("x.csv", folder=folder, keep={"time": wanted})
    assert list(table.row) == [row for row, time in enumerate(times) if time in wanted]


# Data that the user names.


def test_data_of_the_user_are_relative_to_the_working_directory_and_called_by_the_file_s_name(tmp_path, monkeypatch):
    for folder in ("plan", "here/deep"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "trials.csv").write_text(f"trial\n{folder}\n")
    monkeypatch.chdir(tmp_path / "here")
    for path in ("deep/trials.csv", Path("deep/trials.csv"), tmp_path / "here" / "deep" / "trials.csv"):
        table = read_source("path", folder=tmp_path / "plan", data=path)
        assert list(table.trial) == ["here/deep"]
        assert table.attrs["source"] == table.attrs["title"] == "trials.csv"
        assert table.attrs["sha256"] == hashlib.sha256(b"trial\nhere/deep\n").hexdigest()
        assert table.attrs["synthetic"] is False


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_of_the_user_may_be_a_dataframe(library):
    # polars is one of the libraries that a user may have; the package does not need it
    frame = TRIALS if library == "pandas" else pytest.importorskip("polars").from_pandas(TRIALS)
    table = read_source("path", data=frame, keep={"trial": ["a", "b"]})
    assert list(table.trial) == ["a", "b"]
    assert table.attrs["source"] == "a dataframe in memory"
    assert table.attrs["sha256"] == hashlib.sha256(TRIALS.to_csv(index=False).encode()).hexdigest()
    assert table.attrs["synthetic"] is False
    assert TRIALS.attrs == {}


def test_simulated_dataframe_of_the_user_is_synthetic():
    made = simulate("bcg_trials", seed=1).table
    assert read_source("path", data=made).attrs["synthetic"] is True
    made.attrs = {}
    assert read_source("path", data=made).attrs["synthetic"] is True


def test_data_of_the_user_that_are_not_given_are_asked_for():
    assert refusal(read_source, "path", expects="the viral loads (columns id,\n month).") == (
        "[data] source = 'path' expects the viral loads (columns id, month); "
        "give that file with --data PATH (data=PATH in Python)"
    )


def test_data_of_the_user_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / "x.csv"
    assert refusal(read_source, "path", data=path) == (
        f"there is no data file '{path}'; check the path given with --data, "
        "which is relative to the folder this runs in"
    )
    assert refusal(read_source, "path", data=tmp_path / "x.xlsx") == (
        f"--data '{tmp_path / 'x.xlsx'}' is not a .csv or .parquet file; save the table as one of these"
    )
    path.write_bytes(b"")
    assert "cannot be read as csv (No columns to parse" in refusal(read_source, "path", data=path)
    assert "not a table; pass a dataframe" in refusal(read_source, "path", data=3)


# Limits joined onto the rows.


@pytest.fixture
def joined(monkeypatch):
    """Stand in for the join: one limit for all rows, and the words it was called with."""
    calls = []

    def add_limits(table, limits, **words):
        calls.append((len(table), words))
        return table.merge(limits, how="cross").set_axis(range(5, 5 + len(table)))

    monkeypatch.setitem(sys.modules, "bayesdep.data.detection", SimpleNamespace(add_limits=add_limits))
    return calls


def test_limits_are_joined_after_rows_are_kept_and_before_values_are_required(written, tmp_path, joined):
    (tmp_path / "limits.csv").write_bytes(b"lower\n0.5\n")
    table = written("blood.csv", BLOOD, limits="limits.csv", keep={"time": 24}, require=["lower"])
    assert table.lower.to_list() == [0.5, 0.5]
    assert list(table.index) == [0, 1]
    assert joined == [(2, {})]
    assert table.attrs["source"] == "blood.csv with limits limits.csv"
    assert table.attrs["title"] == "blood.csv"
    assert table.attrs["left_out"] == "kept the 2 of 6 rows with time 24"
    assert table.attrs["sha256"] == hashlib.sha256(BLOOD + b"lower\n0.5\n").hexdigest()


def test_limits_are_joined_by_the_columns_that_the_plan_names(written, tmp_path, joined):
    (tmp_path / "limits.csv").write_bytes(b"lower\n0.5\n")
    columns = {"analyte": "marker", "plate": "batch", "value": "level"}
    written("blood.csv", BLOOD, limits="limits.csv", columns=columns)
    assert joined == [(6, {"analyte": "marker", "plate": "batch"})]


def test_limits_can_be_joined_onto_a_table_of_the_user_s(tmp_path, joined):
    (tmp_path / "limits.csv").write_bytes(b"lower\n0.5\n")
    (tmp_path / "blood.csv").write_bytes(BLOOD)
    table = read_source("path", folder=tmp_path, limits="limits.csv", data=tmp_path / "blood.csv")
    assert table.attrs["source"] == "blood.csv with limits limits.csv"
    assert table.attrs["sha256"] == hashlib.sha256(BLOOD + b"lower\n0.5\n").hexdigest()


def test_limits_are_those_of_each_row_s_analyte(written, tmp_path):
    (tmp_path / "limits.csv").write_bytes(b"marker,lod\nIL-6,0.64\nFGF-2,0.2\n")
    blood = BLOOD.replace(b"analyte", b"marker")
    keep = {"time": 0, "marker": ["FGF-2", "IL-6"]}  # what is not kept needs no limit
    table = written("blood.csv", blood, limits="limits.csv", columns={"analyte": "marker"}, keep=keep)
    assert table[["marker", "lod"]].to_numpy().tolist() == [["FGF-2", 0.2], ["IL-6", 0.64], ["FGF-2", 0.2]]
    assert table.attrs["source"] == "blood.csv with limits limits.csv"
    assert "IFN-g" in refusal(written, "blood.csv", blood, limits="limits.csv", columns={"analyte": "marker"})


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ("limits.xlsx", "[data] limits = 'limits.xlsx' is not understood; give a .csv or .parquet file"),
        ("limits.csv", "limits.csv'; check the path, which is relative to the plan's folder"),
        ("empty.csv", "empty.csv' cannot be read as csv (No columns to parse from file); check that the file is whole"),
    ],
)
def test_limits_that_cannot_be_read_are_refused(written, tmp_path, joined, limits, says):
    (tmp_path / "empty.csv").write_bytes(b"")
    assert refusal(written, "blood.csv", BLOOD, limits=limits).endswith(says)
    assert joined == []


# Synthetic data cannot pass for a study.


@pytest.mark.parametrize("name", designs())
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_synthetic_flag_survives_a_round_trip_through_a_file(tmp_path, name, suffix):
    table = simulate(name, seed=1).table
    if suffix == ".csv":
        table.to_csv(tmp_path / "x.csv", index=False)
    else:
        table.to_parquet(tmp_path / "x.parquet")
    assert read_source(f"x{suffix}", folder=tmp_path).attrs["synthetic"] is True


def test_one_synthetic_row_makes_a_table_synthetic_even_if_it_is_left_out(written):
    content = b'trial,se,origin\na,1,\nb,,"synthetic: x, seed 1"\n'
    assert written("x.csv", content).attrs["synthetic"] is True
    assert written("x.csv", content, require=["se"]).attrs["synthetic"] is True


def test_published_table_written_to_a_file_is_not_synthetic(tmp_path):
    load("kiraly2017_table2").assign(origin="Table 2").to_csv(tmp_path / "x.csv", index=False)
    assert read_source("x.csv", folder=tmp_path).attrs["synthetic"] is False


# What cannot be read.


def test_unknown_published_table_suggests_the_nearest():
    message = refusal(read_source, "published:kiraly2017_table1")
    assert message == "there is no published table 'kiraly2017_table1'; did you mean 'kiraly2017_table2'?"


def test_unknown_simulator_suggests_the_nearest():
    message = refusal(read_source, "simulate:raison2013_responder", seed=1, simulate=simulated)
    assert message == "there is no simulator 'raison2013_responder'; did you mean 'raison2013_responders'?"


def test_simulator_without_a_seed_is_refused():
    message = refusal(read_source, "simulate:bcg_trials", simulate=simulated)
    assert message == "[data] source = 'simulate:bcg_trials' needs a seed; add one, for example seed = 1"


@pytest.mark.parametrize("source", ["trials.xlsx", "trials", "", ".", "published:", "simulate:", "Published:bcg"])
def test_source_of_no_known_form_is_refused_with_the_forms_there_are(tmp_path, source):
    message = refusal(read_source, source, folder=tmp_path, seed=1)
    assert message == (
        f"[data] source = '{source}' is not understood; give a .csv or .parquet file, "
        "'published:NAME', 'simulate:NAME', or 'path' for a file that is named with --data"
    )


def test_wrong_suffix_is_refused_even_when_the_file_is_there(written):
    assert "is not understood; give a .csv or .parquet file" in refusal(written, "x.txt", b"a\n1\n")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_missing_file_and_directory_are_refused_with_the_whole_path(tmp_path, suffix):
    (tmp_path / f"folder{suffix}").mkdir()
    remedy = "check the path, which is relative to the plan's folder"
    missing = tmp_path / f"missing{suffix}"
    assert refusal(read_source, missing.name, folder=tmp_path) == f"there is no data file '{missing}'; {remedy}"
    folder = tmp_path / f"folder{suffix}"
    message = refusal(read_source, folder.name, folder=tmp_path)
    assert message == f"data file '{folder}' cannot be read (Is a directory); {remedy}"


UNREADABLE = {
    "empty.csv": (b"", "No columns to parse"),
    "blank_lines.csv": (b"\n\n", "No columns to parse"),
    "binary.csv": (bytes(range(128, 256)) * 4, "utf-8"),
    "open_quote.csv": (b'a,b\n"1,2\n3,4\n', "EOF inside string"),
    "longer_row.csv": (b"a,b\n1,2\n4,5,6\n", "Expected 2 fields in line 3, saw 3"),
    "longer_rows.csv": (
        b"effect,se\n0,2,3\n1,5,6\n",
        "the rows have more cells than the header: name every column",
    ),
    "repeated.csv": (b"trial,se,se\na,1,2\n", "the header has 'se' twice: rename one of the two"),
    "empty.parquet": (b"", "0 bytes"),
    "text.parquet": (b"trial,se\na,1\n", "not a parquet file"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_file_that_is_no_whole_table_is_refused_with_its_path_and_the_reason(written, tmp_path, name):
    content, reason = UNREADABLE[name]
    message = refusal(written, name, content)
    assert message.startswith(f"'{tmp_path / name}' cannot be read as {name.rpartition('.')[2]} (")
    assert reason in message
    assert message.endswith("; check that the file is whole")


@pytest.mark.parametrize(("encoding", "name"), [("utf-16", "UTF-16"), ("latin-1", "Windows-1252"), ("utf-8-sig", "")])
def test_text_of_spreadsheets_is_read_and_its_encoding_noted(written, encoding, name):
    table = written("x.csv", "trial,n\nM\u00fcller,3\n".encode(encoding))
    assert (table["trial"].tolist(), table["n"].tolist()) == (["M\u00fcller"], [3])
    said = table.attrs["notes"]
    assert said == ([f"the file is not UTF-8 text and was read as {name}"] if name else [])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_file_that_may_not_be_opened_is_refused_with_the_reason(written, monkeypatch, suffix):
    def forbidden(path, at_most):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(sources, "read_whole", forbidden)
    message = refusal(written, f"secret{suffix}", b"a\n1\n")
    assert f"secret{suffix}' cannot be read (Permission denied)" in message


@given(st.binary(max_size=200), st.sampled_from([".csv", ".parquet"]))
@settings(deadline=None, max_examples=50)
def test_any_bytes_at_all_give_a_table_or_one_line(tmp_path_factory, content, suffix):
    path = tmp_path_factory.mktemp("bytes") / f"x{suffix}"
    path.write_bytes(content)
    try:
        outcome = read_source(path.name, folder=path.parent)
    except BadInput as refused:
        outcome = str(refused)
    if isinstance(outcome, str):
        assert len(outcome.splitlines()) == 1
        assert str(path) in outcome
    else:
        assert isinstance(outcome, pd.DataFrame)


def test_file_with_a_header_only_is_refused_as_a_table_without_rows(written):
    assert refusal(as_frame, written("x.csv", b"trial,se\n")).startswith("the table has no rows; check the file")
