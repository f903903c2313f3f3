"""What the width of a panel's default priors changes: group ratios at half and double width, on three panels.

Run ``python benchmarks/panel_priors.py``. Each analyte's censored likelihood is taken as normal around its
maximum-likelihood log ratio, so that the hierarchical model is a sum over a grid of the spread; the two real panels
are read where they are beside the repository, and left out where they are not.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special, stats

import bayesdep as bd
from bayesdep.models.cytokines.estimands import crude_log_ratios

REAL = Path(__file__).parents[2] / "shared" / "data" / "cytoprofile"
WIDTHS = {"former (0.5, 0.5)": (0.5, 0.5), "half": (0.75, 0.5), "default (1.5, 1)": (1.5, 1.0), "double": (3.0, 2.0)}


def pooled(y: np.ndarray, s: np.ndarray, width: float, spread: float) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return posterior means and sds of the effects, and of their mean, with N(0, width) and N+(spread)."""
    tau = np.linspace(1e-3, 6 * spread, 1200)
    variance = tau[:, None] ** 2 + s**2
    precision = (1 / variance).sum(axis=1) + width**-2
    centre = (y / variance).sum(axis=1) / precision
    log_weight = stats.norm.logpdf(tau, scale=spread) - np.log(precision) / 2 + centre**2 * precision / 2
    log_weight -= (np.log(variance) + y**2 / variance).sum(axis=1) / 2
    weight = special.softmax(log_weight)[:, None]
    kept = tau[:, None] ** 2 / variance
    mean = kept * y + (1 - kept) * centre[:, None]
    second = kept * s**2 + (1 - kept) ** 2 / precision[:, None] + mean**2
    effect = (weight * mean).sum(axis=0)
    overall = float(weight[:, 0] @ centre)
    sd = float(np.sqrt(weight[:, 0] @ (1 / precision + centre**2) - overall**2))
    return effect, np.sqrt((weight * second).sum(axis=0) - effect**2), overall, sd


def real(name: str) -> tuple[bd.Cytokines, pd.DataFrame]:
    """Return a model and a table of a real panel: the lowest value, where repeated, is a floor."""
    wide = pd.read_csv(REAL / name)
    wide["subject"] = [f"s{i}" for i in range(len(wide))]
    analytes = [c for c in wide.columns if wide[c].dtype.kind in "fi"]
    table = wide.melt(["subject", "Group"], analytes, var_name="analyte", value_name="concentration").dropna()
    parts = []
    for _, part in table.groupby("analyte", sort=False):
        y = part["concentration"]
        low = (y <= 0.01) | ((y == y.min()) & ((y == y.min()).sum() > 1))
        parts.append(part.assign(below=low, concentration=y.where(~low, y[~low].min())))
    table = pd.concat(parts)
    reference = sorted(set(table["Group"]))[0]
    model = bd.Cytokines(
        analyte="analyte", subject="subject", group="Group", reference=reference, censored="below"
    )  # fmt: skip
    return model, table


def panels() -> dict[str, tuple[bd.Cytokines, pd.DataFrame]]:
    """Return the panels by name."""
    model = bd.Cytokines(
        analyte="analyte", subject="subject", group="group", reference="HC", censored="censored", lod="lod", uloq="uloq"
    )
    found = {"kiraly2017 (simulated)": (model, bd.simulate("kiraly2017", seed=1).table.query("time == 0"))}
    for name in ("ExampleData2.csv", "ExampleData4.csv"):
        if (REAL / name).exists():
            found[f"cytoprofile {name}"] = real(name)
    return found


def report(name: str, y: np.ndarray, s: np.ndarray) -> None:
    """Print one panel's rows: the analyte whose crude estimate lies furthest from zero in its errors."""
    far = int(np.abs(y / s).argmax())
    usual = pooled(y, s, *WIDTHS["default (1.5, 1)"])
    for label, widths in WIDTHS.items():
        effect, sd, overall, overall_sd = pooled(y, s, *widths)
        moved = np.abs((effect - usual[0]) / usual[1]).max()
        print(
            f"| {name} | {label} | {overall:.2f} ({overall_sd:.2f}) | {y[far]:.2f} ({s[far]:.2f}) "
            f"| {effect[far]:.2f} ({sd[far]:.2f}) | {moved:.2f} |"
        )


def main() -> None:
    """Print a table in Markdown."""
    print(
        "| panel, comparison | widths | mean log ratio | furthest analyte: crude | pooled | largest change, in its sd |"
    )
    print("|---|---|---|---|---|---|")
    six = np.log([0.1, 0.15, 0.2, 0.3, 0.4, 0.5]), np.full(6, 0.4)
    report("six ratios of 0.1 to 0.5, standard error 0.4 (made up)", *six)
    for name, (model, table) in panels().items():
        data = model.prepare(table)
        crude, error = (x.reshape(data.sizes["analyte"], -1) for x in crude_log_ratios(data))
        for k, comparison in enumerate(data["comparison"].values):
            known = np.isfinite(crude[:, k])
            report(f"{name}, {comparison}", crude[known, k], error[known, k])


if __name__ == "__main__":
    main()
