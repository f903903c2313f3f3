"""Directions in which the sampling errors of effects that share people are independent."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesdep.numerics.dependent_effects import groups_of, independent_directions


@dataclass(frozen=True)
class Directions:
    """Directions in which the sampling errors of all effects are independent.

    Parameters
    ----------
    turn
        A direction in each column, orthogonal, shape (units, units).
    variance
        Of the sampling errors along them, shape (units,).
    shared
        How much of each cluster's deviation each direction has, shape (units, clusters); one column of zeros
        without clusters.
    """

    turn: np.ndarray
    variance: np.ndarray
    shared: np.ndarray

    @classmethod
    def of(cls, data: xr.Dataset) -> "Directions":
        """Find the directions from prepared data.

        Parameters
        ----------
        data
            ``se`` and, as far as present, ``covariance`` and ``cluster_of``.

        Returns
        -------
        Directions
            None of them is of two clusters.
        """
        covariance = data["covariance"].values if "covariance" in data else None
        cluster = data["cluster_of"].values if "cluster_of" in data else None
        turn, variance = independent_directions(covariance, data["se"].values, groups_of(covariance, cluster))
        member = np.zeros((len(variance), 1)) if cluster is None else np.eye(data.sizes["cluster"])[cluster]
        return cls(turn, variance, turn.T @ member)
