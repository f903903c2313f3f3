"""Effects against a common reference, parametrised so that it does not matter which arm is the reference."""

from collections.abc import Collection, Sequence

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.types import Tensor

STANDARDISED = "_standardised"


def contrast_root(count: int) -> np.ndarray:
    """Root of the correlations between contrasts that share their reference: ones, and one half off the diagonal.

    If the arms themselves vary independently with variance 1/2, their differences from one of them have variance 1 and
    correlate 1/2, whichever arm is the reference (Salanti, Higgins, Ades and Ioannidis 2008,
    doi:10.1177/0962280207080643). Independent contrasts would say that the reference is known better than the others.

    Parameters
    ----------
    count
        Number of arms but the reference.

    Returns
    -------
    numpy.ndarray
        Lower triangular, shape (count, count).

    Examples
    --------
    >>> (contrast_root(2) @ contrast_root(2).T).round(12).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    return np.linalg.cholesky((np.eye(count) + 1) / 2)


def arm_codes(arms: int) -> np.ndarray:
    """Each contrast's share in each arm: an arm's place among all, from contrasts against the first.

    Arms lie around their own mean: with two, minus and plus one half of their contrast. So the level is neither arm's
    but their mean.

    Parameters
    ----------
    arms
        Number of arms, the reference first.

    Returns
    -------
    numpy.ndarray
        Shape (arms - 1, arms); every row sums to zero.

    Examples
    --------
    >>> arm_codes(2).tolist()
    [[-0.5, 0.5]]
    """
    return np.eye(arms)[1:] - 1 / arms


def shared_root(count: int, correlation: float) -> np.ndarray:
    """Root of correlations that are all alike: of effects that are one overall effect and deviations from it.

    With ``overall ~ N(0, correlation)`` and deviations ``~ N(0, 1 - correlation)`` each effect has variance 1, and the
    mean of K of them ``correlation + (1 - correlation) / K``: not one K-th, as if they had nothing in common.

    Parameters
    ----------
    count
        Number of effects.
    correlation
        Between any two.

    Returns
    -------
    numpy.ndarray
        Lower triangular, shape (count, count).
    """
    return np.linalg.cholesky(np.full((count, count), correlation) + (1 - correlation) * np.eye(count))


def contrasts(
    prior: Prior,
    name: str,
    *,
    dims: str | tuple[str, ...],
    roots: Sequence[np.ndarray],
    directions: np.ndarray | None = None,
) -> Tensor:
    """Return effects that each have the given prior and are correlated along their dims, inside a model context.

    Parameters
    ----------
    prior
        Of each effect, in the model's units; where they are correlated, a Normal
        (see :func:`refuse_without_correlation`).
    name
        Their name; where they are correlated, the standardised ones that are sampled are ``name_standardised``.
    dims
        Their dims.
    roots
        Lower-triangular root of the correlations along each dim.
    directions
        Orthogonal matrix along the last dim, shape (..., effects, effects), whose columns are combinations of effects
        that data know unequally well: these are sampled, standardised. Independent normals are so in any directions,
        so the prior is the same.

    Returns
    -------
    pytensor.tensor.TensorVariable
        The effects, registered under their name.
    """
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    if prior.dist != "Normal":
        directions = None
    if directions is None and all((root == np.eye(len(root))).all() for root in roots):
        return prior.rv(name, dims=dims)
    mu, sigma = (pytensor.shared(np.array(prior[k]), name=f"{name}.{k}") for k in ("mu", "sigma"))
    effects = pm.Normal(f"{name}{STANDARDISED}", dims=dims)
    if directions is not None:
        known = tuple(1 if length == 1 else None for length in directions.shape)  # dims along which it is the same
        turned = pt.specify_shape(pm.Data(f"{name}_directions", directions), known)
        effects = (effects[..., None, :] * turned).sum(axis=-1)
    for axis, root in enumerate(roots):
        # written out: numba takes long to compile a matrix product
        last = effects.dimshuffle(*(a for a in range(len(roots)) if a != axis), axis)
        correlated = (last[..., None, :] * root).sum(axis=-1)
        effects = correlated.dimshuffle(*_with_last_at(axis, len(roots)))
    return pm.Deterministic(name, mu + sigma * effects, dims=dims)


def less_first_arm(by_arm: xr.DataArray) -> xr.DataArray:
    """Return every other arm's values less the first's, with dim ``comparison`` in place of ``arm``.

    Parameters
    ----------
    by_arm
        Values with dim ``arm``, the reference first.

    Returns
    -------
    xarray.DataArray
        One arm fewer.

    Examples
    --------
    >>> less_first_arm(xr.DataArray([3.0, 5.0], {"arm": ["placebo", "drug"]})).to_series().to_dict()
    {'drug': 2.0}
    """
    return by_arm.isel(arm=slice(1, None)).rename(arm="comparison") - by_arm.isel(arm=0, drop=True)


def _with_last_at(axis: int, count: int) -> list[int]:
    """The order of dims that puts the last one at an axis."""
    order = list(range(count - 1))
    order.insert(axis, count - 1)
    return order


def is_term_of_slot(variable: str, slots: Collection[str]) -> bool:
    """Whether a sampled variable's density is that of a prior that a plan can replace.

    Parameters
    ----------
    variable
        A sampled variable, such as ``"effect_mean"`` or ``"effect_mean_standardised"``.
    slots
        Names of the model's priors.

    Returns
    -------
    bool
        Of standardised effects the density differs from the prior's by a constant.

    Examples
    --------
    >>> [is_term_of_slot(name, {"effect_mean"}) for name in ("effect_mean_standardised", "effect_latent")]
    [True, False]
    """
    return variable.removesuffix(STANDARDISED) in slots


def refuse_without_correlation(prior: Prior, name: str, count: int, what: str) -> None:
    """Refuse a prior that does not say how several effects are correlated.

    Parameters
    ----------
    prior
        Of each effect.
    name
        Its key.
    count
        Number of effects.
    what
        Of what these are, for the message, such as ``"3 arms"``.

    Raises
    ------
    BadInput
        When there are several and the prior is not a Normal.
    """
    if count > 1 and prior.dist != "Normal":
        raise BadInput(
            f"priors.{name}: {prior}, for {what}; these are correlated, and only a Normal says how; use a Normal"
        )
