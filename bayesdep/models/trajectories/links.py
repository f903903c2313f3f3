r"""What joins the outcome to the markers inside a PyMC model: associations, and the outcome given the markers.

A marker's deviation is ``w(u) = b_0 + b_1 u + ...``. Every link is linear in b and adds to the outcome's own
coefficients of powers of time: what marker m adds in a patient of arm a is ``C b``, with
``C = sum over links of association[link, m, a] times the link's matrix``
(:func:`bayesdep.models.trajectories.settings.link_matrix`). Given the marker's values, b is normal with mean B and
covariance V, so the outcome's coefficients are normal too, with mean ``sum_m C B`` and covariance
``D + sum_m C V C'``, D that of the outcome's own deviations. So markers and outcome are integrated out one after the
other, in matrices of two or three rows. Markers without error enter by their values instead
(:mod:`bayesdep.models.trajectories.exact`).
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.parts.adaptive_effects import adaptive_effects
from bayesdep.models.parts.contrasts import arm_codes, contrast_root, contrasts
from bayesdep.models.parts.pooling import non_centred_effects
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.parts.unit_spreads import student_spreads
from bayesdep.models.trajectories.exact import at_visits
from bayesdep.models.trajectories.own_lines import rough_associations
from bayesdep.models.trajectories.settings import TrajectoriesSettings, link_matrices
from bayesdep.models.trajectories.subgroups import modifiers
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.types import Tensor

BY_ARM = "association_by_arm"


def associations(settings: TrajectoriesSettings, data: xr.Dataset) -> Tensor:
    """Add the associations to a PyMC model, inside its context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (link, analyte, arm), with the shared factor in place of analytes where there is one.
    """
    import pymc as pm

    prior = priors_of(settings, data)
    known = rough_associations(settings, data)
    overall = _mean_over_arms(settings, prior, known)
    by_arm = overall[:, :, None]
    if settings.arm is not None:
        difference = _difference(settings, prior, data.sizes["comparison"], known)
        codes = arm_codes(data.sizes["arm"])
        by_arm = by_arm + sum(difference[:, :, c, None] * codes[c] for c in range(len(codes)))
    return pm.Deterministic(BY_ARM, by_arm, dims=("link", settings.linked, "arm"))


def _mean_over_arms(
    settings: TrajectoriesSettings, prior: Mapping[str, Prior], known: tuple[np.ndarray, np.ndarray]
) -> Tensor:
    """Associations, mean over arms, shape (link, analyte)."""
    name, dims = "association", ("link", settings.linked)
    if not settings.is_pooled:
        return prior[name].rv(name, dims=dims)
    mean = prior[f"{name}_mean"].rv(f"{name}_mean", dims="link")
    estimate, se = known[0].mean(axis=-1), np.sqrt((known[1] ** 2).sum(axis=-1)) / known[1].shape[-1]
    return adaptive_effects(name, mean[:, None], _spread(settings, prior, name), estimate, se, dims=dims)


def _difference(
    settings: TrajectoriesSettings, prior: Mapping[str, Prior], arms: int, known: tuple[np.ndarray, np.ndarray]
) -> Tensor:
    """Differences between arms in associations, shape (link, analyte, comparison)."""
    name, dims, root = "association_difference", ("link", settings.linked, "comparison"), contrast_root(arms)
    links = np.eye(len(settings.association))
    if not settings.is_pooled:
        return contrasts(prior[name], name, dims=dims, roots=[links, np.eye(known[0].shape[1]), root])
    mean = contrasts(prior[f"{name}_mean"], f"{name}_mean", dims=("link", "comparison"), roots=[links, root])
    spread = _spread(settings, prior, name)[:, :, None]
    if arms > 1:  # they correlate
        return non_centred_effects(name, mean[:, None, :], spread, dims=dims, root=root)
    estimate, se = known[0][..., 1:] - known[0][..., :1], np.hypot(known[1][..., 1:], known[1][..., :1])
    return adaptive_effects(name, mean[:, None, :], spread, estimate, se, dims=dims)


def _spread(settings: TrajectoriesSettings, prior: Mapping[str, Prior], name: str) -> Tensor:
    """The spread of associations over markers, shape (link, analyte) or (link, 1)."""
    spread = prior[f"{name}_sd"].rv(f"{name}_sd", dims="link", may_be_zero=True)[:, None]
    return student_spreads(name, spread, dims=("link", "analyte")) if settings.effects == "student" else spread


def _of_subgroups(settings: TrajectoriesSettings, data: xr.Dataset, arm_of: Tensor) -> Tensor:
    """How patients' associations deviate from those of all patients in their arm, shape (subject, link, analyte)."""
    import pytensor.tensor as pt

    apart = modifiers(settings, data, "association")
    if settings.arm is not None:
        code = pt.as_tensor(arm_codes(data.sizes["arm"]).T)[arm_of]  # (subject, comparison)
        apart = apart + (modifiers(settings, data, "association_difference") * code[:, None, None, :]).sum(axis=-1)
    return apart


def given_markers(
    settings: TrajectoriesSettings, data: xr.Dataset, own: Tensor, markers: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the distribution of the outcome's coefficients of powers of time, given a patient's markers.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.
    own
        Covariance of the outcome's own deviations, shape (power, power).
    markers
        Mean and covariance of the markers' deviations, or the shared factor's, given their values, and the values less
        their means.

    Returns
    -------
    tuple
        Mean, shape (subject, power), and covariance, shape (subject, power, power); what exact markers add to the
        outcome's mean, shape (subject, visit), None where there are none.
    """
    import pymc as pm

    prior = priors_of(settings, data)
    arm_of = pm.Data("arm_of", data["arm_of"].values, dims="subject")
    by_arm = associations(settings, data)
    weights = [by_arm[k].T[arm_of] for k in range(len(settings.association))]  # each (subject, analyte)
    if settings.subgroups:
        apart = _of_subgroups(settings, data, arm_of)
        weights = [weight + apart[:, k] for k, weight in enumerate(weights)]
    if "baseline" in settings.association:  # what goes with the baseline at the first time already, in all arms
        level = prior["baseline_level"].rv("baseline_level", dims=settings.linked)
        weights.append(level[None, :])
    mean, covariance, value = markers
    along = None
    if settings.exact:
        is_exact = pm.Data("is_exact", data["is_exact"].values.astype(float), dims="analyte")
        along = at_visits(settings, data, [weight * is_exact for weight in weights], value)
        weights = [weight * (1 - is_exact) for weight in weights]
    return *_summed(weights, link_matrices(settings), own, mean, covariance), along


def _summed(
    weights: list[Tensor], matrices: np.ndarray, own: Tensor, mean: Tensor, covariance: Tensor
) -> tuple[Tensor, Tensor]:
    """Sum C B and C V C' over markers: with ``C = sum_k w_k E_k``, the E fixed, numbers are summed before matrices."""
    import pytensor.tensor as pt

    shift: Tensor = 0.0
    for k, one in enumerate(matrices):
        shift = shift + ((weights[k][:, :, None] * mean).sum(axis=1)[:, None, :] * one).sum(axis=-1)
        for j in range(k + 1):
            both = (weights[k] * weights[j])[:, :, None, None]
            within = pt.tensordot((both * covariance).sum(axis=1), matrices[j].T, axes=1)
            added = (one[:, :, None] * within[:, None, :, :]).sum(axis=2)
            own = own + (added if j == k else added + added.dimshuffle(0, 2, 1))
    return shift, own
