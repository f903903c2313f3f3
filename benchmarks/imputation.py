"""What leaving out patients whose trial did not record a moderator costs, and filling in the mean, beside imputation.

Run with ``make imputation`` (half an hour on two cores). It writes ``benchmarks/imputation.csv``. Synthetic trials on
the design of Price 2022 (17 studies, 720 patients, two times), six moderators by treatment, all that moderate in the
generator: four known of all patients, blood pressure missing in five whole trials and BMI in seven.
"""

import argparse
import datetime
from pathlib import Path

import numpy as np
import pandas as pd

import bayesdep as bd
from bayesdep.designs.price2022 import draw_price2022
from bayesdep.inference.sample import sample_posterior

HERE = Path(__file__).parent
MODERATORS = ("crossover", "trd", "us", "mdd", "systolic", "bmi")
MISSING = ("systolic", "bmi")
SETTINGS = {
    "reference": "control", "outcome": "improvement", "units": "% improvement", "baseline": "madrs_baseline",
    "moderators": MODERATORS, "split": False,
}  # fmt: skip
OMIT = bd.PatientMeta(**SETTINGS)
IMPUTE = bd.PatientMeta(**SETTINGS, missing_moderators="impute", imputations=10)
DATA_SETS = 40


def ways(seed: int) -> pd.DataFrame:
    """Analyse one synthetic data set in three ways.

    Parameters
    ----------
    seed
        Of the data and of the samplers.

    Returns
    -------
    pandas.DataFrame
        One row per way, moderator and time: ``truth``, ``mean``, ``lower`` and ``upper`` (95%) of its interaction, in
        units of the generator.
    """
    made = draw_price2022(np.random.default_rng([2022, seed]))
    filled = made.table.copy()
    for name in MISSING:
        filled[name] = filled[name].fillna(filled[name].mean())
    data = IMPUTE.prepare(made.table)
    versions = {
        "imputed": IMPUTE.imputations_of(data),
        "patients left out": [OMIT.prepare(made.table)],
        "mean filled in": [OMIT.prepare(filled)],
    }
    rows = []
    for way, datasets in versions.items():
        size = {"draws": 300 if len(datasets) > 1 else 1000, "tune": 400, "chains": 2}
        found = [sample_posterior(OMIT, x, **size, seed=seed + k)["interaction"] for k, x in enumerate(datasets)]
        for t, time in enumerate(data["time"].values):
            for name in MODERATORS:
                x = datasets[0]
                scale = float(x["outcome_sd"][t]) / made.truth["sd"] / float(x["scale"].sel(moderator=name))
                draws = np.concatenate([d.isel(time=t).sel(part=name).values.ravel() for d in found])
                draws = draws * scale * made.truth["scale"][name]
                lower, upper = np.quantile(draws, [0.025, 0.975])
                rows.append((way, name, time, made.truth["interaction"][time][name], draws.mean(), lower, upper))
    return pd.DataFrame(rows, columns=["way", "moderator", "time", "truth", "mean", "lower", "upper"])


def summarise(found: pd.DataFrame) -> pd.DataFrame:
    """Bias, root mean square error and coverage, moderator by moderator and over those that are missing or not.

    Parameters
    ----------
    found
        Rows of :func:`ways`.

    Returns
    -------
    pandas.DataFrame
        ``way``, ``moderator`` (or ``all missing``, ``all known``), ``results``, ``bias``, ``rmse``, ``coverage`` and
        ``width`` (of 95% intervals).
    """
    inside = (found["lower"] <= found["truth"]) & (found["truth"] <= found["upper"])
    away = found["mean"] - found["truth"]
    rows = found.assign(inside=inside, away=away, square=away**2, width=found["upper"] - found["lower"])
    kind = np.where(rows["moderator"].isin(MISSING), "all missing", "all known")
    both = pd.concat([rows, rows.assign(moderator=kind)])
    table = both.groupby(["way", "moderator"], sort=False).agg(
        results=("away", "size"), bias=("away", "mean"), rmse=("square", "mean"), coverage=("inside", "mean"),
        width=("width", "mean"),
    )  # fmt: skip
    table["rmse"] **= 0.5
    return table.reset_index()


def main() -> None:
    """Run the study and write its results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=DATA_SETS, help="data sets")
    sets = parser.parse_args().sets
    found = []
    for seed in range(sets):
        found.append(ways(seed))
        if seed % 10 == 9:
            print(summarise(pd.concat(found)).round(3).to_string(index=False), flush=True)
    table = summarise(pd.concat(found)).assign(seeds=f"0 to {sets - 1}", date=datetime.date.today().isoformat())
    table.round(4).to_csv(HERE / "imputation.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
