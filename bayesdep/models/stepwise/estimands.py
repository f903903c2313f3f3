"""What stepwise remission is asked for: each step's probability, and remission over all steps under two assumptions."""

import numpy as np
import xarray as xr

from bayesdep.models.model import estimand
from bayesdep.models.stepwise.settings import StepwiseSettings


def estimands(settings: StepwiseSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive probabilities of remission and their contrasts.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of ``remission``.
    data
        The prepared data.

    Returns
    -------
    xarray.Dataset
        As :meth:`bayesdep.models.stepwise.model.Stepwise.estimands` returns it.
    """
    remission = posterior["remission"].transpose("chain", "draw", "cell")
    by_name = {
        "remission": estimand(
            remission, "probability of remission once the step is entered", "probability", null=np.nan
        )
    }
    if data.sizes["contrast"]:
        values = remission.values
        difference = xr.DataArray(
            values[..., data["cell_of"].values] - values[..., data["other_of"].values],
            {"chain": remission["chain"], "draw": remission["draw"], "contrast": data["contrast"].values},
            ("chain", "draw", "contrast"),
        )
        by_name["difference"] = estimand(difference, "difference in the probability of remission", "probability")
        if settings.arm is not None:
            by_name["number_needed_to_treat"] = estimand(
                1 / difference,
                "number needed to treat (above 0) or harm (below 0) for a remission, against the step's first arm",
                "patients",
                reciprocal_of="difference",
            )
    if settings.arm is None:
        by_name |= _over_steps(remission, data)
    return xr.Dataset(by_name)


def _over_steps(remission: xr.DataArray, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Remission up to each step: if nobody had left, and with all who left counted as not remitted."""
    coords = {"chain": remission["chain"], "draw": remission["draw"], "step": data["step"].values}
    dims = ("chain", "draw", "step")
    values, entered = remission.values, data["entered"].values
    nobody_leaves = xr.DataArray(1 - np.cumprod(1 - values, axis=-1), coords, dims)
    of_all = xr.DataArray(np.cumsum(values * entered, axis=-1) / entered[0], coords, dims)
    return {
        "remission_if_nobody_leaves": estimand(
            nobody_leaves,
            "probability of remission up to the step if nobody left between steps and those who left had been like "
            "those who stayed",
            "probability",
            null=np.nan,
        ),
        "remission_of_all": estimand(
            of_all,
            "share of all who entered the first step that remit up to the step, those who left counted as not remitted",
            "probability",
            null=np.nan,
        ),
    }


def crude_shares(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return each cell's share in remission as counted (the middle of an interval), with its standard error."""
    share = ((data["remitted"] + data["remitted_at_most"]) / 2 / data["entered"]).values
    return share, np.sqrt(share * (1 - share) / data["entered"].values)
