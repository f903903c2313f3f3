r"""Units with normal effects of their own on a few columns, integrated out without a matrix of the unit's times.

For one unit, ``y = mean + G b + e`` with ``b ~ N(0, K)``, q columns in G, and independent ``e ~ N(0, sd)``. With
``r = y - mean``, ``P = G'G / sd^2`` and ``s = G'r / sd^2``::

    log p(y) = -r'r / (2 sd^2) + gain - n log sd - n/2 log 2 pi

and b given y is normal; gain, mean and covariance are those of :mod:`bayesdep.numerics.conditioning` (Laird and Ware
1982, doi:10.2307/2529876). Residuals that correlate ``rho ** gap`` are first made independent, each by its regression
on the one before. Times that were missed have weight 0.

These are classes, not ``pm.CustomDist``, so that one compiled model serves other data; the module imports PyMC, so
models import it when they build.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.random.op import RandomVariable

from bayesdep.numerics.conditioning import condition, condition_kinds
from bayesdep.numerics.normal import LOG_2_PI
from bayesdep.numerics.types import Tensor


@dataclass(frozen=True)
class Integrated:
    """Units' effects, integrated out.

    Parameters
    ----------
    log_density
        By unit: the density of its values but for ``n log sd + n/2 log 2 pi``.
    mean, covariance
        Of its effects given its values, shapes (..., q) and (..., q, q).
    """

    log_density: Tensor
    mean: Tensor
    covariance: Tensor


def products_of(design: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return ``G'G`` of every unit, over the times that count.

    Parameters
    ----------
    design
        G, shape (..., time, q).
    counted
        1 or 0, shape (..., time), which may have more leading dims than ``design`` has sizes.

    Returns
    -------
    numpy.ndarray
        Shape (..., q, q).

    Examples
    --------
    >>> products_of(np.array([[1.0, 0.0], [1.0, 2.0]]), np.array([1.0, 1.0])).tolist()
    [[2.0, 2.0], [2.0, 4.0]]
    """
    weighted = design * counted[..., None]
    return np.asarray(np.swapaxes(weighted, -1, -2) @ design)


def of_curves(
    value: Tensor, mean: Tensor, design: Tensor, covariance: Tensor, sd: Tensor, counted: Tensor, products: Tensor
) -> Integrated:
    """Integrate the effects of :class:`Curves` out.

    Parameters
    ----------
    value, mean, design, covariance, sd, counted, products
        As in :class:`Curves`.

    Returns
    -------
    Integrated
        By unit.
    """
    precision = sd**-2
    residual = counted * (value - mean)
    sums = (residual[..., None] * design).sum(axis=-2) * precision[..., None]
    square = (residual**2).sum(axis=-1) * precision
    return _integrated(square, covariance, products * precision[..., None, None], sums)


def _integrated(square: Tensor, covariance: Tensor, precision: Tensor, sums: Tensor) -> Integrated:
    """Give all units a covariance of their own, and condition their effects."""
    size = sums.type.shape[-1]
    same = pt.zeros_like(sums)[..., None]
    lead = sums.type.ndim - 1
    own, known = (_of_size(x + same, lead, size) for x in (covariance, precision))
    gain, mean, v = condition(own, known, _of_size(sums, None, size))
    return Integrated(gain - square / 2, mean, v)


def _of_size(x: Tensor, lead: int | None, size: int) -> Tensor:
    """Say how many columns there are: of vectors where ``lead`` is None, of matrices otherwise."""
    if lead is None:
        return pt.specify_shape(x, (*(None for _ in range(x.type.ndim - 1)), size))
    return pt.specify_shape(x, (*(None for _ in range(lead)), size, size))


def without_correlation(values: Tensor, correlation: Tensor, place: Tensor, sd: Tensor) -> Tensor:
    """Return values less their regression on the one before, over the sd that remains.

    Parameters
    ----------
    values
        Tensor of shape (..., times).
    correlation
        With the observed time before, 0 where there is none.
    place
        Place of the observed time before.
    sd
        ``sqrt(1 - correlation ** 2)``.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (..., times).
    """
    return (values - correlation * pt.take_along_axis(values, place, axis=-1)) / sd


class _TakesParameters:
    """A distribution whose parameters are those of its random variable, in order."""

    @classmethod
    def dist(cls, *parameters: Tensor, **kwargs: Any) -> Tensor:
        """Return the random variable."""
        return super().dist(  # type: ignore[misc]  # PyMC's, which comes beside
            [pt.as_tensor_variable(p) for p in parameters], **kwargs
        )


class _CurvesRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "curves"
    signature = "(j),(j,q),(q,q),(),(j),(q,q)->(j)"
    dtype = "floatX"
    _print_name = ("Curves", "\\operatorname{Curves}")

    @classmethod
    def rng_fn(cls, rng: Any, mean: Any, design: Any, covariance: Any, sd: Any, *others: Any) -> Any:
        *_, size = others
        noise = np.asarray(sd)[..., None] * rng.standard_normal(_shape(size, mean, design, covariance, sd))
        return _with_effects(rng, mean, design, covariance, noise)


class Curves(_TakesParameters, pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """A unit's values over time: a mean, normal effects on columns of its own, and independent residuals.

    Parameters are ``mean`` (time), ``design`` (time, column: G), ``covariance`` (column, column: K), ``sd``,
    ``counted`` (time; 1 or 0) and ``products`` (column, column: G'G over what counts). Draws are of every time.
    """

    rv_type = _CurvesRV
    rv_op = _CurvesRV()

    def support_point(rv: Tensor, size: Any, mean: Tensor, *others: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        counted = others[3]
        return mean + 0 * counted

    def logp(
        value: Tensor,
        mean: Tensor,
        design: Tensor,
        covariance: Tensor,
        sd: Tensor,
        counted: Tensor,
        products: Tensor,
    ) -> Tensor:
        """Return the density of a unit's values that are counted."""
        effects = of_curves(value, mean, design, covariance, sd, counted, products)
        return effects.log_density - pt.sum(counted, axis=-1) * (pt.log(sd) + LOG_2_PI / 2)


class _PanelCurvesRV(_CurvesRV):
    name = "panel_curves"
    signature = "(j),(j,q),(q,q),(),(j),(j),(j),()->(j)"
    dtype = "floatX"
    _print_name = ("PanelCurves", "\\operatorname{PanelCurves}")


class PanelCurves(_TakesParameters, pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """Several kinds of values of units over time, each with effects of its own: markers of patients.

    Parameters are ``mean`` (unit, kind, time), ``design`` (unit, 1, time, column: G), ``covariance`` (kind, column,
    column), ``sd`` (kind), by unit, kind and time ``counted`` (1 or 0), ``hidden`` (1 where the value is a parameter of
    the model) and ``latent`` (that parameter), and ``correction`` (unit, kind): what is added to the log density, of
    the changes of variables that the parameters are sampled in. Draws are of every time.
    """

    rv_type = _PanelCurvesRV
    rv_op = _PanelCurvesRV()

    def support_point(rv: Tensor, size: Any, mean: Tensor, *others: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        counted = others[3]
        return mean + 0 * counted

    def logp(
        value: Tensor,
        mean: Tensor,
        design: Tensor,
        covariance: Tensor,
        sd: Tensor,
        counted: Tensor,
        hidden: Tensor,
        latent: Tensor,
        correction: Tensor,
    ) -> Tensor:
        """Return the density of a unit's values of a kind that are counted."""
        found = pt.switch(hidden, latent, value)
        own, noise = _of_all(covariance, 3), _of_all(sd, 1)
        of_kinds = of_panel(found, mean, design, own, noise, counted)
        return of_kinds.log_density + correction


def of_panel(
    value: Tensor, mean: Tensor, design: Tensor, covariance: Tensor, sd: Tensor, counted: Tensor
) -> Integrated:
    """Integrate the effects of :class:`PanelCurves` out.

    Parameters
    ----------
    value, mean, design, covariance, sd, counted
        As in :class:`PanelCurves`, with values in place of latent ones.

    Returns
    -------
    Integrated
        By unit and kind; its density is complete.
    """
    return Integrated(*condition_kinds(value - mean, design.squeeze(1), covariance, sd, counted))


def of_shared(
    value: Tensor,
    mean: Tensor,
    design: Tensor,
    covariance: Tensor,
    sd: Tensor,
    loading: Tensor,
    shared: Tensor,
    counted: Tensor,
    products: Tensor,
) -> tuple[Integrated, Integrated]:
    r"""Integrate the effects of :class:`SharedCurves` out: those of each kind, and those that all kinds share.

    With ``y_m = mean_m + G (loading_m f + b_m) + e_m``, ``f ~ N(0, Psi)``, P and s of kind m as above, and V the
    covariance of b_m given y_m and f = 0, kind m says of f

    .. math:: P_m^* = l_m^2 (P - P V P), \quad s_m^* = l_m (s - P V s)

    since :math:`P - P V P = G' S^{-1} G`, S the covariance of y_m given f. Kinds are independent given f, so these are
    added up.

    Parameters
    ----------
    value, mean, design, covariance, sd, loading, shared, counted, products
        As in :class:`SharedCurves`, with values in place of latent ones.

    Returns
    -------
    tuple of Integrated
        Of effects of each kind's own, given f = 0, by unit and kind; of f, by unit: its density is what is added to
        those of the kinds.
    """
    size = shared.type.shape[-1]
    kinds = Integrated(*condition_kinds(value - mean, design, covariance, sd, counted))
    precision = sd[:, None, None] ** -2 * products
    sums = ((counted * (value - mean))[..., None] * design[:, None]).sum(axis=2) * sd[:, None] ** -2
    half = (kinds.covariance[..., :, :, None] * precision[..., None, :, :]).sum(axis=-2)  # V P: matrices are small
    reduced = precision - (precision[..., :, :, None] * half[..., None, :, :]).sum(axis=-2)
    less = sums - (precision * kinds.mean[..., None, :]).sum(axis=-1)
    known = (loading[:, None, None] ** 2 * reduced).sum(axis=1)
    along = (loading[:, None] * less).sum(axis=1)
    of_all = _of_size(shared + pt.zeros_like(known), 1, size)
    return kinds, Integrated(*condition(of_all, _of_size(known, 1, size), _of_size(along, None, size)))


class _SharedCurvesRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "shared_curves"
    signature = "(k,j),(j,q),(k,q,q),(k),(k),(q,q),(k,j),(k,q,q),(k,j),(k,j),(k)->(k,j)"
    dtype = "floatX"
    _print_name = ("SharedCurves", "\\operatorname{SharedCurves}")

    @classmethod
    def rng_fn(
        cls, rng: Any, mean: Any, design: Any, covariance: Any, sd: Any, loading: Any, shared: Any, *others: Any
    ) -> Any:
        size, design = others[-1], np.asarray(design)
        units = (mean, covariance[..., 0], sd[..., None], loading[..., None], shared, design)
        batch = np.broadcast_shapes(*(np.shape(x)[:-2] for x in units)) if size is None else tuple(size)
        noise = rng.standard_normal((*batch, *np.shape(mean)[-2:])) * sd[..., None]
        in_common = _with_effects(rng, 0.0, design, shared, np.zeros((*batch, np.shape(mean)[-1])))
        about = mean + loading[..., None] * in_common[..., None, :]
        return _with_effects(rng, about, design[..., None, :, :], covariance, noise)


class SharedCurves(_TakesParameters, pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """As :class:`PanelCurves`, with effects that all kinds share beside their own, each by a loading of its own.

    Parameters are ``mean`` (kind, time), ``design`` (time, column: G), ``covariance`` (kind, column, column), ``sd``
    and ``loading`` (kind), ``shared`` (column, column: Psi), ``counted`` (kind, time; 1 or 0), ``products`` (kind,
    column, column: G'G over what counts), ``hidden`` and ``latent`` (kind, time) and ``correction`` (kind), as there.
    """

    rv_type = _SharedCurvesRV
    rv_op = _SharedCurvesRV()

    def support_point(rv: Tensor, size: Any, mean: Tensor, *others: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        counted = others[5]
        return mean + 0 * counted

    def logp(
        value: Tensor,
        mean: Tensor,
        design: Tensor,
        covariance: Tensor,
        sd: Tensor,
        loading: Tensor,
        shared: Tensor,
        counted: Tensor,
        products: Tensor,
        hidden: Tensor,
        latent: Tensor,
        correction: Tensor,
    ) -> Tensor:
        """Return the density of a unit's values that are counted."""
        found = pt.switch(hidden, latent, value)
        own, noise, loads, psi = (_of_all(x, core) for x, core in ((covariance, 3), (sd, 1), (loading, 1), (shared, 2)))
        of_kinds, in_common = of_shared(found, mean, design, own, noise, loads, psi, counted, products)
        return of_kinds.log_density.sum(axis=-1) + in_common.log_density + correction.sum(axis=-1)


def _of_all(x: Tensor, core: int) -> Tensor:
    """A parameter without the dim of one unit that PyMC puts in front, as it was before where that is known.

    So it is the same variable where the effects are used elsewhere too, and they are computed once.
    """
    if x.type.ndim <= core:
        return x
    added = x.owner is not None and isinstance(x.owner.op, DimShuffle) and x.owner.op.is_left_expand_dims
    before = x.owner.inputs[0] if added else None
    return before if before is not None and before.type.ndim == core else x.squeeze(0)


class _SerialCurvesRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "serial_curves"
    signature = "(j),(j,q),(q,q),(),(),(j),(j),(j)->(j)"
    dtype = "floatX"
    _print_name = ("SerialCurves", "\\operatorname{SerialCurves}")

    @classmethod
    def rng_fn(cls, rng: Any, mean: Any, design: Any, covariance: Any, sd: Any, rho: Any, *others: Any) -> Any:
        _, _, time, size = others  # counted, previous, time, and how many
        gaps = np.abs(time[..., :, None] - time[..., None, :])
        along = np.linalg.cholesky(np.asarray(rho)[..., None, None] ** gaps + 1e-12 * np.eye(gaps.shape[-1]))
        noise = rng.standard_normal(_shape(size, mean, design, covariance, sd))
        noise = np.asarray(sd)[..., None] * np.squeeze(along @ noise[..., None], -1)
        return _with_effects(rng, mean, design, covariance, noise)


class SerialCurves(_TakesParameters, pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """As :class:`Curves`, with residuals that correlate ``rho ** gap``.

    Parameters are ``mean`` (time), ``design`` (time, column), ``covariance`` (column, column), ``sd``, ``rho``, and
    ``counted`` (1 or 0), ``previous`` (place of the counted time before, -1 where there is none) and ``time`` by time.
    """

    rv_type = _SerialCurvesRV
    rv_op = _SerialCurvesRV()

    def support_point(rv: Tensor, size: Any, mean: Tensor, *others: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        counted = others[4]
        return mean + 0 * counted

    def logp(
        value: Tensor,
        mean: Tensor,
        design: Tensor,
        covariance: Tensor,
        sd: Tensor,
        rho: Tensor,
        counted: Tensor,
        previous: Tensor,
        time: Tensor,
    ) -> Tensor:
        """Return the density of a unit's values that are counted."""
        is_later = (previous >= 0) * 1.0
        place = pt.cast(pt.maximum(previous, 0), "int64")
        gap = pt.switch(is_later > 0, time - pt.take_along_axis(time, place, axis=-1), 1.0)
        log_correlation = pt.log(rho)[..., None] * gap
        correlation = is_later * pt.exp(log_correlation)
        variance = -pt.expm1(2 * log_correlation) * is_later + (1 - is_later)
        rest = pt.sqrt(variance)

        def whitened(x: Tensor) -> Tensor:
            return counted * without_correlation(x / sd[..., None], correlation, place, rest)

        size = design.type.shape[-1]
        columns = [whitened(design[..., k] + pt.zeros_like(counted)) for k in range(size)]
        residual = whitened(value - mean)
        sums = pt.stack([(column * residual).sum(axis=-1) for column in columns], axis=-1)
        products = pt.stack([pt.stack([(a * b).sum(axis=-1) for b in columns], axis=-1) for a in columns], axis=-2)
        effects = _integrated((residual**2).sum(axis=-1), covariance, products, sums)
        constant = pt.sum(counted * (pt.log(sd)[..., None] + LOG_2_PI / 2 + pt.log(variance) / 2), axis=-1)
        return effects.log_density - constant


def _shape(size: Any, mean: Any, design: Any, covariance: Any, sd: Any) -> tuple[int, ...]:
    batch = np.broadcast_shapes(np.shape(mean)[:-1], np.shape(design)[:-2], np.shape(covariance)[:-2], np.shape(sd))
    return (*(batch if size is None else size), np.shape(mean)[-1])


def _with_effects(rng: Any, mean: Any, design: Any, covariance: Any, noise: np.ndarray) -> np.ndarray:
    """The mean, new effects on the columns, and noise; a covariance may be singular."""
    lengths, directions = np.linalg.eigh(np.asarray(covariance))
    root = directions * np.sqrt(np.maximum(lengths, 0.0))[..., None, :]
    effects = root @ rng.standard_normal((*noise.shape[:-1], root.shape[-1], 1))
    return np.asarray(mean + np.squeeze(np.asarray(design) @ effects, -1) + noise)
