"""Effects against a common reference, such that exchanging arms changes nothing but their names and signs."""

from typing import Any

import numpy as np

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.priors import Prior


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

    Arms lie around their own mean: with two, minus and plus one half of their contrast. So neither is the one that
    the level belongs to.

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


def contrasts(prior: Prior, name: str, *, dims: str, count: int) -> Any:
    """Return contrasts against a reference, each with the given prior and correlated 1/2, inside a model context.

    Parameters
    ----------
    prior
        Of each contrast; with several, a Normal (see :func:`refuse_without_correlation`).
    name
        Their name; where there are several, the standardised ones that are sampled are ``name_latent``.
    dims
        Their dim.
    count
        How many there are.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (count,).
    """
    import pymc as pm
    import pytensor

    if count == 1:
        return prior.rv(name, dims=dims)
    mu, sigma = (pytensor.shared(np.array(prior[k]), name=f"{name}.{k}") for k in ("mu", "sigma"))
    latent = pm.Normal(f"{name}_latent", dims=dims)
    return pm.Deterministic(name, mu + sigma * (latent * contrast_root(count)).sum(axis=-1), dims=dims)


def refuse_without_correlation(prior: Prior, name: str, arms: int, what: str) -> None:
    """Refuse a prior that does not say how several contrasts go together.

    Parameters
    ----------
    prior
        Of each contrast.
    name
        Its key.
    arms
        Number of arms, the reference among them.
    what
        What these are called, in the plural.

    Raises
    ------
    BadInput
        When there are three or more and the prior is not a Normal.
    """
    if arms > 2 and prior.dist != "Normal":
        raise BadInput(
            f"priors.{name}: {prior} with {arms} {what}; differences from one of them are correlated, and only a "
            "Normal says how; use a Normal, or keep two"
        )
