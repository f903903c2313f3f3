"""The primary estimands of one analysis under several priors, each a fit, side by side."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.inference.fit import Fit
from bayesdep.inference.primary import default_primary
from bayesdep.inference.ropes import values_at
from bayesdep.numerics.rounding import as_text, decimals_of_each
from bayesdep.reporting.estimands import summarise

OWN = "as fitted"
_COLUMNS = (
    *("estimand", "at", "priors", "median", "lower", "upper", "shift", "units", "null"),
    *("gate_passed", "replaced", "why"),
)


def compare_priors(fit: Fit, refits: Mapping[str, Fit]) -> pd.DataFrame:
    """Put the primary estimands of fits under other priors beside those of a fit.

    Parameters
    ----------
    fit
        The fit as it was planned.
    refits
        Fits of the same model to the same data under other priors, by what a reader calls these.

    Returns
    -------
    pandas.DataFrame
        One row per value of a primary estimand and fit, ``"as fitted"`` first: ``estimand``, ``at``, ``priors``,
        ``median``, ``lower``, ``upper`` (95%), ``shift`` (the difference between the medians in posterior standard
        deviations of the fit as planned; NaN where it has none), ``units``, ``null`` (value of no effect),
        ``gate_passed``, ``replaced`` (the priors that differ) and ``why``. ``attrs["sentence"]`` says what moved most,
        and which fits failed the gate.

    Raises
    ------
    BadInput
        When a fit is of another model or has other estimands.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> how = {"measure": "difference", "units": "points", "scale": 100, "study": "school"}
    >>> fit = bd.fit(bd.Meta(**how), schools, seed=1).with_primary("mu")
    >>> narrow = bd.Meta(**how, priors={"mu": bd.Prior("Normal", mu=0, sigma=5)})
    >>> compared = bd.compare_priors(fit, {"sceptical": bd.fit(narrow, schools, seed=1)})
    >>> compared[["priors", "median", "shift"]].round(1).to_numpy().tolist()
    [['as fitted', 7.9, 0.0], ['sceptical', 4.1, -0.7]]
    """
    every = [(OWN, fit), *refits.items()]
    for name, one in refits.items():
        if type(one.model) is not type(fit.model):
            raise BadInput(
                f"refits: '{name}' is a fit of a {type(one.model).__name__}, and the report's is of a "
                f"{type(fit.model).__name__}; give fits of the same model"
            )
    found = [_rows(one) for _, one in every]
    rows = []
    for asked in fit.primary or default_primary(fit.model, fit.estimands):
        for at, _ in values_at(fit.estimands, asked.estimand, asked.at):
            key = asked.estimand, tuple(label for _, label in at)
            own = found[0][key]
            for (name, other), table in zip(every, found, strict=True):
                if key not in table:
                    raise BadInput(
                        f"refits: '{name}' has no {_label(*key)}; give fits of the same model to the same data"
                    )
                row = table[key]
                sd = float(own["sd"])
                shift = (float(row["median"]) - float(own["median"])) / sd if sd > 0 else np.nan
                rows.append(
                    {"estimand": key[0], "at": ", ".join(key[1]), "priors": name, "median": row["median"],
                     "lower": row["lower"], "upper": row["upper"], "shift": shift, "units": row["units"],
                     "null": row["null"],
                     "gate_passed": other.gate.passed, "replaced": _replaced(fit, other),
                     "why": str(other.manifest.get("alternative", {}).get("why", ""))}
                )  # fmt: skip
    result = pd.DataFrame(rows, columns=list(_COLUMNS))
    result.attrs["sentence"] = _sentence(result)
    return result


def priors_in_words(compared: pd.DataFrame, most: int | None = None) -> pd.DataFrame:
    """Write a comparison of priors as a report and a terminal show it.

    Parameters
    ----------
    compared
        As :func:`compare_priors` returns it.
    most
        Values of estimands at most, those that move most; all of them unless given.

    Returns
    -------
    pandas.DataFrame
        Columns ``Estimand``, ``Priors``, ``Median (95% interval)``, ``Shift in sd`` and ``Gate``, all text.
    """
    labels = compared["estimand"] + np.where(compared["at"] != "", "[" + compared["at"] + "]", "")
    moved = compared["shift"].abs().groupby(labels, sort=False).max().fillna(0.0)
    kept = list(moved.index) if most is None else list(moved.sort_values(ascending=False, kind="stable").index[:most])
    rows = []
    for label, row in zip(labels, compared.to_dict("records"), strict=True):
        if label not in kept:
            continue
        ends = [row[word] for word in ("median", "lower", "upper")]
        digits = decimals_of_each(ends, [0.0, 0.0, 0.0], row["null"])
        numbers = [as_text(end, n) for end, n in zip(ends, digits, strict=True)]
        is_known = not np.isnan(row["median"])
        shift = "0.00" if abs(row["shift"]) < 0.005 else f"{row['shift']:+.2f}"
        shift = "" if row["priors"] == OWN or np.isnan(row["shift"]) else shift
        rows.append(
            {
                "Estimand": label,
                "Priors": row["priors"],
                "Median (95% interval)": f"{numbers[0]} ({numbers[1]}, {numbers[2]})" if is_known else "not known",
                "Shift in sd": shift,
                "Gate": "passed" if row["gate_passed"] else "FAILED",
            }
        )
    return pd.DataFrame(rows)


def alternatives_in_words(compared: pd.DataFrame) -> pd.DataFrame:
    """List the other priors of a comparison: what each replaces, and why.

    Parameters
    ----------
    compared
        As :func:`compare_priors` returns it.

    Returns
    -------
    pandas.DataFrame
        Columns ``Priors``, ``Replaces`` and ``Why``, all text.
    """
    others = compared[compared["priors"] != OWN].drop_duplicates("priors")
    return pd.DataFrame({"Priors": others["priors"], "Replaces": others["replaced"], "Why": others["why"]})


def _rows(fit: Fit) -> dict[tuple[str, tuple[str, ...]], Any]:
    """Rows of the table of estimands, by estimand and labels."""
    table = summarise(fit)
    found = {}
    for row in table.to_dict("records"):
        dims = [str(d) for d in fit.estimands[row["estimand"]].dims if d not in ("chain", "draw")]
        found[str(row["estimand"]), tuple(str(row[d]) for d in dims)] = row
    return found


def _label(name: str, at: tuple[str, ...]) -> str:
    return f"{name}[{', '.join(at)}]" if at else name


def _replaced(fit: Fit, other: Fit) -> str:
    """The priors of another fit that differ, as a text."""
    own = {name: str(prior) for name, prior in fit.model.priors.items()}
    return "; ".join(f"{k} ~ {prior}" for k, prior in other.model.priors.items() if own.get(k) != str(prior))


def _sentence(compared: pd.DataFrame) -> str:
    others = compared[compared["priors"] != OWN]
    parts = []
    if others["shift"].notna().any():
        row = max(others[others["shift"].notna()].to_dict("records"), key=lambda one: abs(one["shift"]))
        label = _label(row["estimand"], (row["at"],) if row["at"] else ())
        parts.append(
            f"The largest shift is {abs(row['shift']):.2f} posterior standard deviations: {label} under the priors "
            f"'{row['priors']}'."
        )
    failed = list(dict.fromkeys(others.loc[~others["gate_passed"].astype(bool), "priors"]))
    if failed:
        names = " and ".join(f"'{name}'" for name in failed)
        parts.append(f"FAILED THE GATE: the fit{'s' if len(failed) > 1 else ''} under {names}; do not rely on it.")
    return " ".join(parts)
