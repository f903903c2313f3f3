"""Runs are compared to the last digit: every kind of difference is found, and only what may differ is passed over."""

import csv
import json

import compare_runs
import numpy as np
import pytest
import xarray as xr

ROWS = [{"estimand": "mu", "trial": "", "mean": "0.1", "description": "pooled effect"},
        {"estimand": "theta", "trial": "A", "mean": "0.30000000000000004", "description": "effect"}]  # fmt: skip


def write_table(file, rows):
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_run(folder, name="study/plan", *, rows=ROWS, scale=1.0, variable="mu", trials=("A", "B"), seconds=1.0,
              sentence="passed", r_hat=1.001, note="effect"):  # fmt: skip
    """A run of four variables, with what may differ and what may not."""
    run = folder / name
    (run / "figures").mkdir(parents=True)
    rng = np.random.default_rng(3)
    theta = xr.DataArray(rng.normal(size=(2, 50, 2)), {"trial": list(trials)}, ("chain", "draw", "trial"))
    theta.attrs["description"] = note
    posterior = xr.Dataset({variable: (("chain", "draw"), scale * rng.normal(size=(2, 50))), "theta": theta})
    tree = xr.DataTree.from_dict(
        {"posterior": posterior, "constant_data": xr.Dataset({"se": ("trial", [0.5, np.nan])})}
    )
    tree.to_netcdf(run / "posterior.nc", engine="h5netcdf")
    write_table(run / "estimands.csv", rows)
    write_table(run / "summary.csv", rows)
    (run / "diagnostics.json").write_text(json.dumps({"sentence": sentence, "criteria": [{"value": r_hat}]}))
    manifest = {"sampler": "nutpie", "seed": 1, "timings_s": {"sample": seconds}, "versions": {"numpy": str(seconds)}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "figures" / "forest.png").write_bytes(b"png")
    return run


def compared(tmp_path, capsys, *arguments, **changes):
    """Write a run before and one with changes after; return the exit code and the line about the plan."""
    write_run(tmp_path / "before")
    write_run(tmp_path / "after", **changes)
    code = compare_runs.main([str(tmp_path / "before"), str(tmp_path / "after"), *arguments])
    return code, capsys.readouterr().out.splitlines()[0]


def test_the_same_run_is_the_same_whatever_its_times_and_versions(tmp_path, capsys):
    code, line = compared(tmp_path, capsys, seconds=77.0)
    assert code == 0
    assert line.startswith("same       study/plan: ")
    assert "worded" not in line


CHANGES = {
    "draws in the last digit": ({"scale": 1 + 2**-52}, "posterior/mu: "),
    "label": ({"trials": ("A", "C")}, "posterior/trial: 1 of 2 labels differ"),
    "variable": ({"variable": "nu"}, "posterior/mu only before; posterior/nu only after"),
    "diagnostic": ({"r_hat": 1.0010000000000001}, "diagnostics.json: criteria[1]: value: 1.001 before"),
    "cell in the last digit": (
        {"rows": [ROWS[0], {**ROWS[1], "mean": "0.3"}]},
        "column 'mean' of estimands.csv: 1 of 2 cells differ, row 2 '0.30000000000000004' before, '0.3' after",
    ),
    "row": ({"rows": ROWS[:1]}, "estimands.csv has 2 rows before, 1 after"),
    "column": (
        {"rows": [{("median" if k == "mean" else k): v for k, v in row.items()} for row in ROWS]},
        "column 'mean' of estimands.csv only before; column 'median' of estimands.csv only after",
    ),
    "plan": ({"name": "study/other"}, "study/other: only after"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_difference_is_found_and_told(change, tmp_path, capsys):
    changes, told = CHANGES[change]
    code, line = compared(tmp_path, capsys, **changes)
    assert code == 1
    assert line.startswith("DIFFERENT  study/")
    assert told in line


@pytest.mark.parametrize("renamed", ["variable", "column", "value"])
def test_a_stated_change_of_a_name_is_no_difference(renamed, tmp_path, capsys):
    columns = [{("median" if k == "mean" else k): v for k, v in row.items()} for row in ROWS]
    cells = [{**ROWS[0], "estimand": "nu"}, ROWS[1]]
    changes, pair = {
        "variable": ({"variable": "nu", "rows": cells}, "mu=nu"),
        "column": ({"rows": columns}, "mean=median"),
        "value": ({"trials": ("A2", "B"), "rows": [ROWS[0], {**ROWS[1], "trial": "A2"}]}, "A=A2"),
    }[renamed]
    code, line = compared(tmp_path, capsys, "--renamed", pair, **changes)
    assert (code, line[:9]) == (0, "same     ")


def test_a_stated_change_hides_no_other(tmp_path, capsys):
    code, line = compared(tmp_path, capsys, "--renamed", "mu=nu", variable="nu", scale=2.0)
    assert code == 1
    assert "posterior/nu: 100 of 100 numbers differ, by 1.0e+00" in line


def test_other_words_are_counted_and_are_a_difference_when_asked(tmp_path, capsys):
    code, line = compared(tmp_path, capsys, sentence="passed all checks", note="true effect")
    assert code == 0
    assert "worded otherwise: attributes of posterior/theta; diagnostics.json: sentence" in line
    code = compare_runs.main([str(tmp_path / "before"), str(tmp_path / "after"), "--words"])
    assert code == 1


def test_folders_without_runs_are_refused(tmp_path, capsys):
    write_run(tmp_path / "before")
    with pytest.raises(SystemExit):
        compare_runs.main([str(tmp_path / "before"), str(tmp_path / "nowhere")])
    assert "no run lies in" in capsys.readouterr().err
