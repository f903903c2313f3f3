"""Courses over time: the columns whose coefficients are a course's terms, at any times.

The first column is 1, so its coefficient is the mean over times (of visits, or over the follow-up); the others add up
to zero over visits, or are polynomials and splines of size one, so one prior width suits all of them:

- ``visits``: every planned time has a mean of its own; columns are orthonormal contrasts of the visits. Between visits
  a course is a straight line.
- ``linear``, ``quadratic``: Legendre polynomials of ``2 u - 1``, u from 0 at the first time to 1 at the last.
- ``spline``: a restricted cubic spline (linear beyond its outer knots; Harrell 2015, doi:10.1007/978-3-319-19425-7,
  section 2.4.5), its columns made orthogonal one after the other over the follow-up, each with a largest size of 1.
- ``cyclic``: cosines and sines of one and two cycles per period.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

_GRID = 201  # times over the follow-up at which spline columns are made orthogonal
# Quantiles of the observed times at which knots lie, by their number (Harrell 2015, table 2.3).
_QUANTILES = {3: (0.10, 0.5, 0.90), 4: (0.05, 0.35, 0.65, 0.95), 5: (0.05, 0.275, 0.5, 0.725, 0.95)}


@dataclass(frozen=True)
class Basis:
    """The columns of a course.

    Parameters
    ----------
    course
        Which kind.
    first, last
        The first time and the last, over the outcome and all markers.
    times
        Planned times (visits), or knots (spline), in the table's unit; else empty.
    period
        Length of a cycle; 0 where there is none.
    """

    course: str
    first: float
    last: float
    times: tuple[float, ...] = ()
    period: float = 0.0

    def to_attrs(self) -> dict[str, Any]:
        """Return the basis as attrs that a NetCDF file can hold."""
        return {
            "course": self.course, "first": self.first, "last": self.last, "times": np.array(self.times, dtype=float),
            "period": self.period,
        }  # fmt: skip

    @classmethod
    def from_attrs(cls, attrs: Mapping[str, Any]) -> "Basis":
        """Return the basis that :meth:`to_attrs` wrote."""
        times = tuple(float(t) for t in np.atleast_1d(attrs["times"]))
        return cls(str(attrs["course"]), float(attrs["first"]), float(attrs["last"]), times, float(attrs["period"]))

    @property
    def terms(self) -> list[str]:
        """Names of the columns after the first."""
        return [f"term {k}" for k in range(1, self.columns(np.array([self.first])).shape[-1])]

    def share(self, time: np.ndarray) -> np.ndarray:
        """Return u: 0 at the first time, 1 at the last."""
        return np.asarray((time - self.first) / (self.last - self.first))

    def columns(self, time: np.ndarray) -> np.ndarray:
        """Return the columns at some times.

        Parameters
        ----------
        time
            In the table's unit, any shape.

        Returns
        -------
        numpy.ndarray
            With the columns as last axis, the first of them 1.
        """
        u = self.share(np.asarray(time, dtype=float))
        one = np.ones_like(u)
        if self.course == "visits":
            contrasts = _contrasts(len(self.times))
            along = [np.interp(time, self.times, column) for column in contrasts.T]
            return np.stack([one, *along], axis=-1)
        if self.course == "cyclic":
            angle = 2 * np.pi * np.asarray(time, dtype=float) / self.period
            return np.stack([one, np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=-1)
        if self.course == "spline":
            return self._spline(u)
        x = 2 * u - 1
        return np.stack([one, x, *([(3 * x**2 - 1) / 2] if self.course == "quadratic" else [])], axis=-1)

    def _spline(self, u: np.ndarray) -> np.ndarray:
        knots = self.share(np.array(self.times))
        grid = np.linspace(0, 1, _GRID)
        root = np.linalg.qr(restricted_cubic(grid, knots), mode="r")
        columns, on_grid = (np.moveaxis(
            linalg.solve_triangular(root, restricted_cubic(x, knots).reshape(-1, len(root)).T, trans="T"), 0, -1
        ).reshape(*x.shape, len(root)) for x in (u, grid))  # fmt: skip
        # at most 1 in size, and positive at the last time, so that signs do not depend on rounding
        return np.asarray(columns / (np.abs(on_grid).max(axis=0) * np.where(on_grid[-1] < 0, -1.0, 1.0)))

    def since_first(self, time: np.ndarray) -> np.ndarray:
        """Return the columns after the first less their values at the first time, for arms that start equal.

        Parameters
        ----------
        time
            In the table's unit, any shape.

        Returns
        -------
        numpy.ndarray
            With the columns as last axis.
        """
        return np.asarray((self.columns(time) - self.columns(np.array(self.first)))[..., 1:])


def basis_of(
    course: str, first: float, last: float, observed: np.ndarray, *, knots: int, period: float | None
) -> Basis:
    """Find the columns of a course from the times at which something was observed.

    Parameters
    ----------
    course
        Which kind.
    first, last
        The first time and the last, over the outcome and all markers.
    observed
        The times of every observation.
    knots
        Number of a spline's knots.
    period
        Length of a cycle.

    Returns
    -------
    Basis
        Its planned times are the different ones that were observed; its knots lie at their quantiles.
    """
    if course == "visits":
        return Basis(course, first, last, tuple(float(t) for t in np.unique(observed)))
    if course == "spline":
        places = np.quantile(observed, _QUANTILES[knots])
        if len(np.unique(places)) < knots:  # many observations at few times
            places = np.quantile(np.unique(observed), _QUANTILES[knots])
        return Basis(course, first, last, tuple(float(t) for t in places))
    return Basis(course, first, last, (), float(period or 0.0))


def restricted_cubic(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return 1, x and the terms of a restricted cubic spline.

    Parameters
    ----------
    x
        Where, any shape.
    knots
        Rising.

    Returns
    -------
    numpy.ndarray
        With the columns as last axis, as many as knots.

    Examples
    --------
    >>> restricted_cubic(np.array([0.0, 1.0]), np.array([0.0, 0.5, 1.0])).round(3).tolist()
    [[1.0, 0.0, 0.0], [1.0, 1.0, 0.75]]
    """
    last, before = knots[-1], knots[-2]

    def cubed(knot: float) -> np.ndarray:
        return np.maximum(x - knot, 0.0) ** 3

    terms = [
        (cubed(k) - cubed(before) * (last - k) / (last - before) + cubed(last) * (before - k) / (last - before))
        / (last - knots[0]) ** 2
        for k in knots[:-2]
    ]
    return np.stack([np.ones_like(x), x, *terms], axis=-1)


def _contrasts(count: int) -> np.ndarray:
    """Orthonormal contrasts, shape (count, count - 1): columns of length 1 that sum to zero."""
    return np.asarray(linalg.helmert(count).T)
