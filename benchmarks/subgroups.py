"""Subgroups without any effect: how often 28 of them "find" something, each alone and in one hierarchical model.

Run with ``python benchmarks/subgroups.py`` (hours on two cores); ``--separate`` and ``--fits`` set how many synthetic
trials each part takes. The trials have the design of the plan ``models/rct2025/subgroups.toml``: 133 patients, its 28
subgroups that overlap, the link "change", and no association in anybody. Separate fits are least squares of ten markers
in each; the hierarchical model is the plan's own, of the markers named with ``--markers``. Writes ``subgroups.csv``.
"""

import argparse
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayesdep as bd
from bayesdep.designs.rct2025 import MARKERS, draw_rct2025
from bayesdep.inference.sample import sample_posterior
from bayesdep.models.trajectories.separate import separate_fits

HERE = Path(__file__).parent
type Tally = dict[tuple[str, str, str], list[np.ndarray]]


def model_of_plan() -> bd.Trajectories:
    """The plan's model."""
    plan = tomllib.loads((HERE.parent / "models/rct2025/subgroups.toml").read_text())
    settings: dict[str, Any] = plan["model"] | plan["data"]["columns"] | {"priors": plan["priors"]}
    settings.pop("family")
    return bd.Trajectories(**settings)


def trials(model: bd.Trajectories, count: int, markers: list[str]) -> Iterator[tuple[int, xr.Dataset]]:
    """Trials without effects, of some markers, with seeds; where a subgroup has nobody in an arm the next is taken."""
    found, seed = 0, -1
    while found < count:
        seed += 1
        table = draw_rct2025(np.random.default_rng(seed)).table
        try:
            data = model.prepare(table[table["marker"].isna() | table["marker"].isin(markers)])
        except bd.BadInput as problem:
            print(f"seed {seed} left out: {problem}", flush=True)
            continue
        found += 1
        yield seed, data


def count(tally: Tally, how: str, what: str, lower: xr.DataArray, upper: xr.DataArray) -> None:
    """Note which intervals exclude zero, and of which 28 any does."""
    outside = (lower > 0) | (upper < 0)
    tally[how, what, "each"].append(outside.values.ravel())
    if "subgroup" in outside.dims:
        tally[how, what, "any of 28"].append(outside.any("subgroup").values.ravel())


def separately(tally: Tally, model: bd.Trajectories, count_of_trials: int) -> None:
    """Least squares in each subgroup alone."""
    for _, data in trials(model, count_of_trials, list(MARKERS)):
        found = separate_fits(model, data)
        for question in model.questions:
            count(tally, "separate", question, found[f"{question}_lower"], found[f"{question}_upper"])


def together(
    tally: Tally, model: bd.Trajectories, count_of_trials: int, markers: list[str], write: Callable[[], object]
) -> None:
    """The hierarchical model; what is known is written every ten trials."""
    for made, (seed, data) in enumerate(trials(model, count_of_trials, markers), start=1):
        posterior = sample_posterior(model, data, draws=400, tune=400, chains=2, seed=seed)
        found = model.estimands(posterior, data)
        for question in model.questions:
            for name in (question, f"{question}_in", f"{question}_from_overall"):
                ends = [found[name].quantile(q, ("chain", "draw")) for q in (0.025, 0.975)]
                count(tally, "hierarchical", name, *ends)
        if made % 10 == 0:
            write()


def shares(tally: Tally) -> pd.DataFrame:
    """The table of shares with their Monte Carlo errors over trials."""
    rows = []
    for (how, what, of), values in tally.items():
        by_trial = np.array([v.mean() for v in values])
        error = by_trial.std(ddof=1) / np.sqrt(len(by_trial)) if len(by_trial) > 1 else np.nan
        number = {"trials": len(values), "intervals": values[0].size * (28 if of == "any of 28" else 1)}
        rows.append({"fit": how, "estimand": what, "of": of} | number | {"share": by_trial.mean(), "error": error})
    return pd.DataFrame(rows)


def main() -> None:
    """Print the shares and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--separate", type=int, default=1000, help="trials fitted separately")
    parser.add_argument("--fits", type=int, default=200, help="trials fitted by the hierarchical model")
    parser.add_argument("--markers", nargs="+", default=["IL-1RA", "IL-6"], help="markers of the hierarchical model")
    parser.add_argument("--out", type=Path, default=HERE / "subgroups.csv", help="where the shares are written")
    asked = parser.parse_args()
    model, tally = model_of_plan(), defaultdict[tuple[str, str, str], list[np.ndarray]](list)

    def write() -> pd.DataFrame:
        table = shares(tally)
        table.to_csv(asked.out, index=False, float_format="%.4f")
        return table

    separately(tally, model, asked.separate)
    together(tally, model, asked.fits, asked.markers, write)
    print(write().to_string(index=False, float_format=lambda x: f"{x:.4f}"))


if __name__ == "__main__":
    main()
