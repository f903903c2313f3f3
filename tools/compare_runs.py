"""Compare two folders of runs, as `bayesdep reproduce --out FOLDER` writes them, plan by plan.

    python tools/compare_runs.py BEFORE AFTER [--renamed OLD=NEW ...] [--words]

Draws, log likelihoods, predictions and data are compared bit for bit; estimands, summaries and the ledger digit for
digit; diagnostics, checks and the settings of the sampler number for number. Times, versions, the machine and hashes of
files are not compared. A name that was changed on purpose (of a column, a variable, a coordinate or a value of one) is
stated with --renamed. What is only worded otherwise (descriptions, notes, sentences, names of checks) or lies in other
files (figures) is counted, and is no difference unless --words is given.

Prints a line per plan and ends with 1 at a difference. Needs xarray and h5netcdf, and nothing of the package itself.
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

TABLES = ("estimands.csv", "summary.csv", "ledger.csv")
PROSE = ("description", "note", "published_as", "source")  # columns that are words, not results
MANIFEST = ("failed", "sampler", "seed", "draws", "tune", "chains", "tables", "gate", "verdict")
SHOWN = 3  # differences that are told of a plan


@dataclass
class Findings:
    """What differs between two runs of a plan: in results, and in words alone; and how much was compared."""

    results: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    numbers: int = 0


class Names:
    """Names of the run before in terms of the run after."""

    def __init__(self, renamed: Mapping[str, str]) -> None:
        self._renamed = dict(renamed)
        longest_first = sorted(map(re.escape, renamed), key=len, reverse=True)
        self._pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(longest_first)})(?![\w-])") if renamed else None

    def __call__(self, text: str) -> str:
        """Rename whole words in a text."""
        return self._pattern.sub(lambda m: self._renamed[m[0]], text) if self._pattern else text


def plans(folder: Path) -> list[str]:
    """Return the runs in a folder, by their path in it."""
    return sorted(file.parent.relative_to(folder).as_posix() for file in folder.rglob("manifest.json"))


def compare(before: Path, after: Path, names: Names) -> Findings:
    """Compare two runs of one plan."""
    found = Findings()
    _compare_trees(before / "posterior.nc", after / "posterior.nc", names, found)
    for table in TABLES:
        _compare_tables(before / table, after / table, names, found)
    diagnostics = [json.loads((run / "diagnostics.json").read_text(encoding="utf-8")) for run in (before, after)]
    _compare_values("diagnostics.json", *diagnostics, names, found)
    manifests = [json.loads((run / "manifest.json").read_text(encoding="utf-8")) for run in (before, after)]
    _compare_values("manifest.json", *({k: m[k] for k in MANIFEST if k in m} for m in manifests), names, found)
    files = [{f.relative_to(run).as_posix() for f in run.rglob("*") if f.is_file()} for run in (before, after)]
    found.words += [f"{name} only before" for name in sorted(files[0] - files[1])]
    found.words += [f"{name} only after" for name in sorted(files[1] - files[0])]
    return found


def _compare_trees(before: Path, after: Path, names: Names, found: Findings) -> None:
    with xr.open_datatree(before, engine="h5netcdf") as one, xr.open_datatree(after, engine="h5netcdf") as other:
        arrays = [dict(_arrays(tree)) for tree in (one, other)]
        mine = {names(name): array for name, array in arrays[0].items()}
        theirs = arrays[1]
        found.results += [f"{name} only before" for name in sorted(mine.keys() - theirs)]
        found.results += [f"{name} only after" for name in sorted(theirs.keys() - mine)]
        for name in sorted(mine.keys() & theirs):
            _compare_arrays(name, mine[name], theirs[name], names, found)


def _arrays(tree: xr.DataTree) -> Iterator[tuple[str, xr.DataArray]]:
    for group in tree.subtree:
        for name, array in group.to_dataset(inherit=False).variables.items():
            yield f"{group.path.strip('/')}/{name}", array


def _compare_arrays(name: str, mine: Any, theirs: Any, names: Names, found: Findings) -> None:
    a, b = mine.values, theirs.values
    found.numbers += a.size
    if a.dtype.kind in "OUS":
        a = np.array([names(str(x)) for x in a.ravel()], dtype=object).reshape(a.shape)
        b = np.array([str(x) for x in b.ravel()], dtype=object).reshape(b.shape)
    dims = tuple(names(str(d)) for d in mine.dims)
    if dims != theirs.dims or a.shape != b.shape:
        found.results.append(
            f"{name} has dims {dict(zip(dims, a.shape, strict=True))} before, {dict(theirs.sizes)} after"
        )
    elif a.dtype != b.dtype:
        found.results.append(f"{name} is {a.dtype} before, {b.dtype} after")
    elif a.dtype.kind == "O":
        if (changed := int((a != b).sum())) > 0:
            found.results.append(f"{name}: {changed} of {a.size} labels differ")
    elif a.tobytes() != b.tobytes():
        differs = ~((a == b) | (np.isnan(a) & np.isnan(b))) if a.dtype.kind == "f" else a != b
        if differs.any():
            scale = np.maximum(np.abs(a[differs].astype(float)), 1e-300)
            largest = np.nanmax(np.abs(b[differs].astype(float) - a[differs]) / scale)
            found.results.append(
                f"{name}: {differs.sum()} of {a.size} numbers differ, by {largest:.1e} of them at most"
            )
    if {names(k): v for k, v in map(_as_text, mine.attrs.items())} != dict(map(_as_text, theirs.attrs.items())):
        found.words.append(f"attributes of {name}")


def _as_text(item: tuple[Any, Any]) -> tuple[str, str]:
    return str(item[0]), str(item[1])


def _compare_tables(before: Path, after: Path, names: Names, found: Findings) -> None:
    mine, theirs = _rows(before), _rows(after)
    if mine is None or theirs is None:
        if mine is not theirs:
            found.results.append(f"{before.name} only {'after' if mine is None else 'before'}")
        return
    mine = [{names(column): cell for column, cell in row.items()} for row in mine]
    if len(mine) != len(theirs):
        found.results.append(f"{before.name} has {len(mine)} rows before, {len(theirs)} after")
        return
    columns = [set(rows[0]) if rows else set() for rows in (mine, theirs)]
    found.results += [f"column '{name}' of {before.name} only before" for name in sorted(columns[0] - columns[1])]
    found.results += [f"column '{name}' of {before.name} only after" for name in sorted(columns[1] - columns[0])]
    for column in sorted(columns[0] & columns[1]):
        found.numbers += len(mine)
        rows = [k + 1 for k, (a, b) in enumerate(zip(mine, theirs, strict=True)) if names(a[column]) != b[column]]
        if rows:
            k = rows[0] - 1
            example = f"row {rows[0]} '{mine[k][column]}' before, '{theirs[k][column]}' after"
            said = f"column '{column}' of {before.name}: {len(rows)} of {len(mine)} cells differ, {example}"
            (found.words if column in PROSE else found.results).append(said)


def _rows(file: Path) -> list[dict[str, str]] | None:
    if not file.exists():
        return None
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _compare_values(place: str, mine: Any, theirs: Any, names: Names, found: Findings) -> None:
    """Compare what JSON holds: keys, lengths and numbers are results, texts are words."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        mine = {names(key): value for key, value in mine.items()}
        found.results += [f"{place}: '{key}' only before" for key in sorted(mine.keys() - theirs)]
        found.results += [f"{place}: '{key}' only after" for key in sorted(theirs.keys() - mine)]
        for key in sorted(mine.keys() & theirs):
            _compare_values(f"{place}: {key}", mine[key], theirs[key], names, found)
    elif isinstance(mine, list) and isinstance(theirs, list):
        if len(mine) != len(theirs):
            found.results.append(f"{place} has {len(mine)} entries before, {len(theirs)} after")
            return
        for k, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            _compare_values(f"{place}[{k + 1}]", a, b, names, found)
    elif isinstance(mine, str) and isinstance(theirs, str):
        if names(mine) != theirs:
            found.words.append(f"{place}: '{mine}' before, '{theirs}' after")
    else:
        found.numbers += 1
        same = mine == theirs or (mine != mine and theirs != theirs)  # NaN is itself here
        if not same or type(mine) is not type(theirs):
            found.results.append(f"{place}: {mine} before, {theirs} after")


def _told(findings: list[str]) -> str:
    more = f"; and {len(findings) - SHOWN} more" if len(findings) > SHOWN else ""
    return "; ".join(findings[:SHOWN]) + more


def main(arguments: list[str] | None = None) -> int:
    """Compare, print, and return what the process is to end with."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--renamed", action="append", default=[], metavar="OLD=NEW", help="a name changed on purpose")
    parser.add_argument("--words", action="store_true", help="other wording is a difference, too")
    asked = parser.parse_args(arguments)
    if unclear := [pair for pair in asked.renamed if len(pair.split("=")) != 2 or not all(pair.split("="))]:
        parser.error(f"--renamed takes OLD=NEW, not '{unclear[0]}'")
    names = Names(dict(pair.split("=") for pair in asked.renamed))
    before, after = ({names(name): name for name in plans(asked.before)}, plans(asked.after))
    if not before or not after:
        parser.error(f"no run lies in '{asked.after if before else asked.before}'")
    different = 0
    for name in sorted(before.keys() | set(after)):
        if name not in before or name not in after:
            print(f"DIFFERENT  {name}: only {'after' if name not in before else 'before'}")
            different += 1
            continue
        found = compare(asked.before / before[name], asked.after / name, names)
        results = found.results + found.words if asked.words else found.results
        different += bool(results)
        worded = f"; worded otherwise: {_told(found.words)}" if found.words and not asked.words else ""
        what = _told(results) if results else f"{found.numbers:,} values"
        print(f"{'DIFFERENT' if results else 'same     '}  {name}: {what}{worded}")
    total = len(before.keys() | set(after))
    print(f"{total - different} of {total} plans are the same")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
