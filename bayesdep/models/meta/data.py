"""A table becomes what a meta-analysis takes: effects with errors and their covariance, or counts of arms."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.tables import Column, as_frame, note, provenance, refuse_duplicates, rows_with_notes
from bayesdep.models.meta import forms
from bayesdep.models.meta import shared_people as people
from bayesdep.models.meta.studies import (
    INPUTS,
    check_studies,
    clusters_of,
    correlations_of,
    effects_of,
    read_studies,
)
from bayesdep.models.parts.covariates import read_covariates, refuse_covariates_of
from bayesdep.models.parts.settings import column_fields

if TYPE_CHECKING:
    from bayesdep.models.meta.model import Meta

_ARMS = ["control", "treated"]


def prepare(model: "Meta", table: Any) -> xr.Dataset:
    """Turn a table into effects or counts; :meth:`Meta.prepare` says of what form.

    Parameters
    ----------
    model
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
    columns = _columns(model)
    form, rows = model.input, frame
    if model.input == "arms":
        read, treated = _from_arms(model, frame, columns)
        form, rows = "counts", rows_with_notes(frame, treated)
        columns |= {word: columns[word.split("_", maxsplit=1)[0]] for word in INPUTS["counts"]}
        columns["control_group"] = columns["study"]
        check_studies(read, columns, unit=model.unit)
    elif model.input == "mixed":
        read = read_studies(frame, columns, unit=model.unit)
    else:
        forms.refuse_other_forms(model, frame)
        read = read_studies(frame, columns, unit=model.unit)
    found: dict[str, Any] = {}
    coords: dict[str, Any] = {model.unit: read["study"].astype(str)}
    notes: list[str] = []
    group = None
    if "control_group" in read and form != "mixed":
        group = people.groups_of_controls(read, columns, input=form)
    elif form != "mixed" and model.measure != "log-odds":
        notes = people.refuse_repeated_controls(read, columns, input=form)
    cluster = None
    if model.cluster is not None:
        found["cluster_of"], coords["cluster"] = clusters_of(read, columns, unit=model.unit)
        cluster = found["cluster_of"][1]
    correlation = correlations_of(read, columns, input=form, correlation=model.correlation)
    if model.likelihood == "binomial":
        counts, of_arms = _counts(model, read, group)
        found, coords = found | counts, coords | of_arms
    else:
        if form == "mixed":
            (effect, se), covariance, scale = forms.read_mixed(model, frame, columns, read)
        else:
            effect, se = effects_of(read, columns, input=form, measure=model.measure, correlation=correlation)
            covariance = None
            if group is not None and len(np.unique(group)) < len(group):
                covariance = people.covariance_of_shared_controls(read, group, effect, measure=model.measure)
            scale = forms.pooled_sd(read, group) if form == "means" else None
        for word, values in (("effect", effect), ("se", se)):
            found[word] = (model.unit, values, {"units": model.effect_units})
        covariance, source = _all_covariances(model, covariance, coords[model.unit], se, cluster)
        if covariance is not None:
            covariance = np.where(np.eye(len(se), dtype=bool), se**2, covariance)
            people.refuse_impossible(covariance, se, cluster, source)
            found["covariance"] = ((model.unit, f"other_{model.unit}"), covariance)
            coords[f"other_{model.unit}"] = coords[model.unit]
        if model.measure == "difference" and (model.scale or scale):
            found["scale"] = ((), float(model.scale or scale or 0), {"units": model.effect_units})
            found["scale_squared"] = ((), found["scale"][1] ** 2)
        elif any(prior.times_scale for prior in model.priors.values()):
            raise BadInput(
                "no row has standard deviations, of which default priors of a raw difference are multiples; give "
                f"priors in {model.units}, or state a typical sd of the outcome as scale"
            )
    if model.covariates is not None:
        what = column_fields(model)
        played = {getattr(model, w): what[w] for w in ("study", "effect")}
        refuse_covariates_of(model.covariates, played, list(rows.columns))
        x = read_covariates(rows, model.covariates)
        found["covariates"] = ((model.unit, "covariate"), x.values)
        found |= {"covariate_mean": ("covariate", x.means), "covariate_sd": ("covariate", x.sds)}
        coords["covariate"] = np.array(x.names, dtype=str)
    for text in notes:
        note(frame, text)
    return xr.Dataset(found, coords, provenance(frame))


def _columns(model: "Meta") -> dict[str, Column]:
    """The columns that the settings ask for; of several forms at once only the study's."""
    what = column_fields(model)
    found = {"study": Column(model.study, "label", f"{model.unit} label")}
    of_form = {} if model.input == "mixed" else INPUTS[model.input]
    found |= {w: Column(getattr(model, w), kind, what[w]) for w, kind in of_form.items()}
    for word in ("cluster", "design", "control_group"):
        if getattr(model, word) is not None:
            found[word] = Column(getattr(model, word), "label", what[word])
    return found


def _from_arms(
    model: "Meta", frame: pd.DataFrame, columns: dict[str, Column]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """One row an arm becomes one row an effect against the study's reference arm, and the row that each is of."""
    read = read_studies(frame, columns, unit=model.unit, unique=False)
    studies, labels = read["study"].astype(str), read["arm"].astype(str)
    refuse_duplicates({"study": studies, "arm": labels}, columns, "the arm")
    if model.reference not in labels:
        raise BadInput(
            f"reference = '{model.reference}' is no arm in column '{columns['arm'].name}'; "
            f"{did_you_mean(str(model.reference), dict.fromkeys(labels))}"
        )
    is_reference = labels == model.reference
    for study in dict.fromkeys(studies):
        mine = studies == study
        if not (mine & is_reference).any() or not (mine & ~is_reference).any():
            lacks = f"no arm '{model.reference}'" if not (mine & is_reference).any() else "that arm only"
            raise BadInput(
                f"column '{columns['arm'].name}': {model.unit} '{study}' has {lacks}, so nothing compares with the "
                f"reference there; leave its rows out, or name another reference"
            )
    treated = np.flatnonzero(~is_reference)
    control = np.array([np.flatnonzero((studies == studies[row]) & is_reference)[0] for row in treated])
    many = np.array([(studies[treated] == studies[row]).sum() > 1 for row in treated])
    names = [f"{studies[r]}, {labels[r]}" if several else studies[r] for r, several in zip(treated, many, strict=True)]
    wide = {word: values[treated] for word, values in read.items() if word not in ("events", "n", "arm")}
    wide |= {"study": np.array(names, dtype=object), "control_group": studies[treated]}
    for arm, rows in (("treated", treated), ("control", control)):
        wide |= {f"events_{arm}": read["events"][rows], f"n_{arm}": read["n"][rows], f"row_{arm}": rows}
    return wide, treated


def _counts(
    model: "Meta", read: dict[str, np.ndarray], group: np.ndarray | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Events and people by unit and arm; by arm where several units share a control group; and coordinates."""
    found: dict[str, Any] = {}
    if model.measure == "log-odds":
        return {w: (model.unit, read[w].astype("int64"), {"units": "people"}) for w in ("events", "n")}, {}
    if group is None:
        for word in ("events", "n"):
            values = np.stack([read[f"{word}_{arm}"] for arm in _ARMS], axis=1).astype("int64")
            found[word] = ((model.unit, "arm"), values, {"units": "people"})
        return found, {"arm": _ARMS}
    first = np.array([np.flatnonzero(group == g)[0] for g in np.unique(group)])
    for word in ("events", "n"):
        values = np.concatenate([read[f"{word}_control"][first], read[f"{word}_treated"]]).astype("int64")
        found[word] = ("arm", values, {"units": "people"})
    found["group_of"] = (model.unit, group)
    labels = read["control_group"].astype(str)[first]
    names = [*(f"{label}: control" for label in labels), *(f"{label}: treated" for label in read["study"])]
    return found, {"arm": np.array(names, dtype=str), "control_group": np.array(labels, dtype=str)}


def _all_covariances(
    model: "Meta", shared: np.ndarray | None, labels: np.ndarray, se: np.ndarray, cluster: np.ndarray | None
) -> tuple[np.ndarray | None, str]:
    """The sampling covariance that the settings give, and the setting it comes from."""
    if model.within_correlation is not None:
        same = np.ones((len(se), len(se)), bool) if cluster is None else cluster[:, None] == cluster
        return np.where(same, model.within_correlation * np.outer(se, se), 0.0), "within_correlation"
    if model.covariance is not None:
        return people.given_covariance(model.covariance, list(labels), se, model.unit), "covariance"
    return shared, "control_group"


def without(model: "Meta", data: xr.Dataset, label: str) -> xr.Dataset:
    """Leave one unit out of prepared data; :meth:`Meta.without` says which.

    Parameters
    ----------
    model, data
        The settings and the prepared data.
    label
        Of what leave-one-out leaves out.

    Returns
    -------
    xarray.Dataset
        The rest, clusters and control groups numbered anew.
    """
    labels = data[model.left_out].values.astype(str)
    which = int(np.flatnonzero(labels == label)[0])
    index = {"cluster": "cluster_of", "control_group": "group_of"}.get(model.left_out)
    of = np.arange(len(labels)) if index is None else data[index].values
    kept = np.flatnonzero(of != which)
    rest = data.isel({model.unit: kept})
    if f"other_{model.unit}" in data.dims:
        rest = rest.isel({f"other_{model.unit}": kept})
    if index is not None:
        rest = rest.drop_sel({model.left_out: [data[model.left_out].values[which]]})
        rest[index] = (model.unit, of[kept] - (of[kept] > which))
    if index == "group_of":  # arms: control groups, then treated arms
        rest = rest.isel(arm=np.concatenate([np.flatnonzero(np.arange(len(labels)) != which), len(labels) + kept]))
    return rest
