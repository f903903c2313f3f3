r"""The markers inside a PyMC model: courses, deviations integrated out, and values beyond limits as parameters.

A marker's values in one patient are a cell. Given the parameters, a cell is multivariate normal, its deviation b
integrated out (:mod:`bayesdep.numerics.random_effects`). A value beyond a limit is a parameter z of the model, whose
density is that of the cell with all its values, so integrating over z beyond the limit gives the cell's probability.

What is sampled is a standard normal x. Were the cell's detected values all that is known, z would be normal, with mean
m and sd s, cut at the limit: with :math:`r = (limit - m) / s` and for a value below it, z is put at

.. math:: m - \frac{s}{k} \log(e^{-k r} + e^{-k x} + e^{-k (r + x)}), \quad k = 1.702

which is the quantile of that cut normal but for the normal distribution function, for which a logistic one stands. Far
below the limit z is ``m + s x``; near it the distance shrinks with x. So x is close to standard normal whatever the
limit, the sds and the level of the marker are. The density is exact: it contains the derivative of z by x. A value that
was not measured but is needed (:mod:`bayesdep.models.trajectories.exact`) has no limit, and z is ``m + s x``.
"""

from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.parts.contrasts import contrast_root, contrasts
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.trajectories.courses import Basis
from bayesdep.models.trajectories.data import UNMEASURED, kinds_of, recorded
from bayesdep.models.trajectories.deviations import covariance_of_deviations
from bayesdep.models.trajectories.directions import directions_of_markers
from bayesdep.models.trajectories.factor import shared_deviations
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.models.trajectories.subgroups import modifiers
from bayesdep.numerics.normal import log_standard_normal
from bayesdep.numerics.types import Tensor

NAME = "log2_concentration"
_LOGISTIC = 1.702  # Phi(x) is within 0.0095 of 1 / (1 + exp(-1.702 x)) (Camilli 1994, doi:10.3102/10769986019003293)


def observe_markers(settings: TrajectoriesSettings, data: xr.Dataset) -> tuple[Tensor, Tensor, Tensor]:
    """Observe the markers inside a PyMC model context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    tuple
        Mean and covariance of every marker's deviations in every patient, given its values: shapes (subject, analyte,
        power) and (subject, analyte, power, power), or those of the one factor that markers share, with a dim of one in
        place of analytes; and values less their means, (subject, analyte, marker_visit).
    """
    import pymc as pm
    import pytensor.tensor as pt

    from bayesdep.numerics.random_effects import PanelCurves, SharedCurves, of_panel, of_shared, products_of

    prior = priors_of(settings, data)
    dims = ("subject", "analyte", "marker_visit")
    mean = _means(settings, data)
    covariance = covariance_of_deviations(settings, prior, "marker_", "analyte")
    sd = prior["marker_residual_sd"].rv("marker_residual_sd", dims="analyte")
    columns = pm.Data("marker_deviation_columns", data["marker_deviation_columns"].values[:, None])
    design = pt.specify_shape(columns, (None, 1, None, len(settings.powers)))
    kind = kinds_of(data)
    logs = np.nan_to_num(recorded(data["lower"].values, data["upper"].values))
    value = pm.Data("log2_recorded", logs, dims=dims)
    counted = pm.Data("is_measured", (kind >= 0).astype(float), dims=dims)
    hidden = pm.Data("is_hidden", (kind > 0).astype(float), dims=dims)
    latent, correction = hidden, pt.zeros_like(counted[..., 0])  # where nothing is hidden
    total = covariance
    if settings.shared_factor:
        loading, shared = shared_deviations(settings, data)
        total = covariance + loading[:, None, None] ** 2 * shared
    if (kind > 0).any():
        latent, correction = _values_beyond_limits(data, logs, mean, columns, total, sd)
    found = pt.switch(hidden, latent, value)
    if settings.shared_factor:
        products = products_of(data["marker_deviation_columns"].values[:, None], (kind >= 0).astype(float))
        known = (counted, pm.Data("marker_products", products))
        with_factor = (mean, design[:, 0], covariance, sd, loading, shared, *known)
        SharedCurves(NAME, *with_factor, hidden, latent, correction, observed=value, dims=dims)
        factor = of_shared(found, *with_factor)[1]
        return factor.mean[:, None], factor.covariance[:, None], found - mean
    about = (mean, design, covariance, sd, counted)
    effects = of_panel(found, *about)
    PanelCurves(NAME, *about, hidden, latent, correction, observed=value, dims=dims)
    return effects.mean, effects.covariance, found - mean


def _means(settings: TrajectoriesSettings, data: xr.Dataset) -> Tensor:
    """The mean of every marker in every patient and at every time, shape (subject, analyte, time)."""
    import pymc as pm

    prior = priors_of(settings, data)
    terms, changes = data.sizes["marker_term"], data.sizes["marker_change"]
    known, eye = directions_of_markers(settings, data), np.eye(data.sizes["analyte"])
    course = contrasts(
        prior["marker_course"], "marker_course", dims=("analyte", "marker_term"), roots=[eye, np.eye(terms)],
        directions=known.get("marker_course"),
    )  # fmt: skip
    columns = pm.Data("marker_course_columns", data["marker_course_columns"].values)
    centre = pm.Data("marker_centre", data["marker_centre"].values, dims="analyte")
    mean = centre[None, :, None] + sum(columns[:, None, :, k] * course[None, :, k, None] for k in range(terms))
    if settings.arm is None:
        return mean
    arms = data.sizes["comparison"]
    root = contrast_root(arms)
    a = pm.Data("arm_code_of_markers", data["arm_code"].values, dims=("subject", "comparison"))
    over_time = pm.Data("marker_arm_columns", data["marker_arm_columns"].values)
    change = contrasts(
        prior["marker_arm_change"], "marker_arm_change", dims=("analyte", "comparison", "marker_change"),
        roots=[eye, root, np.eye(changes)], directions=known.get("marker_arm_change"),
    )  # fmt: skip
    effect = None
    if not settings.equal_baseline:
        effect = contrasts(
            prior["marker_arm_effect"], "marker_arm_effect", dims=("analyte", "comparison"), roots=[eye, root]
        )
    for c in range(arms):
        difference: Any = sum(over_time[:, None, :, k] * change[None, :, c, k, None] for k in range(changes))
        if effect is not None:
            difference = difference + effect[None, :, c, None]
        mean = mean + a[:, c, None, None] * difference
    if settings.subgroups and "marker_difference" in settings.questions:
        share = Basis.from_attrs(data["marker_course_columns"].attrs).share(data["marker_time"].values)
        apart = (modifiers(settings, data, "marker_difference") * a[:, None, :]).sum(axis=-1)
        mean = mean + apart[:, :, None] * pm.Data("share_of_follow_up_of_markers", share)[:, None, :]
    return mean


def _values_beyond_limits(
    data: xr.Dataset, logs: np.ndarray, mean: Tensor, columns: Tensor, covariance: Tensor, sd: Tensor
) -> tuple[Tensor, Tensor]:
    """Values beyond limits, (subject, analyte, time), and what the change of variables adds to cells' log densities."""
    import pymc as pm
    import pytensor.tensor as pt

    kind, lower, upper = kinds_of(data), data["lower"].values, data["upper"].values
    at = np.nonzero(kind > 0)
    subject, analyte, time = (
        pm.Data(f"beyond_{w}", x) for w, x in zip(("subject", "analyte", "time"), at, strict=True)
    )
    people, markers, times = (data[d].values for d in ("subject", "analyte", "marker_visit"))
    names = [f"{people[i]} / {markers[k]} / {times[j]}" for i, k, j in zip(*at, strict=True)]
    pm.modelcontext(None).add_coord("beyond", names)
    x = pm.Normal("beyond_latent", dims="beyond")
    centre, spread = _given_detected(data, logs, mean, columns, covariance, sd)
    low, high = lower[at], upper[at]
    is_right, is_between, is_free = kind[at] == 2, kind[at] == 3, kind[at] == UNMEASURED
    side = pm.Data("beyond_side", np.where(is_right, -1.0, 1.0), dims="beyond")
    limit = pm.Data("beyond_limit", np.where(is_free, 0.0, np.where(is_right, low, high)), dims="beyond")
    r = side * (limit - centre) / spread
    a, b = pt.softplus(-_LOGISTIC * r) - _LOGISTIC * x, -_LOGISTIC * r
    value = centre - side * spread * (b + pt.softplus(a - b)) / _LOGISTIC
    log_slope = pt.log(spread) - pt.softplus(b - a)
    if is_between.any():
        between = pm.Data("is_between", is_between.astype(float), dims="beyond")
        bottom = pm.Data("beyond_bottom", np.where(is_between, low, 0.0), dims="beyond")
        width = pm.Data("beyond_width", np.where(is_between, high - low, 1.0), dims="beyond")
        share = pt.sigmoid(_LOGISTIC * x)
        value = pt.switch(between, bottom + width * share, value)
        inside = pt.log(_LOGISTIC * width) - pt.softplus(_LOGISTIC * x) - pt.softplus(-_LOGISTIC * x)
        log_slope = pt.switch(between, inside, log_slope)
    if is_free.any():  # no limit: the quantile of the normal itself
        free = pm.Data("is_free", is_free.astype(float), dims="beyond")
        value, log_slope = pt.switch(free, centre + spread * x, value), pt.switch(free, pt.log(spread), log_slope)
    pm.Deterministic("log2_beyond", value, dims="beyond")
    blank = pt.zeros_like(mean)
    latent = pt.set_subtensor(blank[subject, analyte, time], value)
    of_cells = pt.zeros_like(mean[..., 0])[subject, analyte]
    return latent, pt.inc_subtensor(of_cells, log_slope - log_standard_normal(x))


def _given_detected(
    data: xr.Dataset, logs: np.ndarray, mean: Tensor, columns: Tensor, covariance: Tensor, sd: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and sd of every value beyond a limit, given the detected values of its cell: shape (beyond,)."""
    import pymc as pm
    import pytensor.tensor as pt

    from bayesdep.numerics.random_effects import of_curves, products_of

    kind, design = kinds_of(data), data["marker_deviation_columns"].values
    cells, size = np.nonzero((kind > 0).any(axis=2)), design.shape[-1]
    person, marker = (pm.Data(f"cell_{w}", x) for w, x in zip(("subject", "analyte"), cells, strict=True))
    is_detected = (kind[cells] == 0).astype(float)
    of_cells = products_of(design[cells[0]], is_detected)
    known = of_curves(
        pm.Data("cell_values", logs[cells]),
        mean[person, marker],
        pt.specify_shape(columns[person, 0], (None, None, size)),
        covariance[marker],
        sd[marker],
        pm.Data("cell_detected", is_detected),
        pt.specify_shape(pm.Data("cell_products", of_cells), (None, size, size)),
    )
    at = np.nonzero(kind > 0)
    number = np.full(kind.shape[:2], -1)
    number[cells] = np.arange(len(cells[0]))
    cell = pm.Data("cell_of_beyond", number[at[0], at[1]])
    here = pm.Data("beyond_columns", design[at[0], at[2]])
    centre = mean[person, marker][cell, pm.Data("time_of_beyond", at[2])] + (here * known.mean[cell]).sum(axis=-1)
    along = (here[:, :, None] * known.covariance[cell]).sum(axis=1)
    return centre, pt.sqrt(sd[marker][cell] ** 2 + (along * here).sum(axis=-1))
