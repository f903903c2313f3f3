"""A latent association that misleads: a common cause of a marker and a score, by simulation.

Run with ``python benchmarks/common_cause.py`` (three minutes on two cores). In 200 simulated patients stress z changes
by N(0, 1) over the follow-up, and by 1 less on the drug. A marker rises by 0.6 doublings per unit of z, the score by 3
points per unit of z; the marker does nothing to the score. Its association is nevertheless
``cov(3 z, 0.6 z + own) / var(0.6 z + own) = 1.8 / 0.45 = 4`` points per doubling. Had the drug's patients the marker's
path of placebo, the arms would seem to differ by ``-3 + 4 * 0.6 = -0.6`` points instead of -3. With stress in the
model, known without error, the association goes to zero.

Measured with an error it stays: markers' deviations are independent in the model, so it takes each marker for what its
own values say of it. Slopes of stress are known from four values with an error of ``0.3 / sqrt(5 / 9) = 0.40``, so what
the data say of z is ``E(z | both) = 0.72 stress + 0.28 marker``, but for the model ``0.86 stress`` and ``0.74 marker``:
three points per unit of z become 2.5 with stress and 1.1 with the marker. The fit then warns that markers go together
more than the model says.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

import bayesdep as bd

TIMES = (0.0, 1.0, 2.0, 3.0)


def patients(people: int = 200, seed: int = 1, *, known: bool = False) -> pd.DataFrame:
    """Scores, the marker, and 2 to the power of stress, each at four times; half of the patients on the drug.

    Stress varies from day to day by 0.3 doublings. Where it is known, that is stress itself, and the score goes with
    it; else it is an error of its measurement.
    """
    rng, rows = np.random.default_rng(seed), []
    for i in range(people):
        about = {"subject": f"s{i}", "arm": ("placebo", "drug")[i % 2]}
        z = rng.normal() - (about["arm"] == "drug")
        marker, score = 0.6 * z + rng.normal(0, 0.3), rng.normal(0, 2)
        level = rng.normal([5.0, 0.0, 25.0], [0.8, 0.5, 4.0])
        days = rng.normal(0, 0.3, len(TIMES))
        for t, day in zip(TIMES, days, strict=True):
            u = t / TIMES[-1]
            cause = z * u + (day - days[0] if known else 0.0)
            rows += [
                about | {"time": t, "marker": "marker", "value": 2 ** (level[0] + marker * u + rng.normal(0, 0.3))},
                about | {"time": t, "marker": "stress", "value": 2 ** (level[1] + z * u + day)},
                about | {"time": t, "outcome": level[2] + 3 * cause + score * u + rng.normal(0, 2)},
            ]
    return pd.DataFrame(rows)


def main() -> None:
    """Print associations, and the arms' differences at the last time."""
    alone = bd.Trajectories(
        reference="placebo", value="value", analyte="marker", association="change", pooling="none", course="linear",
        marker_course="linear", equal_baseline=True,
    )  # fmt: skip
    table, exact = patients(), patients(known=True)
    for name, model, part in (
        ("the marker alone", alone, table[table["marker"].ne("stress")]),
        ("with stress, measured with error", alone, table),
        ("with stress, known", replace(alone, exact=["stress"]), exact),
    ):
        fit = bd.fit(model, part, draws=1000, tune=1000, chains=4, seed=1, progress=False)
        found = bd.summarise(fit)
        asked = found["estimand"].isin(["association", "difference", "difference_at_control_path"])
        places = [c for c in ("analyte", "arm", "reported") if c in found]
        print(f"{name}: {fit.gate.sentence}; {fit.verdict.sentence}")
        print(found.loc[asked, ["estimand", *places, "median", "lower", "upper"]].round(2).to_string(index=False))


if __name__ == "__main__":
    main()
