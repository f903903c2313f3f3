"""The sample that was analysed: how rows became it, its size by arm, what is missing; no person's name or value."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.inference.fit import Fit

_PEOPLE = ("subject", "unit", "measurement", "pair", "observation")  # dims of single people or of their values
_ARMS = ("arm", "group", "treatment")


@dataclass(frozen=True)
class Sample:
    """What a report says of the sample.

    Parameters
    ----------
    flow
        Steps from the table to what was analysed, in order.
    tables
        Title and table, of counts.
    """

    flow: tuple[str, ...]
    tables: tuple[tuple[str, pd.DataFrame], ...]


def describe_sample(fit: Fit) -> Sample:
    """Count a fit's sample: rows left out and analysed, people by arm, outcomes by visit and how many are missing.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    Sample
        Counts, means and standard deviations only.
    """
    data = fit.data
    flow = [str(data.attrs[word]) for word in ("left_out", "imputation") if data.attrs.get(word)]
    flow.append(f"analysed: {sizes_in_words(data)}")
    tables = [
        ("Patients by arm", _by_arm(fit)),
        ("Observed outcomes by visit, and their means", _by_visit(data)),
        ("Patients by study and arm", _by_study(data)),
        ("Measurements by analyte", _by_analyte(data)),
        ("Counts", _counts(data)),
        ("Effects", _effects(fit)),
    ]
    return Sample(tuple(flow), tuple((title, table) for title, table in tables if table is not None))


def sizes_in_words(data: xr.Dataset) -> str:
    """Name the sizes of the data: how many people, visits, arms, ...

    Parameters
    ----------
    data
        Prepared data.

    Returns
    -------
    str
        Dims with more than nothing in them, and with more than the one label that stands for no division.
    """
    hidden = ("term", "grid", "grid_value", "part", "component", "step", "comparison", "other_arm", "edge")
    shown = {str(dim): size for dim, size in data.sizes.items() if size and dim not in hidden}
    shown = {dim: size for dim, size in shown.items() if [str(label) for label in data[dim].values] != ["all"]}
    return ", ".join(f"{size} {plural(dim) if size != 1 else dim.replace('_', ' ')}" for dim, size in shown.items())


def plural(dim: str) -> str:
    """Return the plural of a dim's name, as in "studies"."""
    word = dim.replace("_", " ")
    return f"{word[:-1]}ies" if word.endswith("dy") else f"{word}s"


def is_personal(data: xr.Dataset, dim: str, labels: Sequence[object] = ()) -> bool:
    """Tell whether a dim is of single people or of their values, whose labels a report does not show.

    Parameters
    ----------
    data
        Prepared data.
    dim
        A dim's name.
    labels
        Its labels where a dim is of the posterior alone, such as cells of a person and an analyte.

    Returns
    -------
    bool
        Whether its labels are of people.
    """
    if dim in _PEOPLE and dim in data.dims:
        return True
    people = {str(label) for word in _PEOPLE if word in data.coords for label in data[word].values}
    return any(" / " in str(label) and str(label).split(" / ")[0] in people for label in labels)


def _arms(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray] | None:
    """Labels of arms, and each person's arm; None where people have none."""
    for word in _ARMS:
        name = f"{word}_of"
        if name in data and data[name].dims in (("subject",), ("unit",)) and word in data.coords:
            return data[word].values, data[name].values
    return None


def _column(fit: Fit, name: str) -> str:
    """The user's name of a column."""
    own = getattr(fit.model, name, None)
    return own if isinstance(own, str) else name.capitalize()


def _by_arm(fit: Fit) -> pd.DataFrame | None:
    data = fit.data
    arms = _arms(data)
    if arms is None:
        return None
    labels, of = arms
    rows = []
    for k, label in enumerate(labels):
        one = {"Arm": str(label), "n": str(int((of == k).sum()))}
        for name in ("baseline", "moderator"):
            if name in data and data[name].dims == ("subject",) and data[name].dtype.kind == "f":
                values = data[name].values[of == k] + float(data[name].attrs.get("mean", 0.0))
                one[f"{_column(fit, name)}, mean (sd)"] = _mean_sd(values)
        if "outcome" in data and data["outcome"].dims[:1] == ("subject",) and data["outcome"].ndim == 2:
            seen = ~np.isnan(data["outcome"].values[of == k])
            one["All visits observed"] = _share(int(seen.all(axis=1).sum()), len(seen))
            one["Last visit observed"] = _share(int(seen[:, -1].sum()), len(seen))
            one["Outcomes missing"] = _share(int((~seen).sum()), seen.size)
        rows.append(one)
    return pd.DataFrame(rows)


def _by_visit(data: xr.Dataset) -> pd.DataFrame | None:
    arms = _arms(data)
    if arms is None or "outcome" not in data or data["outcome"].ndim != 2 or data["outcome"].dtype.kind != "f":
        return None
    dim = str(data["outcome"].dims[1])
    if dim not in data.coords or data["outcome"].dims[0] != "subject":
        return None
    labels, of = arms
    rows = []
    for j, visit in enumerate(data[dim].values):
        one = {dim.replace("_", " ").capitalize(): str(visit)}
        for k, label in enumerate(labels):
            values = data["outcome"].values[of == k, j]
            one[f"{label}: observed"] = _share(int(np.isfinite(values).sum()), len(values))
            if "category" not in data.coords:
                one[f"{label}: mean (sd)"] = _mean_sd(values)
        rows.append(one)
    return pd.DataFrame(rows)


def _by_study(data: xr.Dataset) -> pd.DataFrame | None:
    arms = _arms(data)
    if arms is None or "study_of" not in data or "study" not in data.coords:
        return None
    labels, of = arms
    rows = []
    for s, study in enumerate(data["study"].values):
        inside = data["study_of"].values == s
        one = {"Study": str(study)} | {
            f"{label}: n": str(int((inside & (of == k)).sum())) for k, label in enumerate(labels)
        }
        rows.append(one)
    return pd.DataFrame(rows)


def _by_analyte(data: xr.Dataset) -> pd.DataFrame | None:
    """Measurements by analyte with the shares beyond limits, of panels."""
    if "analyte_of" not in data or "lower" not in data or data["analyte_of"].dims != ("measurement",):
        return None
    lower, upper, of = (data[name].values for name in ("lower", "upper", "analyte_of"))
    rows = []
    for a, analyte in enumerate(data["analyte"].values):
        mine = of == a
        below, above = np.isneginf(lower[mine]).sum(), np.isposinf(upper[mine]).sum()
        one = {"Analyte": str(analyte), "n": str(int(mine.sum()))}
        if "subject_of" in data:
            one["People"] = str(len(np.unique(data["subject_of"].values[mine])))
        one["Below a limit"] = _share(int(below), int(mine.sum()))
        one["Above a limit"] = _share(int(above), int(mine.sum()))
        rows.append(one)
    return pd.DataFrame(rows)


def _counts(data: xr.Dataset) -> pd.DataFrame | None:
    """Events of people, where the data are counts."""
    for events, total in (("events", "n"), ("positives", "n"), ("remitted", "entered")):
        if events in data and total in data:
            table = data[[events, total]].to_dataframe().reset_index()
            dims = [str(d) for d in data[events].dims]
            named = {d: d.replace("_", " ").capitalize() for d in dims}
            shown = table[dims].astype(str).rename(columns=named)
            shown[f"{events.capitalize()} of {total}"] = [
                _share(int(e), int(n)) for e, n in zip(table[events], table[total], strict=True)
            ]
            return shown
    return None


def _effects(fit: Fit) -> pd.DataFrame | None:
    """Effects of studies, as they entered."""
    data = fit.data
    if "effect" not in data or "se" not in data or data["effect"].ndim != 1:
        return None
    dim = str(data["effect"].dims[0])
    units = str(data["effect"].attrs.get("units", ""))
    return pd.DataFrame(
        {
            dim.capitalize(): data[dim].values.astype(str),
            f"Effect ({units})" if units else "Effect": [f"{v:.3g}" for v in data["effect"].values],
            "Standard error": [f"{v:.3g}" for v in data["se"].values],
        }
    )


def _share(count: int, of: int) -> str:
    return f"{count} of {of} ({count / of:.0%})" if of else "0 of 0"


def _mean_sd(values: np.ndarray) -> str:
    """Mean and sd of two people or more; of fewer they would be somebody's value."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return "-"
    mean, sd = known.mean(), known.std(ddof=1)
    return f"{mean:.1f} ({sd:.1f})" if abs(mean) >= 1 else f"{mean:.3g} ({sd:.2g})"
