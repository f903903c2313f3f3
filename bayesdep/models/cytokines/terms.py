"""The terms of a panel's expected level: which of them the settings switch on, their priors and their words."""

from typing import TYPE_CHECKING

import numpy as np

from bayesdep.models.parts.priors import Slot
from bayesdep.numerics.distributions import Prior

if TYPE_CHECKING:
    from bayesdep.models.cytokines.model import Cytokines


def is_pooled(model: "Cytokines") -> bool:
    """Tell whether effects are pooled over analytes."""
    return model.pooling == "partial" and model.analyte is not None


def has_cells(model: "Cytokines") -> bool:
    """Tell whether a person's lasting deviation in an analyte is a term: with one row each it is in the residual."""
    return model.time is not None or model.replicates


def has_subjects(model: "Cytokines") -> bool:
    """Tell whether a person's general level is a term: with one analyte it would be the cell's."""
    return model.subject is not None and model.analyte is not None


def effects_of(model: "Cytokines") -> dict[str, str]:
    """Return the names of the effects by analyte, by the word that their priors start with."""
    effects = {"level": "level"}
    if model.group is not None:
        effects["group"] = "group_effect"
    if model.time is not None:
        effects["time"] = "time_effect"
    if model.group_by_time:
        effects["interaction"] = "interaction"
    if model.covariates is not None:
        effects["covariate"] = "covariate_effect"
    return effects


def slots_of(model: "Cytokines") -> dict[str, Slot]:
    """Return the places for priors: only those of the terms that the settings switch on."""
    effects = {"level": ("level", 2.5, 2.5, "level")}
    if model.group is not None:
        effects["group"] = ("group_effect", 1.5, 1.0, f"difference of a group from {model.reference}")
    if model.time is not None:
        effects["time"] = ("time_effect", 1.5, 1.0, "change from baseline")
    if model.group_by_time:
        effects["interaction"] = ("interaction", 1.5, 1.0, "difference of a group's change from the reference's")
    if model.covariates is not None:
        effects["covariate"] = ("covariate_effect", 1.5, 1.0, "effect of one sd of a covariate")
    slots = {}
    for word, (name, scale, spread, meaning) in effects.items():
        if is_pooled(model):
            slots[f"{word}_mean"] = Slot(Prior("Normal", mu=0, sigma=scale), "real", f"the mean {meaning}", "log")
            if model.effects == "horseshoe" and word in ("group", "time", "interaction"):
                continue  # its scale follows from the number of effects expected to differ
            slots[f"{word}_sd"] = Slot(
                Prior("HalfNormal", sigma=spread), "positive", f"the spread over analytes of the {meaning}", "log"
            )
        else:
            wide = Prior("Normal", mu=0, sigma=2 * scale)
            slots[name] = Slot(wide, "real", f"the {meaning} of an analyte", "log")
    if model.analyte_family is not None:
        slots["group_family_sd"] = Slot(
            Prior("HalfNormal", sigma=1.0), "positive", "the spread of the difference over families", "log"
        )
    if model.plate is not None:
        slots["plate_sd"] = Slot(Prior("HalfNormal", sigma=0.25), "positive", "the spread of plates", "log")
    if has_subjects(model):
        slots["subject_sd"] = Slot(
            Prior("HalfNormal", sigma=1.0), "positive", "the spread of people's general level", "log"
        )
    if model.shared_factor:
        slots["loading_sd"] = Slot(
            Prior("HalfNormal", sigma=1.0), "positive", "the scale of loadings on the shared factor", "log"
        )
    if has_cells(model):
        # wells may differ by so little beside people that a prior without a heavy tail would draw people nearer
        wells = Prior("LogNormal", mu=float(np.log(4)), sigma=1.25)
        slots["cell_ratio"] = Slot(
            wells if model.replicates else Prior("HalfNormal", sigma=1.5),
            "positive",
            "the sd of lasting differences between people in one analyte, over the residual sd",
            "ratio",
        )
    typical, within = (0.2, 1.0) if model.replicates else (0.8, 0.6)
    if is_pooled(model):
        centre = Prior("Normal", mu=float(np.log(typical)), sigma=within)
        slots["residual_mean"] = Slot(centre, "real", "the mean log residual sd", "log sd")
        slots["residual_spread"] = Slot(
            Prior("HalfNormal", sigma=0.5), "positive", "the spread over analytes of the log residual sd", "log sd"
        )
    else:
        around = Prior("LogNormal", mu=float(np.log(typical)), sigma=within)
        slots["residual_sd"] = Slot(around, "positive", "the residual sd of an analyte", "log")
    if model.robust:
        slots["nu"] = Slot(Prior("Gamma", alpha=2, beta=0.1), "positive", "the degrees of freedom", "number")
    return slots


def words_of(model: "Cytokines") -> str:
    """Return the model in words."""
    tails = "Student t" if model.robust else "normal"
    text = f"Log concentrations are {tails} around an expected level for each analyte"
    parts = [
        (model.group is not None, f"groups differ from {model.reference}"),
        (model.time is not None, "times differ from baseline"),
        (model.covariates is not None, f"covariates ({model.covariates}) shift it"),
        (model.plate is not None, "plates differ by analyte"),
        (has_subjects(model), "people have a general level"),
        (model.shared_factor, "and a place on one shared factor"),
        (has_cells(model), "people differ lastingly in each analyte"),
    ]
    said = [words for is_on, words in parts if is_on]
    text += f"; {', '.join(said)}." if said else "."
    if is_pooled(model):
        text += (
            " Effects of the analytes are drawn towards their mean as far as the data allow: intervals are right on "
            "average over analytes, and not for a few that differ from the rest."
        )
    if model.substitute is None:
        return text + " A value beyond a detection limit enters as the probability of lying there."
    divisor = {"half": "2", "root2": "the square root of 2"}[model.substitute]
    return text + f" FOR CONTRAST ONLY: non-detects are replaced by their limit divided by {divisor}."


def formula_of(model: "Cytokines") -> list[str]:
    """Return the model as the lines of a model formula."""
    law = "StudentT(nu, eta[m], residual_sd[a])" if model.robust else "Normal(eta[m], residual_sd[a])"
    parts = [
        (model.group, "group_effect[a] group[i]"),
        (model.time, "time_effect[a, t]"),
        (model.group_by_time, "interaction[a, t] group[i]"),
        (model.covariates, "covariates[m]' covariate_effect[a]"),
        (model.plate, "plate[a, p]"),
        (has_subjects(model), "subject[i]"),
        (model.shared_factor, "loading[a] factor[i]"),
        (has_cells(model), "cell[i, a]"),
    ]
    sum_of = " + ".join(["level[a]", *(text for is_on, text in parts if is_on)])
    lines = [f"log_concentration[m] ~ {law}, censored at its limits", f"eta[m] = {sum_of}"]
    if is_pooled(model):
        for word, name in effects_of(model).items():
            mean = "group_family[f]" if word == "group" and model.analyte_family else f"{word}_mean"
            law = f"Normal({mean}, {word}_sd)"
            if word in ("group", "time", "interaction") and model.effects != "normal":
                student = f"StudentT({word}_nu, {mean}, {word}_sd)"
                law = student if model.effects == "student" else f"Horseshoe({mean}, {word}_global)"
            lines.append(f"{name}[a] ~ {law}")
        lines.append("log(residual_sd[a]) ~ Normal(residual_mean, residual_spread)")
    return lines + [f"{name} ~ {prior}" for name, prior in model.priors.items()]
