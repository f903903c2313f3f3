"""Outcomes of patients drawn from the model."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.replicates import put
from bayesdep.models.patient_meta.events import count_events
from bayesdep.models.patient_meta.products import columns_of, sum_products
from bayesdep.models.patient_meta.scores import coefficients_of, roots_of
from bayesdep.models.patient_meta.settings import PatientMetaSettings


def replicate(
    settings: PatientMetaSettings, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator
) -> xr.Dataset:
    """Draw outcomes patient by patient, which the model itself knows as sums of products only.

    Parameters
    ----------
    settings
        The model's settings.
    data, drawn, rng
        As :meth:`bayesdep.models.patient_meta.model.PatientMeta.replicate` takes them.

    Returns
    -------
    xarray.Dataset
        Everything else as in ``data``.

    Raises
    ------
    BadInput
        Where missing moderators are imputed.
    """
    if settings.missing_moderators == "impute":
        raise BadInput("missing_moderators = 'impute' draws moderators, which calibration does not; use 'omit'")
    times, of, arm = data.sizes["time"], data["study_of"].values, data["arm_of"].values
    one = drawn.expand_dims("sample")
    gamma = coefficients_of(settings, one, data)[0]
    mean = np.einsum("ic,ict->it", columns_of(data), gamma[arm])
    if settings.is_binary:
        deviation = drawn["deviation"].transpose("study", "time", "which").values
    else:  # a free level has a flat prior: that of the draws is of no account
        z = rng.standard_normal((data.sizes["study"], 2 * times))
        deviation = (z @ roots_of(one)[0].T).reshape(-1, times, 2)
    mean = mean + deviation[of, :, 0] + (arm - 0.5)[:, None] * deviation[of, :, 1]
    if settings.is_binary:
        y = (rng.random(mean.shape) < special.expit(mean)).astype(float)
    else:
        noise = rng.standard_normal(mean.shape)
        if times > 1:
            rho = float(drawn["residual_correlation"])
            noise[:, 1] = rho * noise[:, 0] + np.sqrt(1 - rho**2) * noise[:, 1]
        y = mean + drawn["study_sd"].transpose("study", "time").values[of] * noise
        y = data["outcome_mean"].values + data["outcome_sd"].values * y
    told = put(data, outcome=y)
    summed = count_events(told) if settings.is_binary else sum_products(told, free=settings.has_free_levels)
    return told.drop_vars([v for v in summed.variables if v in told.variables]).merge(summed, combine_attrs="override")
