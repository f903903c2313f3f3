"""Tables as people bring them: each is read rightly, or refused in one sentence whose remedy works."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import bayesdep as bd
from bayesdep.cli import main
from bayesdep.data.detection import read_detection
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
    assert "replicates = true" in message
    data = bd.Cytokines(**WELLS, replicates=True).prepare(wells)
    assert data.sizes == {**data.sizes, "subject": 8, "measurement": 9}
    assert data["kind"].values.tolist().count(1) == 2
    assert data["kind"].values.tolist().count(2) == 2
    assert "1 of 8 samples have several rows (2 at most)" in data.attrs["notes"]
    twice = pd.concat([wells, wells.iloc[[6]]])
    assert "rows 7 and 10 are alike in every column" in refusal(bd.Cytokines(**WELLS, replicates=True).prepare, twice)
