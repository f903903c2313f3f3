"""How often intervals of slopes of 20 analytes hold, of which 3 matter: pooled in each way, or not at all.

Run with ``python benchmarks/response_effects.py`` (some minutes). It writes ``benchmarks/response_effects.csv`` and
the table in ``docs/evidence/response_prior.md``. 100 people, independent normal log concentrations, all detected;
slopes of 1, -1 and 1 per sd, the others zero; the same data sets for each way.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special

import bayesdep as bd
from bayesdep.inference.sample import sample_posterior

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "evidence" / "response_prior.md"
ANALYTES, PEOPLE, SETS = 20, 100, 20
TRUTH = np.r_[1.0, -1.0, 1.0, np.zeros(ANALYTES - 3)]
WAYS = {"none": {}, "normal": {}, "student": {}, "horseshoe": {"expected_nonzero": 3}}


def people(seed: int) -> pd.DataFrame:
    """Draw one data set."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(PEOPLE, ANALYTES))
    responder = (rng.random(PEOPLE) < special.expit(x @ TRUTH)).astype(int)
    return pd.DataFrame(
        {"subject": np.repeat(np.arange(PEOPLE), ANALYTES), "analyte": np.tile(np.arange(ANALYTES).astype(str), PEOPLE),
         "concentration": np.exp(2 + x.ravel()), "responder": np.repeat(responder, ANALYTES)}
    )  # fmt: skip


def intervals(way: str, seed: int) -> pd.DataFrame:
    """Analyse one data set: an analyte's slope per sd, its 95% interval and the truth."""
    model = bd.Response(analyte="analyte", effects=way, **WAYS[way])
    data = model.prepare(people(seed))
    slope = sample_posterior(model, data, draws=500, tune=500, chains=2, seed=seed)["slope"]
    draws = slope.transpose("chain", "draw", "analyte").values.reshape(1000, -1)
    lower, upper = np.quantile(draws, [0.025, 0.975], axis=0)
    # a slope is per sd of the analyte at hand, the truth per sd of all people
    truth = TRUTH[data["analyte"].values.astype(int)] * data["log_sd"].values
    return pd.DataFrame({"seed": seed, "truth": truth, "mean": draws.mean(axis=0), "lower": lower, "upper": upper})


def summarise(found: pd.DataFrame) -> dict[str, float]:
    """Coverage of all slopes (and its standard error between data sets), of those that matter and the others; RMSE."""
    found = found.assign(inside=found["truth"].between(found["lower"], found["upper"]))
    matters, away = found["truth"] != 0, found["mean"] - found["truth"]
    by_set = found.groupby("seed")["inside"].mean()
    of_those = found[matters]
    return {
        "sets": len(by_set), "all": by_set.mean(), "se": by_set.sem(), "matter": of_those["inside"].mean(),
        "others": found[~matters]["inside"].mean(), "shrunk_to": (of_those["mean"] / of_those["truth"]).mean(),
        "wrong_sign": (of_those["mean"] * of_those["truth"] < 0).mean(), "rmse": np.sqrt((away**2).mean()),
    }  # fmt: skip


def as_markdown(table: pd.DataFrame) -> str:
    """Return the table of the document."""
    lines = ["| effects | all (se) | that matter | others | mean estimate over truth | wrong sign | RMSE | data sets |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    lines += [
        f"| {r.effects} | {r.all:.3f} ({r.se:.3f}) | {r.matter:.2f} | {r.others:.3f} | {r.shrunk_to:.2f} | "
        f"{r.wrong_sign:.2f} | {r.rmse:.2f} | {r.sets} |"
        for r in table.itertuples()
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the study and write its results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=SETS)
    sets = parser.parse_args().sets
    rows = []
    for way in WAYS:
        rows.append({"effects": way, **summarise(pd.concat([intervals(way, seed) for seed in range(sets)]))})
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows).round(4)
    table.to_csv(HERE / "response_effects.csv", index=False)
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split("<!-- EFFECTS -->", 1)
    after = rest.split("<!-- END -->", 1)[1]
    DOCUMENT.write_text(f"{before}<!-- EFFECTS -->\n{as_markdown(table)}\n<!-- END -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
