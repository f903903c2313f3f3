r"""Means of effects and mean levels of people: their sum is sampled, its two terms are drawn afterwards.

People's levels are ``subject_i ~ N(0, sd)``. A difference between the groups' means of these levels shifts every
analyte's effect just as ``group_mean`` does, so a panel's likelihood depends on the sum of the two only. With
:math:`\mu \sim N(m, S)` and differences of the groups' mean levels :math:`d \sim N(0, sd^2 D)`, the sum is
:math:`N(m, S + sd^2 D)`. It is sampled; :math:`d \mid \mu + d`, which is normal and not needed for the likelihood, is
drawn from its conditional. The mean of the levels of analytes and the mean level of all people are split alike; with
the groups' numbers of people as weights they are independent of the groups' differences.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.cytokines.cells import Cells, recorded_logs
from bayesdep.models.parts.adaptive_effects import Wall, adaptive_effects
from bayesdep.models.parts.contrasts import STANDARDISED
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.types import Tensor

_REACH = float(np.sqrt(np.pi / 2))  # Phi(0) / phi(0)
_FEW = 3  # detected values that fix a person's level well enough
_FAR = 50.0  # widths from a limit, beyond which it does not matter how far
_NOTHING_KNOWN = 1e-4  # precision of a person of whom nothing was detected


@dataclass(frozen=True)
class Mean:
    """A mean of effects inside a model.

    Parameters
    ----------
    sampled
        The mean of effects plus the difference of people's mean levels: what the likelihood depends on.
    shift
        The difference of people's mean levels; None where it is not split off.
    """

    sampled: Tensor
    shift: Tensor = None


def people_of_groups(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return each subject's group and the number of people of each group.

    Parameters
    ----------
    data
        A panel.

    Returns
    -------
    tuple of numpy.ndarray
        Shapes (subject,) and (group,).
    """
    group = np.zeros(data.sizes["subject"], dtype=int)
    group[data["subject_of"].values] = data["group_of"].values
    return group, np.bincount(group, minlength=data.sizes["group"])


def split_mean(
    name: str, prior: Prior, root: np.ndarray, added: np.ndarray, sd: Tensor, *, dims: tuple[str, ...] | None
) -> Mean:
    """Return a mean of effects with the difference of people's mean levels, inside a PyMC model context.

    With R the root of S, ``R^-1 D R^-T = U diag(l) U'`` and ``M = R U``, both S and D are diagonal in coordinates M: a
    standard normal z becomes ``m + M sqrt(1 + sd^2 l) z``.

    Parameters
    ----------
    name
        Of the mean; what is sampled is ``name_standardised``, what is drawn afterwards ``name_split``.
    prior
        Of each element, a Normal.
    root
        Root of the elements' correlations, shape (k, k).
    added
        Covariance of the differences of people's mean levels, over the variance between people, shape (k, k).
    sd
        Standard deviation between people, a scalar tensor.
    dims
        Dim of the mean; None for a scalar, with k = 1.

    Returns
    -------
    Mean
        The mean itself is registered under its name.
    """
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    roots = prior["sigma"] * np.asarray(root)
    inverse = np.linalg.inv(roots)
    lengths, vectors = np.linalg.eigh(inverse @ added @ inverse.T)
    directions = roots @ vectors
    lengths = np.maximum(lengths, 0.0)
    if dims is None:
        directions, lengths = directions[0, 0], lengths[0]

    def held(word: str, value: Any) -> Tensor:
        return pytensor.shared(np.array(value, dtype=float), name=f"{name}.{word}")

    mu, m, length = held("mu", prior["mu"]), held("directions", directions), held("lengths", lengths)
    z = pm.Normal(f"{name}{STANDARDISED}", dims=dims)
    r = pt.sqrt(1 + sd**2 * length)
    # of the sum r z, the term of people given z: a variable of its own, drawn at each draw of z
    part = pm.Normal(f"{name}_split", sd**2 * length * z / r, sd * pt.sqrt(length) / r, dims=dims)

    def along_directions(x: Tensor) -> Tensor:
        return m * x if dims is None else (m * x).sum(axis=-1)  # written out: numba takes long over a matrix product

    sampled, shift = mu + along_directions(r * z), along_directions(part)
    pm.Deterministic(name, sampled - shift, dims=dims)
    return Mean(sampled, shift)


def people(
    data: xr.Dataset, eta: Tensor, log_sd: Tensor, sd: Tensor, *, cells: Cells | None, psi: Tensor, split: bool
) -> Tensor:
    """Return people's general levels, reparametrised by what their detected values say, inside a PyMC model context.

    Without limits a person's level would be normal given the rest. With a small residual sd, or many analytes, that
    normal is narrow, so what is sampled is the level standardised by it
    (:func:`~bayesdep.models.parts.adaptive_effects.adaptive_effects`). Detected values of one cell share its effect:
    n of them weigh as ``n / (1 + n psi^2)``.

    Parameters
    ----------
    data
        The prepared data.
    eta
        Expected log concentrations without people, a tensor of shape (measurement,).
    log_sd
        Log residual sds by analyte.
    sd
        Standard deviation between people, a scalar tensor.
    cells, psi
        As :func:`~bayesdep.models.cytokines.cells.measurements` takes them.
    split
        Whether the groups' mean levels are drawn separately (:func:`split_mean`): then levels are around these means.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (subject,).
    """
    import pymc as pm
    import pytensor.tensor as pt

    detected = (data["kind"].values == 0).astype(float)
    weight = (
        pm.Data("is_detected", detected, dims="measurement")
        * pt.exp(-2 * log_sd)[pm.Data("weight_of", data["analyte_of"].values, dims="measurement")]
    )
    if cells is not None:
        weight = weight / (1 + pm.Data("detected_beside", cells.detected[cells.of].astype(float)) * psi**2)
    of = pm.Data("person_of", data["subject_of"].values, dims="measurement")
    nobody = pt.zeros((data.sizes["subject"],))
    precision = _NOTHING_KNOWN + pt.inc_subtensor(nobody[of], weight)
    residual = weight * (pm.Data("recorded", recorded_logs(data), dims="measurement") - eta)
    estimate = pt.inc_subtensor(nobody[of], residual) / precision
    around = _within_groups(data) if split else (lambda x: x)
    wall = wall_of_people(data, eta, log_sd if psi is None else log_sd + pt.log1p(psi**2) / 2, of)
    adaptive_effects("person", pt.zeros(()), sd, around(estimate), precision**-0.5, dims="subject", wall=wall)
    return around(pm.modelcontext(None)["person"])


def wall_of_people(data: xr.Dataset, eta: Tensor, log_sd: Tensor, of: Tensor) -> Wall | None:
    r"""Return where people's levels come too near to the limits below which their values lie, in a model context.

    A value below a limit that lies r above what is expected of it says that the person's level is below r, within
    about :math:`\sigma \Phi(0) / \phi(0)`. Of several such values the nearest limits count, smoothly. A person with
    three detected values hardly comes near a limit, and a wall costs time: there is one where somebody has fewer.

    Parameters
    ----------
    data
        The prepared data.
    eta
        Expected log concentrations without people, a tensor of shape (measurement,).
    log_sd
        Log sds by analyte, of values around a person's general level.
    of
        Person of each measurement.

    Returns
    -------
    Wall or None
        Below where a person has any value below a limit, else above; None where nobody has either and fewer than three
        detected values.
    """
    import pymc as pm
    import pytensor.tensor as pt

    kind, subject = data["kind"].values, data["subject_of"].values
    people = data.sizes["subject"]
    below, above = (np.bincount(subject, kind == k, people) for k in (1, 2))
    side = np.where(below > 0, 1.0, np.where(above > 0, -1.0, 0.0))
    if not side[np.bincount(subject, kind == 0, people) < _FEW].any():
        return None
    counts = ((kind == 1) & (side[subject] > 0)) | ((kind == 2) & (side[subject] < 0))
    beyond = pm.Data("person_beyond", counts.astype(float), dims="measurement")
    number = pm.Data("person_number_beyond", np.maximum(np.where(side > 0, below, above), 1.0), dims="subject")
    sides = pm.Data("person_side", side, dims="subject")
    weight = beyond * pt.exp(-2 * log_sd)[pm.Data("beyond_of", data["analyte_of"].values, dims="measurement")]
    nobody = pt.zeros((people,))
    # of people without such a value, whose wall does not enter, one of width 1 at 0
    width = _REACH * ((pt.inc_subtensor(nobody[of], weight) + pt.eq(sides, 0)) / number) ** -0.5
    room = sides[of] * (pm.Data("person_limit", recorded_logs(data), dims="measurement") - eta) / width[of]
    near = beyond * pt.exp(pt.clip(-room, -_FAR, _FAR))
    nearest = -width * pt.log(pt.inc_subtensor(nobody[of], near) + pt.eq(sides, 0))
    return Wall(sides, sides * nearest, width)


def _within_groups(data: xr.Dataset) -> Callable[[Tensor], Tensor]:
    """A function that subtracts their groups' means from people's values, inside a PyMC model context."""
    import pymc as pm
    import pytensor.tensor as pt

    group, number = people_of_groups(data)
    of = pm.Data("group_of_subject", group, dims="subject")
    count = pm.Data("people_in_group", np.maximum(number, 1).astype(float))
    return lambda x: x - (pt.inc_subtensor(pt.zeros((len(number),))[of], x) / count)[of]
