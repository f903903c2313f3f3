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


def prepare(story: "Meta", table: Any) -> xr.Dataset:
    """Turn a table into effects or counts; :meth:`Meta.prepare` says of what form.

    Parameters
    ----------
    story
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
    columns = _columns(story)
    form, rows = story.input, frame
    if story.input == "arms":
        read, treated = _from_arms(story, frame, columns)
        form, rows = "counts", rows_with_notes(frame, treated)
        columns |= {word: columns[word.split("_", maxsplit=1)[0]] for word in INPUTS["counts"]}
        columns["control_group"] = columns["study"]
        check_studies(read, columns, unit=story.unit)
    elif story.input == "mixed":
        read = read_studies(frame, columns, unit=story.unit)
    else:
        forms.refuse_other_forms(story, frame)
        read = read_studies(frame, columns, unit=story.unit)
    found: dict[str, Any] = {}
    coords: dict[str, Any] = {story.unit: read["study"].astype(str)}
    notes: list[str] = []
    group = None
    if "control_group" in read and form != "mixed":
        group = people.groups_of_controls(read, columns, input=form)
    elif form != "mixed" and story.measure != "log-odds":
        notes = people.refuse_repeated_controls(read, columns, input=form)
    cluster = None
    if story.cluster is not None:
        found["cluster_of"], coords["cluster"] = clusters_of(read, columns, unit=story.unit)
        cluster = found["cluster_of"][1]
    correlation = correlations_of(read, columns, input=form, correlation=story.correlation)
    if story.likelihood == "binomial":
        counts, of_arms = _counts(story, read, group)
        found, coords = found | counts, coords | of_arms
    else:
        if form == "mixed":
            (effect, se), covariance, scale = forms.read_mixed(story, frame, columns, read)
        else:
            effect, se = effects_of(read, columns, input=form, measure=story.measure, correlation=correlation)
            covariance = None
            if group is not None and len(np.unique(group)) < len(group):
                covariance = people.covariance_of_shared_controls(read, group, effect, measure=story.measure)
            scale = forms.pooled_sd(read, group) if form == "means" else None
        for word, values in (("effect", effect), ("se", se)):
            found[word] = (story.unit, values, {"units": story.effect_units})
        covariance, source = _all_covariances(story, covariance, coords[story.unit], se, cluster)
        if covariance is not None:
            covariance = np.where(np.eye(len(se), dtype=bool), se**2, covariance)
            people.refuse_impossible(covariance, se, cluster, source)
            found["covariance"] = ((story.unit, f"other_{story.unit}"), covariance)
            coords[f"other_{story.unit}"] = coords[story.unit]
        if story.measure == "difference" and (story.scale or scale):
            found["scale"] = ((), float(story.scale or scale or 0), {"units": story.effect_units})
            found["scale_squared"] = ((), found["scale"][1] ** 2)
        elif any(prior.times_scale for prior in story.priors.values()):
            raise BadInput(
                "no row has standard deviations, of which default priors of a raw difference are multiples; give "
                f"priors in {story.units}, or state a typical sd of the outcome as scale"
            )
    if story.covariates is not None:
        what = column_fields(story)
        played = {getattr(story, w): what[w] for w in ("study", "effect")}
        refuse_covariates_of(story.covariates, played, list(rows.columns))
        x = read_covariates(rows, story.covariates)
        found["covariates"] = ((story.unit, "covariate"), x.values)
        found |= {"covariate_mean": ("covariate", x.means), "covariate_sd": ("covariate", x.sds)}
        coords["covariate"] = np.array(x.names, dtype=str)
    for text in notes:
        note(frame, text)
    return xr.Dataset(found, coords, provenance(frame))


def _columns(story: "Meta") -> dict[str, Column]:
    """The columns that the settings ask for; of several forms at once only the study's."""
    what = column_fields(story)
    found = {"study": Column(story.study, "label", f"{story.unit} label")}
    of_form = {} if story.input == "mixed" else INPUTS[story.input]
    found |= {w: Column(getattr(story, w), kind, what[w]) for w, kind in of_form.items()}
    for word in ("cluster", "design", "control_group"):
        if getattr(story, word) is not None:
            found[word] = Column(getattr(story, word), "label", what[word])
    return found


def _from_arms(
    story: "Meta", frame: pd.DataFrame, columns: dict[str, Column]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """One row an arm becomes one row an effect against the study's reference arm, and the row that each is of."""
    read = read_studies(frame, columns, unit=story.unit, unique=False)
    studies, labels = read["study"].astype(str), read["arm"].astype(str)
    refuse_duplicates({"study": studies, "arm": labels}, columns, "the arm")
    if story.reference not in labels:
        raise BadInput(
            f"reference = '{story.reference}' is no arm in column '{columns['arm'].name}'; "
            f"{did_you_mean(str(story.reference), dict.fromkeys(labels))}"
        )
    is_reference = labels == story.reference
    for study in dict.fromkeys(studies):
        mine = studies == study
        if not (mine & is_reference).any() or not (mine & ~is_reference).any():
            lacks = f"no arm '{story.reference}'" if not (mine & is_reference).any() else "that arm only"
            raise BadInput(
                f"column '{columns['arm'].name}': {story.unit} '{study}' has {lacks}, so nothing compares with the "
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
    story: "Meta", read: dict[str, np.ndarray], group: np.ndarray | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Events and people by unit and arm; by arm where several units share a control group; and coordinates."""
    found: dict[str, Any] = {}
    if story.measure == "log-odds":
        return {w: (story.unit, read[w].astype("int64"), {"units": "people"}) for w in ("events", "n")}, {}
    if group is None:
        for word in ("events", "n"):
            values = np.stack([read[f"{word}_{arm}"] for arm in _ARMS], axis=1).astype("int64")
            found[word] = ((story.unit, "arm"), values, {"units": "people"})
        return found, {"arm": _ARMS}
    first = np.array([np.flatnonzero(group == g)[0] for g in np.unique(group)])
    for word in ("events", "n"):
        values = np.concatenate([read[f"{word}_control"][first], read[f"{word}_treated"]]).astype("int64")
        found[word] = ("arm", values, {"units": "people"})
    found["group_of"] = (story.unit, group)
    labels = read["control_group"].astype(str)[first]
    names = [*(f"{label}: control" for label in labels), *(f"{label}: treated" for label in read["study"])]
    return found, {"arm": np.array(names, dtype=str), "control_group": np.array(labels, dtype=str)}


def _all_covariances(
    story: "Meta", shared: np.ndarray | None, labels: np.ndarray, se: np.ndarray, cluster: np.ndarray | None
) -> tuple[np.ndarray | None, str]:
    """The sampling covariance that the settings give, and the setting it comes from."""
    if story.within_correlation is not None:
        same = np.ones((len(se), len(se)), bool) if cluster is None else cluster[:, None] == cluster
        return np.where(same, story.within_correlation * np.outer(se, se), 0.0), "within_correlation"
    if story.covariance is not None:
        return people.given_covariance(story.covariance, list(labels), se, story.unit), "covariance"
    return shared, "control_group"


def without(story: "Meta", data: xr.Dataset, label: str) -> xr.Dataset:
    """Leave one unit out of prepared data; :meth:`Meta.without` says which.

    Parameters
    ----------
    story, data
        The settings and the prepared data.
    label
        Of what leave-one-out leaves out.

    Returns
    -------
    xarray.Dataset
        The rest, clusters and control groups numbered anew.
    """
    labels = data[story.left_out].values.astype(str)
    which = int(np.flatnonzero(labels == label)[0])
    index = {"cluster": "cluster_of", "control_group": "group_of"}.get(story.left_out)
    of = np.arange(len(labels)) if index is None else data[index].values
    kept = np.flatnonzero(of != which)
    rest = data.isel({story.unit: kept})
    if f"other_{story.unit}" in data.dims:
        rest = rest.isel({f"other_{story.unit}": kept})
    if index is not None:
        rest = rest.drop_sel({story.left_out: [data[story.left_out].values[which]]})
        rest[index] = (story.unit, of[kept] - (of[kept] > which))
    if index == "group_of":  # arms: control groups, then treated arms
        rest = rest.isel(arm=np.concatenate([np.flatnonzero(np.arange(len(labels)) != which), len(labels) + kept]))
    return rest
