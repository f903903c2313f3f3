"""A table becomes what a meta-analysis takes: effects with errors and their covariance, or counts of arms."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.tables import Column, as_frame, note, provenance, refuse_duplicates, rows_with_notes
from bayesdep.models.meta import mixed_rows, shared_people
from bayesdep.models.meta.settings import MetaSettings
from bayesdep.models.meta.studies import (
    check_studies,
    clusters_of,
    correlations_of,
    effects_of,
    pooled_sd,
    read_studies,
)
from bayesdep.models.parts.covariates import read_covariates, refuse_covariates_of
from bayesdep.models.parts.effect_inputs import INPUTS
from bayesdep.models.parts.settings import column_fields
from bayesdep.models.parts.stated_covariance import covariance_of_rows, refuse_impossible_covariance

_ARMS = ["control", "treated"]


@dataclass(frozen=True)
class _Studies:
    """What was read of a table, one entry for each effect.

    Parameters
    ----------
    read
        Values by word, shape (effects,).
    columns
        The column of each word.
    form
        The form of input that the values are in: arms have become counts.
    rows
        The rows of the table that effects are of.
    group, cluster
        Number of each effect's control group and cluster; None where these have no column.
    clusters
        Labels of the clusters.
    """

    read: dict[str, np.ndarray]
    columns: dict[str, Column]
    form: str
    rows: pd.DataFrame
    group: np.ndarray | None = None
    cluster: np.ndarray | None = None
    clusters: np.ndarray | None = None

    @property
    def labels(self) -> np.ndarray:
        """Labels of the effects."""
        return np.asarray(self.read["study"].astype(str))


@dataclass(frozen=True)
class _Prepared:
    """Variables and coordinates of a dataset."""

    variables: dict[str, Any]
    coords: dict[str, Any]


def prepare(settings: MetaSettings, table: Any) -> xr.Dataset:
    """Turn a table into effects or counts; :meth:`Meta.prepare` says of what form.

    Parameters
    ----------
    settings
        The settings.
    table
        A dataframe with the columns that its ``input`` needs.

    Returns
    -------
    xarray.Dataset
        The prepared data.

    Raises
    ------
    BadInput
        Naming the column and row.
    """
    frame = as_frame(table)
    studies, notes = _read_studies(settings, frame)
    correlation = correlations_of(studies.read, studies.columns, input=studies.form, correlation=settings.correlation)
    if settings.likelihood == "binomial":
        outcome = _counts(settings, studies)
    else:
        outcome = _effects(settings, frame, studies, correlation)
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {settings.unit: studies.labels}
    if studies.cluster is not None:
        variables["cluster_of"] = (settings.unit, studies.cluster)
        coords["cluster"] = studies.clusters
    variables |= outcome.variables
    coords |= outcome.coords
    if settings.covariates is not None:
        covariates = _covariates(settings, settings.covariates, studies.rows)
        variables |= covariates.variables
        coords |= covariates.coords
    for text in notes:
        note(frame, text)
    return xr.Dataset(variables, coords, provenance(frame))


def _read_studies(settings: MetaSettings, frame: pd.DataFrame) -> tuple[_Studies, list[str]]:
    """Read the columns, and number control groups and clusters; and notes on control groups that look alike."""
    studies = _read_values(settings, frame)
    read, columns, form = studies.read, studies.columns, studies.form
    notes: list[str] = []
    group = cluster = clusters = None
    if "control_group" in read and form != "mixed":
        group = shared_people.groups_of_controls(read, columns, input=form)
    elif form != "mixed" and settings.measure != "log-odds":
        notes = shared_people.refuse_repeated_controls(read, columns, input=form)
    if settings.cluster is not None:
        cluster, clusters = clusters_of(read, columns, unit=settings.unit)
    return _Studies(read, columns, form, studies.rows, group, cluster, clusters), notes


def _read_values(settings: MetaSettings, frame: pd.DataFrame) -> _Studies:
    """Read the columns that the input needs; arms become counts against their study's reference."""
    columns = _columns(settings)
    if settings.input == "arms":
        read, treated = _from_arms(settings, frame, columns)
        columns |= {word: columns[word.split("_", maxsplit=1)[0]] for word in INPUTS["counts"]}
        columns["control_group"] = columns["study"]
        check_studies(read, columns, unit=settings.unit)
        return _Studies(read, columns, "counts", rows_with_notes(frame, treated))
    if settings.input != "mixed":
        mixed_rows.refuse_other_forms(settings, frame)
    return _Studies(read_studies(frame, columns, unit=settings.unit), columns, settings.input, frame)


def _columns(settings: MetaSettings) -> dict[str, Column]:
    """The columns that the settings ask for; of several forms at once only the study's."""
    what = column_fields(settings)
    columns = {"study": Column(settings.study, "label", f"{settings.unit} label")}
    of_form = {} if settings.input == "mixed" else INPUTS[settings.input]
    columns |= {word: Column(getattr(settings, word), kind, what[word]) for word, kind in of_form.items()}
    for word in ("cluster", "design", "control_group"):
        if getattr(settings, word) is not None:
            columns[word] = Column(getattr(settings, word), "label", what[word])
    return columns


def _from_arms(
    settings: MetaSettings, frame: pd.DataFrame, columns: dict[str, Column]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """One row an arm becomes one row an effect against the study's reference arm, and the row that each is of."""
    read = read_studies(frame, columns, unit=settings.unit, unique=False)
    studies, arms = read["study"].astype(str), read["arm"].astype(str)
    refuse_duplicates({"study": studies, "arm": arms}, columns, "the arm")
    is_reference = arms == settings.reference
    _refuse_no_comparison(settings, studies, arms, columns["arm"].name)
    treated = np.flatnonzero(~is_reference)
    control = np.array([np.flatnonzero((studies == studies[row]) & is_reference)[0] for row in treated])
    has_several = [(studies[treated] == studies[row]).sum() > 1 for row in treated]
    names = [
        f"{studies[row]}, {arms[row]}" if several else studies[row]
        for row, several in zip(treated, has_several, strict=True)
    ]
    wide = {word: values[treated] for word, values in read.items() if word not in ("events", "n", "arm")}
    wide |= {"study": np.array(names, dtype=object), "control_group": studies[treated]}
    for arm, rows in (("treated", treated), ("control", control)):
        wide |= {f"events_{arm}": read["events"][rows], f"n_{arm}": read["n"][rows], f"row_{arm}": rows}
    return wide, treated


def _refuse_no_comparison(settings: MetaSettings, studies: np.ndarray, arms: np.ndarray, column: str) -> None:
    """Refuse a reference that no arm is, and a study without its reference or with that alone."""
    if settings.reference not in arms:
        raise BadInput(
            f"reference = '{settings.reference}' is no arm in column '{column}'; "
            f"{did_you_mean(str(settings.reference), dict.fromkeys(arms))}"
        )
    is_reference = arms == settings.reference
    for study in dict.fromkeys(studies):
        of_study = studies == study
        has_reference, has_others = (of_study & is_reference).any(), (of_study & ~is_reference).any()
        if not has_reference or not has_others:
            lacks = "that arm only" if has_reference else f"no arm '{settings.reference}'"
            raise BadInput(
                f"column '{column}': {settings.unit} '{study}' has {lacks}, so nothing compares with the "
                f"reference there; leave its rows out, or name another reference"
            )


def _counts(settings: MetaSettings, studies: _Studies) -> _Prepared:
    """Events and people by unit and arm; by arm where several units share a control group."""
    read, group = studies.read, studies.group
    variables: dict[str, Any] = {}
    people = {"units": "people"}
    if settings.measure == "log-odds":
        for word in ("events", "n"):
            variables[word] = (settings.unit, read[word].astype("int64"), people)
        return _Prepared(variables, {})
    if group is None:
        for word in ("events", "n"):
            values = np.stack([read[f"{word}_{arm}"] for arm in _ARMS], axis=1).astype("int64")
            variables[word] = ((settings.unit, "arm"), values, people)
        return _Prepared(variables, {"arm": _ARMS})
    first = np.array([np.flatnonzero(group == g)[0] for g in np.unique(group)])
    for word in ("events", "n"):
        values = np.concatenate([read[f"{word}_control"][first], read[f"{word}_treated"]]).astype("int64")
        variables[word] = ("arm", values, people)
    variables["group_of"] = (settings.unit, group)
    labels = read["control_group"].astype(str)[first]
    names = [*(f"{label}: control" for label in labels), *(f"{label}: treated" for label in read["study"])]
    return _Prepared(variables, {"arm": np.array(names, dtype=str), "control_group": np.array(labels, dtype=str)})


def _effects(
    settings: MetaSettings, frame: pd.DataFrame, studies: _Studies, correlation: np.ndarray | None
) -> _Prepared:
    """Effects, standard errors, their covariance where people are shared, and the scale of a raw difference."""
    unit, read, group = settings.unit, studies.read, studies.group
    if studies.form == "mixed":
        mixed = mixed_rows.read_mixed(settings, frame, studies.columns, read)
        effect, se, covariance, scale = mixed.effect, mixed.se, mixed.covariance, mixed.scale
    else:
        effect, se = effects_of(
            read, studies.columns, input=studies.form, measure=settings.measure, correlation=correlation
        )
        covariance = None
        if group is not None and len(np.unique(group)) < len(group):
            covariance = shared_people.covariance_of_shared_controls(read, group, effect, measure=settings.measure)
        scale = pooled_sd(read, group) if studies.form == "means" else None
    units = {"units": settings.effect_units}
    variables: dict[str, Any] = {"effect": (unit, effect, units), "se": (unit, se, units)}
    coords: dict[str, Any] = {}
    covariance, source = _all_covariances(settings, covariance, studies, se)
    if covariance is not None:
        covariance = np.where(np.eye(len(se), dtype=bool), se**2, covariance)
        refuse_impossible_covariance(covariance, se, studies.cluster, source)
        variables["covariance"] = ((unit, f"other_{unit}"), covariance)
        coords[f"other_{unit}"] = studies.labels
    return _Prepared(variables | _scale(settings, scale), coords)


def _all_covariances(
    settings: MetaSettings, of_controls: np.ndarray | None, studies: _Studies, se: np.ndarray
) -> tuple[np.ndarray | None, str]:
    """The sampling covariance that the settings give, or that of shared control groups, and the setting it is from."""
    if settings.within_correlation is not None:
        cluster = studies.cluster
        same = np.ones((len(se), len(se)), bool) if cluster is None else cluster[:, None] == cluster
        return np.where(same, settings.within_correlation * np.outer(se, se), 0.0), "within_correlation"
    if settings.covariance is not None:
        return covariance_of_rows(settings.covariance, list(studies.labels), se, settings.unit), "covariance"
    return of_controls, "control_group"


def _scale(settings: MetaSettings, of_arms: float | None) -> dict[str, Any]:
    """The scale of a raw difference, and its square, where it was stated or the table's arms have one."""
    if settings.measure == "difference" and (settings.scale or of_arms):
        scale = float(settings.scale or of_arms or 0)
        return {"scale": ((), scale, {"units": settings.effect_units}), "scale_squared": ((), scale**2)}
    if any(prior.times_scale for prior in settings.priors.values()):
        raise BadInput(
            "no row has standard deviations, of which default priors of a raw difference are multiples; give "
            f"priors in {settings.units}, or state a typical sd of the outcome as scale"
        )
    return {}


def _covariates(settings: MetaSettings, formula: str, rows: pd.DataFrame) -> _Prepared:
    """Covariates of the effects' rows, standardised, with their means and standard deviations."""
    what = column_fields(settings)
    taken = {getattr(settings, word): what[word] for word in ("study", "effect")}
    refuse_covariates_of(formula, taken, list(rows.columns))
    x = read_covariates(rows, formula)
    variables = {
        "covariates": ((settings.unit, "covariate"), x.values),
        "covariate_mean": ("covariate", x.means),
        "covariate_sd": ("covariate", x.sds),
    }
    return _Prepared(variables, {"covariate": np.array(x.names, dtype=str)})


def without(settings: MetaSettings, data: xr.Dataset, label: str) -> xr.Dataset:
    """Leave one unit out of prepared data; :meth:`Meta.without` says which.

    Parameters
    ----------
    settings, data
        The settings and the prepared data.
    label
        Of what leave-one-out leaves out.

    Returns
    -------
    xarray.Dataset
        The rest, clusters and control groups numbered anew.
    """
    labels = data[settings.left_out].values.astype(str)
    which = int(np.flatnonzero(labels == label)[0])
    index = {"cluster": "cluster_of", "control_group": "group_of"}.get(settings.left_out)
    number = np.arange(len(labels)) if index is None else data[index].values
    kept = np.flatnonzero(number != which)
    rest = data.isel({settings.unit: kept})
    if f"other_{settings.unit}" in data.dims:
        rest = rest.isel({f"other_{settings.unit}": kept})
    if index is not None:
        rest = rest.drop_sel({settings.left_out: [data[settings.left_out].values[which]]})
        rest[index] = (settings.unit, number[kept] - (number[kept] > which))
    if index == "group_of":  # arms: control groups, then treated arms
        rest = rest.isel(arm=np.concatenate([np.flatnonzero(np.arange(len(labels)) != which), len(labels) + kept]))
    return rest
