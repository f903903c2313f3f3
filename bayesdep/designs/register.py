"""The studies' designs as generators with known truth.

Every table made here says that it is synthetic: in ``attrs``, and in a column ``origin`` that is kept
in CSV files, so that no report of simulated data can be mistaken for a study.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.published import load
from bayesdep.designs.kiraly2017 import draw_kiraly2017
from bayesdep.designs.price2022 import draw_price2022
from bayesdep.designs.raison2013 import draw_raison2013
from bayesdep.designs.raison2013_items import draw_raison2013_items
from bayesdep.designs.raison2013_markers import draw_raison2013_limits, draw_raison2013_markers
from bayesdep.designs.rct2025 import draw_rct2025, draw_rct2025_il1ra
from bayesdep.designs.simulated import Simulated as Simulated
from bayesdep.designs.wilkowska2022 import draw_wilkowska2022


def _bcg_trials(rng: np.random.Generator) -> Simulated:
    """Thirteen vaccine trials with BCG's arm sizes and control risks; log odds ratios N(-0.75, 0.58)."""
    trials = load("bcg_colditz1994")
    mu, tau = -0.75, 0.58
    theta = rng.normal(mu, tau, len(trials))
    control_risk = (trials.tb_control / trials.n_control).to_numpy()
    odds = control_risk / (1 - control_risk) * np.exp(theta)
    table = trials[["trial", "n_vaccinated", "n_control"]].assign(
        tb_vaccinated=rng.binomial(trials.n_vaccinated, odds / (1 + odds)),
        tb_control=rng.binomial(trials.n_control, control_risk),
    )
    return Simulated(table, {"mu": mu, "tau": tau, "theta": theta.tolist()})


def _ketamine_trials(rng: np.random.Generator) -> Simulated:
    """The four MADRS trials' standard errors; true differences N(-6.5, 1.5) points."""
    trials = load("ketamine_trials").dropna(subset=["se"])
    mu, tau = -6.5, 1.5
    theta = rng.normal(mu, tau, len(trials))
    table = trials[["trial", "se"]].assign(difference=rng.normal(theta, trials.se)).reset_index(drop=True)
    return Simulated(table, {"mu": mu, "tau": tau, "theta": theta.tolist()})


def _kiraly2017_table2(rng: np.random.Generator) -> Simulated:
    """26 controls and 33 patients on 41 log-normal analytes, summarised as in Table 2.

    Log means are those of the controls, log standard deviations the controls' (kept below 1), and the log
    ratios are N(0.2, 0.3); the P value is a t-test's on the logs, as in the paper.
    """
    printed = load("kiraly2017_table2")
    mu, tau = 0.2, 0.3
    log_ratio = rng.normal(mu, tau, len(printed))
    n, mean, sem = (printed[c].to_numpy(dtype=float) for c in ("hc_n", "hc_mean", "hc_sem"))
    s2 = np.log1p(n * sem**2 / mean**2)
    sd, centre = np.minimum(np.sqrt(s2), 1.0), np.log(mean) - s2 / 2
    control = rng.normal(centre, sd, (int(printed.hc_n[0]), len(printed)))
    patient = rng.normal(centre + log_ratio, sd, (int(printed.trd_n[0]), len(printed)))
    columns: dict[str, Any] = {"analyte": printed.analyte}
    for group, logs in (("hc", control), ("trd", patient)):
        values = np.exp(logs)
        columns |= {
            f"{group}_mean": values.mean(0),
            f"{group}_sem": stats.sem(values, axis=0),
            f"{group}_n": len(values),
        }
    columns["mean_difference"] = columns["trd_mean"] - columns["hc_mean"]
    columns["p_value"] = stats.ttest_ind(patient, control).pvalue
    return Simulated(pd.DataFrame(columns), {"mu": mu, "tau": tau, "theta": log_ratio.tolist()})


def _kiraly2017_fgf2_roc(rng: np.random.Generator) -> Simulated:
    """19 responders and 12 non-responders; sensitivity 0.79, specificity 0.92."""
    truth = {"sensitivity": 0.79, "specificity": 0.92}
    below = [rng.binomial(19, 0.79), rng.binomial(12, 0.08)]
    table = pd.DataFrame({"group": ["responder", "non-responder"], "below_34_pg_per_mL": below, "n": [19, 12]})
    return Simulated(table, truth)


def _raison2013_responders(rng: np.random.Generator) -> Simulated:
    """60 patients by arm and hs-CRP with the published sizes and, as truth, the published proportions."""
    printed = load("raison2013_responders")
    risk = (printed.responders / printed.n).to_numpy()
    table = printed[["subgroup", "arm", "n"]].assign(responders=rng.binomial(printed.n, risk))
    return Simulated(table, {"risk": risk.tolist()})


_DESIGNS: dict[str, Callable[[np.random.Generator], Simulated]] = {
    "bcg_trials": _bcg_trials,
    "ketamine_trials": _ketamine_trials,
    "kiraly2017": draw_kiraly2017,
    "kiraly2017_fgf2_roc": _kiraly2017_fgf2_roc,
    "kiraly2017_table2": _kiraly2017_table2,
    "price2022": draw_price2022,
    "raison2013": draw_raison2013,
    "raison2013_items": draw_raison2013_items,
    "raison2013_limits": draw_raison2013_limits,
    "raison2013_markers": draw_raison2013_markers,
    "raison2013_responders": _raison2013_responders,
    "wilkowska2022": draw_wilkowska2022,
    "rct2025": draw_rct2025,
    "rct2025_il1ra": draw_rct2025_il1ra,
}


def designs() -> dict[str, str]:
    """List the designs of :func:`simulate`.

    Returns
    -------
    dict of str
        One sentence on each, by name.
    """
    return {name: (make.__doc__ or "").strip().splitlines()[0] for name, make in _DESIGNS.items()}


def simulate(name: str, *, seed: int, people: int | None = None) -> Simulated:
    """Draw one synthetic data set from a study's design, with its truth.

    Parameters
    ----------
    name
        One of :func:`designs`.
    seed
        Same seed, same table.
    people
        Patients in all, in the study's shares of arms; by default as many as the study had.

    Returns
    -------
    Simulated
        The table, marked as synthetic, and the truth.

    Raises
    ------
    BadInput
        When there is no such design, naming the nearest one, or its number of patients is fixed.

    Examples
    --------
    >>> made = simulate("raison2013_responders", seed=1)
    >>> made.table.attrs["synthetic"], int(made.table.n.sum())
    (True, 60)
    """
    if name not in _DESIGNS:
        raise BadInput(f"there is no simulator '{name}'; {did_you_mean(name, _DESIGNS)}")
    draw: Callable[..., Simulated] = _DESIGNS[name]
    if people is not None:
        draw = partial(draw, people=_people(name, people))
    simulated = draw(np.random.default_rng(seed))
    table = simulated.table.assign(origin=f"synthetic: {name}, seed {seed}")
    table.attrs = simulated.table.attrs | {
        "title": f"Synthetic data on the design of {name}: {designs()[name].rstrip('.')}",
        "citation": "",
        "source": f"simulate:{name}",
        "synthetic": True,
    }
    return Simulated(table, simulated.truth)


def _people(name: str, count: int) -> int | tuple[int, ...]:
    """A number of patients as a design takes it: in all, or by arm in the study's shares."""
    found = inspect.signature(_DESIGNS[name]).parameters.get("people")
    if found is None:
        flexible = [n for n, make in _DESIGNS.items() if "people" in inspect.signature(make).parameters]
        raise BadInput(f"simulator '{name}' has a fixed number of patients; leave people out, or use one of {flexible}")
    if isinstance(found.default, int):
        return count
    first = round(count * found.default[0] / sum(found.default))
    return first, count - first
