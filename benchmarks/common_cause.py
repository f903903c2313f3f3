"""A latent association that misleads: a common cause of a marker and a score, for docs/associations.md.

Run with ``python benchmarks/common_cause.py`` (two minutes on two cores). In 200 simulated patients stress z changes by
N(0, 1) over the follow-up, and by 1 less on the drug. A marker rises by 0.6 doublings per unit of z, the score by 3
points per unit of z; the marker does nothing to the score. Its association is nevertheless
``cov(3 z, 0.6 z + own) / var(0.6 z + own) = 1.8 / 0.45 = 4`` points per doubling. Had the drug's patients the marker's
path of placebo, the arms would seem to differ by ``-3 + 4 * 0.6 = -0.6`` points instead of -3. With stress in the
model, as a second marker, the association goes to zero.
"""

import numpy as np
import pandas as pd

import bayesdep as bd

TIMES = (0.0, 1.0, 2.0, 3.0)


def patients(people: int = 200, seed: int = 1) -> pd.DataFrame:
    """Scores, the marker, and 2 to the power of stress, each at four times; half of the patients on the drug."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(people):
        about = {"subject": f"s{i}", "arm": ("placebo", "drug")[i % 2]}
        z = rng.normal() - (about["arm"] == "drug")
        marker, score = 0.6 * z + rng.normal(0, 0.3), 3 * z + rng.normal(0, 2)
        level = rng.normal([5.0, 0.0, 25.0], [0.8, 0.5, 4.0])
        for t in TIMES:
            u = t / TIMES[-1]
            rows += [
                about | {"time": t, "marker": "marker", "value": 2 ** (level[0] + marker * u + rng.normal(0, 0.3))},
                about | {"time": t, "marker": "stress", "value": 2 ** (level[1] + z * u + rng.normal(0, 0.3))},
                about | {"time": t, "outcome": level[2] + score * u + rng.normal(0, 2)},
            ]
    return pd.DataFrame(rows)


def main() -> None:
    """Print associations, and the arms' differences at the last time."""
    table = patients()
    model = bd.Trajectories(
        reference="placebo", value="value", analyte="marker", association="change", pooling="none", course="linear",
        marker_course="linear", equal_baseline=True,
    )  # fmt: skip
    for name, kept in {"the marker alone": ("marker",), "with stress": ("marker", "stress")}.items():
        part = table[table["marker"].isna() | table["marker"].isin(kept)]
        fit = bd.fit(model, part, draws=500, tune=500, chains=4, seed=1, progress=False)
        found = bd.summarise(fit)
        shown = found[found["estimand"].str.startswith(("association[", "difference[", "difference_at"))]
        print(f"{name}: {fit.gate.sentence}")
        print(shown[["estimand", "median", "lower", "upper"]].round(2).to_string(index=False))


if __name__ == "__main__":
    main()
