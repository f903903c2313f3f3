"""From the word a plan uses for its data to a table whose origin is known."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesdep.data.errors import BadInput
from bayesdep.data.published import load, table_file
from bayesdep.data.simulate import designs, simulate
from bayesdep.data.sources import read_source
from bayesdep.data.tables import as_frame, provenance

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
    table = read_source(f"simulate:{name}", seed=3)
    pd.testing.assert_frame_equal(table, simulate(name, seed=3).table)
    assert table.attrs["source"] == f"simulate:{name}"
    assert table.attrs["sha256"] == hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()
    assert table.attrs["sha256"] != read_source(f"simulate:{name}", seed=4).attrs["sha256"]
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
    assert table.attrs["left_out"] == "1 of 5 rows left out for want of se: Diazgranados 2010"
    assert provenance(as_frame(table))["left_out"] == table.attrs["left_out"]
    assert table.attrs["sha256"] == read_source("published:ketamine_trials").attrs["sha256"]  # the file's, whole


def test_rows_are_left_out_for_want_of_any_required_column(written):
    table = written("x.csv", b"trial,effect,se\na,1,\nb,,2\nc,3,4\n", require=["effect", "se"])
    assert table.to_dict("list") == {"trial": ["c"], "effect": [3.0], "se": [4.0]}
    assert list(table.index) == [0]
    assert table.attrs["left_out"] == "2 of 3 rows left out for want of effect or se: a, b"


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
        said = f"{len(lacking)} of {len(values)} rows left out for want of se: {', '.join(lacking)}"
        assert table.attrs["left_out"] == said
    else:
        assert "left_out" not in table.attrs


def test_required_column_that_is_missing_suggests_the_nearest():
    message = refusal(read_source, "published:ketamine_trials", require=["sei"])
    assert message == "[data] require names column 'sei', which is not in the table; did you mean 'se'?"


def test_when_every_row_is_left_out_the_table_is_refused_as_empty(written):
    table = written("x.csv", b"trial,se\na,\nb,\n", require=["se"])
    assert "rows left out by [data] require" in refusal(as_frame, table)


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
    message = refusal(read_source, "simulate:raison2013_responder", seed=1)
    assert message == "there is no simulator 'raison2013_responder'; did you mean 'raison2013_responders'?"


def test_simulator_without_a_seed_is_refused():
    message = refusal(read_source, "simulate:bcg_trials")
    assert message == "[data] source = 'simulate:bcg_trials' needs a seed; add one, for example seed = 1"


@pytest.mark.parametrize("source", ["trials.xlsx", "trials", "", ".", "published:", "simulate:", "Published:bcg"])
def test_source_of_no_known_form_is_refused_with_the_forms_there_are(tmp_path, source):
    message = refusal(read_source, source, folder=tmp_path, seed=1)
    assert message == (
        f"[data] source = '{source}' is not understood; give a .csv or .parquet file, "
        "'published:NAME' or 'simulate:NAME'"
    )


def test_wrong_suffix_is_refused_even_when_the_file_is_there(written):
    assert "is not understood; give a .csv or .parquet file" in refusal(written, "x.txt", b"a\n1\n")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_missing_file_and_directory_are_refused_with_the_whole_path(tmp_path, suffix):
    (tmp_path / f"folder{suffix}").mkdir()
    for name in (f"missing{suffix}", f"folder{suffix}"):
        message = refusal(read_source, name, folder=tmp_path)
        assert message == (
            f"there is no data file '{tmp_path / name}'; check the path, which is relative to the plan's folder"
        )


UNREADABLE = {
    "empty.csv": (b"", "No columns to parse"),
    "blank_lines.csv": (b"\n\n", "No columns to parse"),
    "latin1.csv": ("analyte\nIFN-\u03b1\n".encode("utf-16"), "utf-8"),
    "umlaut.csv": ("trial\nM\u00fcller\n".encode("latin-1"), "utf-8"),
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


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_file_that_may_not_be_opened_is_refused_with_the_reason(written, monkeypatch, suffix):
    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    message = refusal(written, f"secret{suffix}", b"a\n1\n")
    assert f"cannot be read as {suffix[1:]} ([Errno 13] Permission denied" in message


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
