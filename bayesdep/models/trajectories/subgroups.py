r"""Subgroups of patients that may overlap: who is in them, and how what is asked differs between them, in one model.

With z_ig one where patient i is a member of subgroup g, and c_ig = z_ig less the share of members, what is asked (an
association, or a difference between arms) is in patient i

.. math:: \theta_i = \theta + \sum_g c_{ig} \delta_g, \quad \delta_g \sim N(0, \tau / q)

so :math:`\theta` is its mean over all patients, whatever the subgroups are, and in subgroup h it is the mean over the
members, :math:`\theta + \sum_g W_{hg} \delta_g`, W the means of c over members. With
:math:`q^2 = \frac{1}{G} \sum_{hg} W_{hg}^2` the spread :math:`\tau` is the root mean square, over subgroups, of the sd
of a subgroup's deviation from all patients: it means the same for two subgroups and for thirty, and a subgroup named
twice changes nothing. One :math:`\tau` serves all markers and subgroups of a question. With heavy tails
:math:`\delta_g` is Student t, so one subgroup may differ and the rest need not.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.conditions import read_condition
from bayesdep.data.errors import BadInput
from bayesdep.data.tables import note
from bayesdep.models.model import estimand
from bayesdep.models.parts.contrasts import arm_codes, contrast_root
from bayesdep.models.parts.pooling import non_centred_effects
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.parts.unit_spreads import student_spreads
from bayesdep.models.trajectories.courses import Basis
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.numerics.draws import draws_of, over_draws
from bayesdep.numerics.types import Draws, Tensor

FEWEST = 5  # members
DIMS = {
    "course": ("power",),
    "difference": ("comparison",),
    "marker_difference": ("analyte", "comparison"),
    "association": ("link", "analyte"),
    "association_difference": ("link", "analyte", "comparison"),
}


# The table


def read_subgroups(
    settings: TrajectoriesSettings,
    frame: pd.DataFrame,
    patient: np.ndarray,
    known: np.ndarray,
    arm_of: np.ndarray,
    arms: Sequence[str],
) -> xr.Dataset:
    """Find who is in which subgroup.

    Parameters
    ----------
    settings
        The model's settings.
    frame
        The user's table.
    patient
        Whose each row is.
    known
        By patient, whether there are outcomes and, with markers, measurements.
    arm_of, arms
        The arm of every patient, and the arms' names.

    Returns
    -------
    xarray.Dataset
        ``subgroup_member`` (subgroup, subject), ones and zeros; ``subgroup_code`` (subject, subgroup), membership less
        the share of members, zero where it is not known; ``subgroup_mean`` (subgroup, modifier), the mean of every code
        over a subgroup's members; ``subgroup_unit``, q.

    Raises
    ------
    BadInput
        When a column is unknown, membership changes within a patient, a subgroup has fewer than five members or all
        patients, or an arm has nobody in it.
    """
    people = len(known)
    member, code = np.zeros((len(settings.subgroups), people)), np.zeros((people, len(settings.subgroups)))
    for g, (name, text) in enumerate(settings.subgroups.items()):
        place = f"subgroups.'{name}'"
        holds = read_condition(text, place)(frame)
        told = holds.notna().to_numpy()
        yes = holds.fillna(False).to_numpy(dtype=bool)
        is_in, is_out = (np.bincount(patient, rows, minlength=people) > 0 for rows in (yes, told & ~yes))
        _refuse_changing(frame, patient, yes, told & ~yes, is_in & is_out, f"{place} = '{text}'")
        _refuse_few(is_in & known, is_out & known, f"{place} = '{text}'")
        _refuse_arms(is_in & known, arm_of, arms, f"{place} = '{text}'")
        unknown = int((~is_in & ~is_out).sum())
        if unknown:
            note(frame, f"{place}: of {unknown} patients it is not known whether they belong, so they are not members")
        member[g] = is_in & known
        code[:, g] = np.where(is_in | is_out, is_in - is_in[is_in | is_out].mean(), 0.0)
    mean = member @ code / member.sum(axis=1, keepdims=True)
    names = np.array(list(settings.subgroups), dtype=str)
    return xr.Dataset(
        {
            "subgroup_member": (("subgroup", "subject"), member.astype(int)),
            "subgroup_code": (("subject", "subgroup"), code),
            "subgroup_mean": (("subgroup", "modifier"), mean),
            "subgroup_unit": ((), float(np.sqrt((mean**2).sum(axis=1).mean()))),
        },
        {"subgroup": names, "modifier": names},
    )


def _refuse_changing(
    frame: pd.DataFrame, patient: np.ndarray, yes: np.ndarray, no: np.ndarray, both: np.ndarray, place: str
) -> None:
    if both.any():
        own = patient == int(np.flatnonzero(both)[0])
        rows = [frame.index[np.flatnonzero(own & holds)[0]] + 1 for holds in (yes, no)]
        raise BadInput(
            f"{place} holds in row {rows[0]} and not in row {rows[1]}, which are of one patient; use columns that have "
            "one value per patient, such as the value at baseline"
        )


def _refuse_few(is_in: np.ndarray, is_out: np.ndarray, place: str) -> None:
    if is_in.sum() < FEWEST:
        raise BadInput(
            f"{place} has {int(is_in.sum())} patients with data, but at least {FEWEST} are needed; widen it, or leave "
            "it out"
        )
    if not is_out.any():
        raise BadInput(f"{place} holds for every patient, so there is nobody to set it beside; leave it out")


def _refuse_arms(is_in: np.ndarray, arm_of: np.ndarray, arms: Sequence[str], place: str) -> None:
    for a, arm in enumerate(arms):
        if not (is_in & (arm_of == a)).any():
            raise BadInput(
                f"{place} has nobody with data in arm '{arm}', so arms cannot be compared there; widen it, or leave it "
                "out"
            )


# Inside the PyMC model


def modifiers(settings: TrajectoriesSettings, data: xr.Dataset, question: str) -> Tensor:
    """Add the modifiers of a question to a PyMC model, inside its context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.
    question
        A key of ``DIMS``.

    Returns
    -------
    pytensor.tensor.TensorVariable
        What a patient's deviation from all patients is: shape (subject, *dims), dims as ``DIMS`` has them.
    """
    import pymc as pm

    prior, name, dims = priors_of(settings, data), f"subgroup_{question}", DIMS[question]
    by = dims[0] if dims[0] in ("link", "power") else None
    spread = prior[f"{name}_sd"].rv(f"{name}_sd", dims=by, may_be_zero=True)
    spread = spread / pm.Data(f"{name}_unit", float(data["subgroup_unit"]))
    tails = tuple(d for d in dims if d != "comparison")
    if by is not None:
        spread = spread[(slice(None), *[None] * len(tails))]
    if settings.effects == "student" and question != "course":
        spread = student_spreads(name, spread, dims=(*tails, "subgroup"))
    root = None
    if "comparison" in dims:
        root = contrast_root(data.sizes["comparison"]) if data.sizes["comparison"] > 1 else None
        if getattr(spread, "ndim", 0):
            spread = spread[..., None, :]
    effect = non_centred_effects(name, 0.0, spread, dims=(*dims, "subgroup"), root=root, axis=-2)
    code = pm.Data(f"{name}_code", data["subgroup_code"].values, dims=("subject", "subgroup"))
    return (code[(slice(None), *[None] * len(dims))] * effect[None]).sum(axis=-1)  # faster to compile than a product


# From draws


def of_patients(draws: xr.Dataset, data: xr.Dataset, question: str, patients: slice | int = slice(None)) -> Draws:
    """Return what patients' deviations from all patients are, in a question.

    Parameters
    ----------
    draws
        With dim ``sample``.
    data
        The prepared data.
    question
        A key of ``DIMS``.
    patients
        Which.

    Returns
    -------
    numpy.ndarray
        Shape (samples, *dims[, subjects]).
    """
    effect = draws_of(draws, f"subgroup_{question}", *DIMS[question], "subgroup")
    return np.asarray(effect @ data["subgroup_code"].values[patients].T)


def associations_of_patient(draws: xr.Dataset, data: xr.Dataset, patient: int) -> Draws:
    """Return how a patient's associations deviate from those of all patients in the arm.

    Parameters
    ----------
    draws
        With dim ``sample``.
    data
        The prepared data.
    patient
        The patient's place.

    Returns
    -------
    numpy.ndarray
        Shape (samples, links, analytes).
    """
    own = of_patients(draws, data, "association", patient)
    if not data.sizes["comparison"]:
        return own
    code = arm_codes(data.sizes["arm"])[:, int(data["arm_of"][patient])]
    return own + of_patients(draws, data, "association_difference", patient) @ code


def estimands_in(
    settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset, overall: dict[str, xr.DataArray]
) -> dict[str, xr.DataArray]:
    """Return what is asked in every subgroup, and how far that is from all patients.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of the parameters.
    data
        The prepared data.
    overall
        Estimands of all patients, differences between arms over time among them.

    Returns
    -------
    dict of xarray.DataArray
        By name: of each question ``..._in`` and ``..._from_overall``, with dim ``subgroup`` last.
    """
    found = {}
    for question in settings.questions:
        dims = ("link", "analyte", "arm") if question == "association" else DIMS[question]
        whole = overall[question]
        if not settings.association:
            whole = whole.isel({whole.dims[-1]: -1}, drop=True)
        size = int(np.prod([data.sizes.get(d, len(settings.association)) for d in (*dims, "subgroup")]))
        apart = over_draws(posterior, _Deviations(settings, data, question, dims), size)
        units, what = whole.attrs["units"], whole.attrs["description"]
        apart = apart.transpose("chain", "draw", *dims, "subgroup")
        at = "" if settings.association else ", at the last reported time"
        found[f"{question}_in"] = estimand(
            (whole + apart).transpose("chain", "draw", *dims, "subgroup"), f"{what}{at}, mean over a subgroup", units
        )
        found[f"{question}_from_overall"] = estimand(apart, f"{what}{at}, a subgroup less all patients", units)
    return found


class _Deviations:
    """From draws to a question's deviations of subgroups from all patients."""

    def __init__(self, settings: TrajectoriesSettings, data: xr.Dataset, question: str, dims: tuple[str, ...]) -> None:
        self.settings, self.data, self.question, self.dims = settings, data, question, dims

    def __call__(self, draws: xr.Dataset) -> xr.DataArray:
        mean = self.data["subgroup_mean"].values.T
        apart = draws_of(draws, f"subgroup_{self.question}", *DIMS[self.question], "subgroup") @ mean
        if self.question == "association":
            apart = np.repeat(apart[:, :, :, None], self.data.sizes["arm"], axis=3)
            if self.data.sizes["comparison"]:
                dims = (*DIMS["association_difference"], "subgroup")
                by_arm = draws_of(draws, "subgroup_association_difference", *dims) @ mean
                apart = apart + np.einsum("slmcg,ca->slmag", by_arm, arm_codes(self.data.sizes["arm"]))
        if not self.settings.association:
            apart = apart * _share_at_last(self.data, self.question)
        labels = {d: self.data[d].values for d in (*self.dims, "subgroup") if d != "link"}
        if "link" in self.dims:
            labels["link"] = np.array(self.settings.association, dtype=str)
        return xr.DataArray(apart, labels, ("sample", *self.dims, "subgroup"))


def _share_at_last(data: xr.Dataset, question: str) -> float:
    """How far a deviation that grows with time has come at the last reported time: 1 at the end of the follow-up.

    The follow-up ends with the last time of the outcome or of a marker, whichever is later, and ``at`` may end earlier.
    """
    of = "marker_" if question == "marker_difference" else ""
    basis = Basis.from_attrs(data[f"{of}course_columns"].attrs)
    return float(basis.share(data[f"{of}reported_time"].values[-1]))
