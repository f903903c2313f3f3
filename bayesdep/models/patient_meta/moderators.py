"""Moderators of patients in several studies: who has them, and what lies within studies and what between them.

A moderator that differs between patients of a study has two slopes, which are easily taken for one. Its slope
within studies compares patients who were randomised together; its slope between the means of studies compares studies,
which differ in much else, and may be quite another (ecological bias; Riley et al. 2020, doi:10.1002/sim.8516). One
coefficient for both is a weighted mean of the two.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column, numbers_or_empty

WITHIN, BETWEEN, WHOLE = "within studies", "between studies", "whole"
Complete = Callable[[np.ndarray], tuple[np.ndarray, float, str]]
FEWEST_STUDIES, FEWEST_PATIENTS = 3, 10  # what a slope and its spread need at the very least: studies; patients per arm


def read_moderators(
    patients: pd.DataFrame,
    names: Sequence[str],
    kept: np.ndarray,
    study: np.ndarray,
    arm: np.ndarray,
    *,
    split: bool,
    left_out: list[str],
    complete: Complete | None = None,
) -> tuple[xr.Dataset, np.ndarray]:
    """Read moderators, of the patients who have them all, or of all with those missing drawn several times.

    A moderator of two values, 0 and 1, enters as it is, any other in standard deviations; both less the mean of the
    patients used. One that differs within studies has two parts where ``split``: the patient's deviation from the mean
    of their study, and that mean.

    Parameters
    ----------
    patients
        One row per patient.
    names
        Columns of the moderators.
    kept
        Which patients are used, before any is left out for a moderator.
    study, arm
        Each patient's study, and whether they had the treatment.
    split
        Whether a moderator of patients has two parts.
    left_out
        Filled with sentences on who was left out.
    complete
        From moderators (patients used, moderators) with NaN where missing to several imputations (imputation, patient,
        moderator), their R-hat and where it is; None where patients without a moderator are left out.

    Returns
    -------
    xarray.Dataset
        ``parts`` (subject, part), ``moderators`` (subject, moderator; as in the table), ``moderator_of`` (part),
        ``level`` (part: within studies, between studies or whole), ``centre`` and ``scale`` (moderator). Where some
        were drawn, ``parts`` are those of the first imputation, ``imputed`` (imputation, subject, part) those of all,
        and attrs hold ``imputation``, who lacked what, ``imputation_r_hat`` and ``imputation_worst``.
    numpy.ndarray
        Which patients are used.

    Raises
    ------
    BadInput
        When a moderator does not vary, or too few patients or studies have it.
    """
    values = np.empty((len(patients), len(names)))
    for j, name in enumerate(names):
        values[:, j] = numbers_or_empty(patients, Column(name, "number", "moderator"), "moderators")
    about: dict[str, Any] = {}
    if complete is not None and np.isnan(values[kept]).any():
        about["imputation"] = _who_lacks(values[kept], names, study[kept])
        stack, about["imputation_r_hat"], about["imputation_worst"] = complete(values[kept])
    else:
        kept = _those_who_have_all(values, names, kept, study, arm, left_out)
        stack = values[kept][None]
    centre, scale = _scales_of(stack, names)
    parts = _parts((stack - centre) / scale, names, pd.factorize(study[kept])[0], split=split)
    values_of_parts = np.stack([p.values for p in parts], axis=2) if parts else np.empty((*stack.shape[:2], 0))
    data = xr.Dataset(
        {
            "parts": (("subject", "part"), values_of_parts[0]),
            "moderators": (("subject", "moderator"), values[kept]),
            "moderator_of": ("part", np.array([p.moderator for p in parts], dtype=str)),
            "level": ("part", np.array([p.level for p in parts], dtype=str)),
            "centre": ("moderator", centre),
            "scale": ("moderator", scale),
        },
        {"part": np.array([p.label for p in parts], dtype=str), "moderator": np.array(names, dtype=str)},
        about,
    )
    if about:
        data["imputed"] = (("imputation", "subject", "part"), values_of_parts)
    return data, kept


class _Part(NamedTuple):
    """A moderator's part within studies or between them, or all of it."""

    values: np.ndarray  # imputation, patient
    label: str
    moderator: str
    level: str


def _scales_of(stack: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Every moderator's mean, and its sd; 1 where it is of two values, 0 and 1."""
    centre, scale = stack.mean(axis=(0, 1)), np.ones(len(names))
    for j, name in enumerate(names):
        x = stack[:, :, j]
        if np.ptp(x) == 0:
            raise BadInput(
                f"moderators: column '{name}' is {x[0, 0]:g} in all {x.shape[1]} patients used, so nothing can be "
                "learned about it; leave it out"
            )
        if not np.isin(x, (0, 1)).all():
            scale[j] = x.std()
    return centre, scale


def _parts(scaled: np.ndarray, names: Sequence[str], study: np.ndarray, *, split: bool) -> list[_Part]:
    """The parts of moderators (imputation, patient, moderator): two of one that differs within studies, if split."""
    parts = []
    for j, name in enumerate(names):
        z = np.ascontiguousarray(scaled[:, :, j])
        mean = _study_means(z, study)
        differs_within = np.abs(z - mean).max() > 1e-12
        differs_between = np.ptp(mean) > 1e-12
        if not (split and differs_within):
            parts.append(_Part(z, name, name, WHOLE if differs_within else BETWEEN))
            continue
        parts.append(_Part(z - mean, f"{name}, {WITHIN}", name, WITHIN))
        if differs_between:
            parts.append(_Part(mean, f"{name}, {BETWEEN}", name, BETWEEN))
    return parts


def within_studies(data: xr.Dataset) -> np.ndarray:
    """Return which parts of moderators differ within studies: these are estimated also where levels are free."""
    return np.asarray(data["level"].values != BETWEEN)


def _study_means(z: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return the mean of each patient's study: shape (imputations, patients) like ``z``."""
    member = np.equal.outer(np.arange(of.max() + 1), of)
    return np.asarray(((z @ member.T) / member.sum(axis=1))[:, of])


def _who_lacks(values: np.ndarray, names: Sequence[str], study: np.ndarray) -> str:
    """Say how many patients and whole studies lack each moderator."""
    said = []
    for j, name in enumerate(names):
        lack = np.isnan(values[:, j])
        whole = len(set(study)) - len(set(study[~lack]))
        if lack.any():
            said.append(f"{name} in {lack.sum()}" + (f" ({whole} whole studies)" if whole else ""))
    return f"Missing and imputed, of {len(values)} patients: {', '.join(said)}"


def refuse_collinear(data: xr.Dataset) -> None:
    """Refuse parts of moderators that follow from the others: without shrinkage their slopes mean nothing.

    Parameters
    ----------
    data
        With ``parts``, as :func:`read_moderators` returns them.

    Raises
    ------
    BadInput
        Naming the first such part.
    """
    x = np.column_stack([np.ones(data.sizes["subject"]), data["parts"].values])
    for j in range(2, x.shape[1] + 1):
        if np.linalg.matrix_rank(x[:, :j]) < j:
            raise BadInput(
                f"moderators: '{data['part'].values[j - 2]}' follows from those before it in the "
                f"{data.sizes['study']} studies used, so their effects cannot be told apart; leave one out, or use "
                "effects = 'normal'"
            )


def _those_who_have_all(
    values: np.ndarray, names: Sequence[str], kept: np.ndarray, study: np.ndarray, arm: np.ndarray, left_out: list[str]
) -> np.ndarray:
    """Which patients have every moderator; refuses when they are too few, naming the column that most of them lack."""
    lack = np.isnan(values)
    for j, name in enumerate(names):
        if lost := int((lack[:, j] & kept).sum()):
            lost_studies = len(set(study[kept])) - len(set(study[kept & ~lack[:, j]]))
            left_out.append(
                f"{lost} of {kept.sum()} patients have no {name}"
                + (f" ({lost_studies} studies)" if lost_studies else "")
            )
    both = kept & ~lack.any(axis=1)
    per_arm = [int((both & (arm == a)).sum()) for a in (0, 1)]
    studies = len(set(study[both]))
    if names and (studies < FEWEST_STUDIES or min(per_arm) < FEWEST_PATIENTS):
        worst = names[int((lack & kept[:, None]).sum(axis=0).argmax())]
        raise BadInput(
            f"moderators: column '{worst}' is known of too few: {both.sum()} patients ({per_arm[1]} treated, "
            f"{per_arm[0]} controls) of {studies} studies have every moderator, and {FEWEST_STUDIES} studies and "
            f"{FEWEST_PATIENTS} patients per arm are the least; leave it out"
        )
    return both
