r"""Ordered categories of patients with levels of their own, each patient's level integrated out.

A patient's rows have the categories y with standardised places ``z = threshold - level`` (row, K - 1), and the
patient's own level is ``sd x``, x standard normal. The log of

    integral of N(x; 0, 1) prod over rows P(y | z - sd x) dx

is found by the trapezoidal rule on an even grid that begins near each patient's mode and ends on both sides where the
integrand has fallen to ``exp(-18)`` of its highest value (it is log-concave under every link). Its error is the
integrand's growth beside the real line (Trefethen and Weideman 2014, doi:10.1137/130932132, theorem 5.1): with spacing
h, at most ``2 G(y) / (exp(2 pi y / h) - 1)`` relative to the integral, where ``|f(x + i b)| <= G(y) f(x)`` for all b
between -y and y, whatever y. Here
``exp(y^2 / 2)`` is from the normal density, and every factor of the likelihood adds, with ``v = sd y``,

    logistic function          |F(u + i v)| <= F(u) / cos(v / 2)
    normal interval            |P(u + i v)| <= P(u) exp(v^2 / 2)
    adjacent, K categories     |P(u + i v)| <= P(u) / cos((K - 1) v / 2)

(of the last, the sum in the denominator is of weights on an arc of (K - 1) v, and no shorter than its projection on the
arc's middle). The largest h, over some y, with ``G(y) exp(-2 pi y / h) = exp(-16)`` is taken: the log integral is right
to about 2e-7 for any data and any sd up to about 50 (beyond, h stays at its least), with 11 to 20 places that matter
for most patients. Slopes are means over the integrand's own distribution (Fisher's identity), by the same places.

Under the logistic links a probability is a product of "ends": ``F(z_k)`` where the patient stopped, ``F(-z_k)`` where
not (``numerics/ordinal.py``; what a cumulative interval has beside, its gap, does not depend on x). With
``q = exp(-z_k) exp(sd x)`` they are ``1 / (1 + q)`` and ``1 / (1 + 1 / q)``, so one exponential a row and one for many
places serve all pairs of the two, and a weight is a quotient of products: no logarithm is taken where these stay
finite. Places are taken 24 at a time, side by side (:mod:`bayesdep.numerics.lanes`); slopes take the inverse of every
end from that of the product, so there is one division for all ends of a place.
"""

import inspect
import math
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numba.extending import register_jitable
from pytensor.gradient import grad_undefined
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from bayesdep.numerics import lanes
from bayesdep.numerics.lanes import LANES, add_shares, highest_of, moment_of, multiply_factors, total_of, weigh
from bayesdep.numerics.ordinal import Distribution, Link
from bayesdep.numerics.types import Tensor

EXPONENT = 16.0  # twice exp(-16) bounds the relative error
_FALL = 2.0  # beyond the exponent: of the log integrand from its highest value, where the grid ends
_FINEST = 0.005  # spacing of the grid, at least
_NEWTON_STEPS = 60
_NEAR = 0.1  # of a standard deviation of the integrand, to its mode
_FARTHEST = 300.0  # size of z and of sd x beyond which exponentials are capped: a probability of 1e-130
_FULL = 600.0  # log of a product, before its logarithm is taken
_STEEP = 300.0  # of the normal's log density over places side by side, beyond which each is computed by itself
# rows of what is computed side by side
_WEIGHT, _OF_STOPS, _OF_OTHERS, _UP, _DOWN, _PRODUCT, _INVERSE, _SHIFT = range(8)
_DIFFERENTIATED = 3  # of the operation's inputs, the first: z, gaps, sd
_ANGLES = np.array([0.1, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4, 2.6, 2.8, 3.0])
_GROWTH = -np.log(np.cos(_ANGLES / 2))  # of one logistic factor
_ERRORS = "numpy"  # a division is not checked for zero before it, which would keep loops from being vectorised


def _step[Function: Callable[..., Any]](function: Function) -> Function:
    """A step of the computation: plain Python until compiled code calls it, then compiled as that code is."""
    registered: Function = register_jitable(error_model=_ERRORS)(function)
    return registered


def _step_in_place[Function: Callable[..., Any]](function: Function) -> Function:
    """A step whose compiled code stands where it is called: a call costs as much as the arithmetic of a patient."""
    registered: Function = register_jitable(error_model=_ERRORS, inline="always")(function)
    return registered


@_step
def _spacing(sd: float, factors: float, angle: float, exponent: float) -> float:
    """The widest grid for so many logistic factors whose argument turns ``angle`` times as fast as sd x."""
    turn, widest = max(sd * angle, 1e-3), 0.0
    for k in range(len(_ANGLES)):
        y = _ANGLES[k] / turn
        widest = max(widest, 2.0 * np.pi * y / (exponent + y * y / 2.0 + factors * _GROWTH[k]))
    return max(widest, _FINEST)


@_step
def _spacing_of_normal(sd: float, factors: float, exponent: float) -> float:
    """The widest grid for so many normal intervals."""
    return max(2.0 * np.pi / np.sqrt(2.0 * exponent * (1.0 + factors * sd * sd)), _FINEST)


def spacing(sd: float, factors: int, thresholds: int, *, link: Link, distribution: Distribution) -> float:
    """Return the widest grid for the mean of a probability over patients' own levels, as exact as the integrals here.

    Parameters
    ----------
    sd
        Of patients' own levels.
    factors
        Of how many factors a category's probability is a product.
    thresholds
        K - 1.
    link, distribution
        As of :func:`patient_log_integrals`.

    Returns
    -------
    float
        In standard deviations of patients' own levels.

    Examples
    --------
    >>> round(spacing(1.5, 1, 3, link="cumulative", distribution="logit"), 2)
    0.61
    """
    if distribution == "probit":
        return float(_spacing_of_normal(sd, factors, EXPONENT))
    return float(_spacing(sd, factors, thresholds if link == "adjacent" else 1, EXPONENT))


@_step
def _newton(x: float, slope: float, curvature: float, low: float, high: float) -> tuple[float, float, float, bool]:
    """The next place on the way to a mode that lies between two bounds, the bounds, and whether it is near enough."""
    if slope > 0.0:
        low = x
    else:
        high = x
    move = min(max(slope / curvature, -2.0), 2.0)
    if not low <= x + move <= high:
        move = (low + high) / 2.0 - x
    return x + move, low, high, abs(move) * np.sqrt(curvature) < _NEAR


# Logistic links: products of ends


def integrals_of_ends(
    z: np.ndarray, gaps: np.ndarray, sd: np.ndarray, category: np.ndarray, start: np.ndarray, exponent: np.ndarray,
    kind: np.ndarray,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Integrate patients' levels out of probabilities that are products of logistic functions.

    Parameters
    ----------
    z
        Thresholds less levels, without patients' own: (row, K - 1).
    gaps
        Not used here: (row, 0) or (row, K - 2).
    sd
        Of patients' levels: ().
    category
        Of every row, rows of a patient together: (row,).
    start
        The first row of every patient, and the number of rows: (patient + 1,).
    exponent
        Minus the logarithm of the relative error: ().
    kind
        0: of the cumulative link the threshold below and the one above; 1: of the continuation link all thresholds up
        to the category's: ().

    Returns
    -------
    tuple of numpy.ndarray
        The log integral of every patient, and its derivatives by ``z``, ``gaps`` and ``sd`` (patient,).
    """
    patients, thresholds = len(start) - 1, z.shape[1]
    log_integral, d_z, d_gaps, d_sd = np.empty(patients), np.zeros(z.shape), np.zeros(gaps.shape), np.empty(patients)
    spread, form, least = float(sd[()]), int(kind[()]), float(exponent[()])
    fall, most = np.exp(-least - _FALL), 1
    for i in range(patients):
        most = max(most, (start[i + 1] - start[i]) * (thresholds if form == 1 else min(thresholds, 2)))
    odds, row_of, end_of = np.empty(most), np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    above, before, shares, work = np.empty((most, LANES)), np.empty((most, LANES)), np.empty(most), np.empty((8, LANES))
    spaces, grids, bell = np.zeros(most + 1), np.empty((most + 1, 2, LANES)), np.empty((most + 1, LANES))
    for i in range(patients):
        ends, stops, highest = _ends_of(z, category, start[i], start[i + 1], form, odds, row_of, end_of)
        mode = _mode_of_ends(odds, stops, ends, spread)
        if spaces[ends] == 0.0:
            spaces[ends] = _spacing(spread, ends, 1.0, least)
            _fill_grid(grids, bell, ends, spread, spaces[ends])
        log_integral[i], d_sd[i], total = _sum_of_ends(
            odds, stops, ends, highest, spread, mode, spaces[ends], fall, grids, bell, above, before, shares, work
        )
        for e in range(ends):
            d_z[row_of[e], end_of[e]] = shares[e] / total if e < stops else -shares[e] / total
    return log_integral, d_z, d_gaps, d_sd


@_step_in_place
def _ends_of(
    z: np.ndarray, category: np.ndarray, first: int, last: int, kind: int, odds: np.ndarray, row_of: np.ndarray,
    end_of: np.ndarray,
) -> tuple[int, int, float]:  # fmt: skip
    """Fill in a patient's ends, those that stop first, and their odds; return both numbers and the highest log odds."""
    ends, highest, thresholds = 0, -_FARTHEST, z.shape[1]
    for row in range(first, last):
        y = category[row]
        if y < thresholds:
            place = min(max(-z[row, y], -_FARTHEST), _FARTHEST)
            odds[ends], row_of[ends], end_of[ends] = np.exp(place), row, y
            highest, ends = max(highest, place), ends + 1
    stops = ends
    for row in range(first, last):
        y = category[row]
        for k in range(0 if kind == 1 else max(y - 1, 0), y):
            place = min(max(z[row, k], -_FARTHEST), _FARTHEST)
            odds[ends], row_of[ends], end_of[ends] = np.exp(place), row, k
            highest, ends = max(highest, place), ends + 1
    return ends, stops, highest


@_step_in_place
def _mode_of_ends(odds: np.ndarray, stops: int, ends: int, sd: float) -> float:
    """Near where a patient's integrand is largest."""
    x, low, high = 0.0, -np.inf, np.inf
    for _ in range(_NEWTON_STEPS):
        up = np.exp(min(max(sd * x, -_FARTHEST), _FARTHEST))
        down = 1.0 / up
        slope, curvature = 0.0, 0.0
        for e in range(stops):
            share = 1.0 / (1.0 + odds[e] * up)
            slope -= 1.0 - share
            curvature += share * (1.0 - share)
        for e in range(stops, ends):
            share = 1.0 / (1.0 + odds[e] * down)
            slope += 1.0 - share
            curvature += share * (1.0 - share)
        x, low, high, near = _newton(x, sd * slope - x, 1.0 + sd * sd * curvature, low, high)
        if near:
            break
    return x


@_step
def _fill_grid(grids: np.ndarray, bell: np.ndarray, ends: int, sd: float, space: float) -> None:
    """Fill in how ``exp(sd x)``, ``exp(-sd x)`` and ``exp(-x^2 / 2)`` change over places side by side, from 0 on."""
    for k in range(LANES):
        grids[ends, 0, k], grids[ends, 1, k] = np.exp(sd * space * k), np.exp(-sd * space * k)
        bell[ends, k] = np.exp(-((space * k) ** 2) / 2.0)


@_step_in_place
def _sum_of_ends(
    odds: np.ndarray, stops: int, ends: int, highest: float, sd: float, mode: float, space: float, fall: float,
    grids: np.ndarray, bell: np.ndarray, above: np.ndarray, before: np.ndarray, shares: np.ndarray, work: np.ndarray,
) -> tuple[float, float, float]:  # fmt: skip
    """A patient's log integral, its derivative by sd and the sum of weights; fill in every end's shares of these.

    Places are taken ``LANES`` at a time: first those around the mode, then on its right and its left.
    """
    for e in range(ends):
        shares[e] = 0.0
    whole, by_sd, base, top = 0.0, 0.0, 0.0, 0.0
    low, high = False, False  # whether the integrand has fallen there
    left = right = -(LANES // 2)
    while not (low and high):
        if not high:
            place = right
            right += LANES
        else:
            left -= LANES
            place = left
        moved = space * place
        base = _weigh_places(
            odds,
            stops,
            ends,
            highest,
            sd,
            mode,
            moved,
            space,
            grids,
            bell,
            above,
            before,
            work,
            base,
            right - left == LANES,
        )
        add_shares(above, before, shares, work, _OF_OTHERS, _WEIGHT, _INVERSE, stops, ends)
        add_shares(above, before, shares, work, _OF_STOPS, _WEIGHT, _INVERSE, 0, stops)
        whole += total_of(work, _WEIGHT)
        by_sd += moment_of(work, _OF_OTHERS, _OF_STOPS, mode + moved, space)
        top = max(top, highest_of(work, _WEIGHT))
        if place == left:  # what is no number has fallen too
            low = not work[_WEIGHT, 0] >= top * fall
        if place + LANES == right:
            high = not work[_WEIGHT, LANES - 1] >= top * fall
    constant = mode * mode / 2.0 + np.log(2.0 * np.pi) / 2.0 + base
    return np.log(whole * space) - constant, by_sd / whole, whole


@_step_in_place
def _weigh_places(
    odds: np.ndarray, stops: int, ends: int, highest: float, sd: float, mode: float, moved: float, space: float,
    grids: np.ndarray, bell: np.ndarray, above: np.ndarray, before: np.ndarray, work: np.ndarray, base: float,
    first: bool,
) -> float:  # fmt: skip
    """Fill in the integrand at places side by side from ``mode + moved`` on, and every end's odds and 1.

    It is over ``exp(-mode^2 / 2 - base)``. A product of so many ends that it may overflow is taken in parts, with the
    logarithm of each; then ``base`` is what the first places have at the mode. Returns base.
    """
    own = min(max(sd * (mode + moved), -_FARTHEST), _FARTHEST)
    factor = np.exp(own)
    inverse = 1.0 / factor
    for k in range(LANES):
        work[_UP, k], work[_DOWN, k] = factor * grids[ends, 0, k], inverse * grids[ends, 1, k]
        work[_PRODUCT, k], work[_SHIFT, k] = 1.0, 0.0
    reach = max(abs(own), abs(own + sd * space * (LANES - 1)))
    finite = _FULL / (max(highest + reach, 0.0) + 0.7)
    together = int(finite) if finite > 1.0 else 1
    done = min(together, ends)
    multiply_factors(above, before, odds, work, _PRODUCT, _UP, 0, min(done, stops))
    multiply_factors(above, before, odds, work, _PRODUCT, _DOWN, stops, done)
    while done < ends:
        for k in range(LANES):
            work[_SHIFT, k] += np.log(work[_PRODUCT, k])
            work[_PRODUCT, k] = 1.0
        until = min(done + together, ends)
        multiply_factors(above, before, odds, work, _PRODUCT, _UP, done, min(until, stops))
        multiply_factors(above, before, odds, work, _PRODUCT, _DOWN, max(done, stops), until)
        done = until
    base = work[_SHIFT, LANES // 2] if first else base
    if together < ends or base != 0.0:
        for k in range(LANES):
            work[_PRODUCT, k] *= np.exp(work[_SHIFT, k] - base)
    _weigh_by_normal(mode, moved, space, bell, ends, work)
    if together < ends or base != 0.0:  # there is no product of the factors alone: each has an inverse of its own
        for k in range(LANES):
            work[_INVERSE, k] = 1.0
            for e in range(ends):
                before[e, k], above[e, k] = 1.0 / above[e, k], 1.0
    return base


@_step_in_place
def _weigh_by_normal(mode: float, moved: float, space: float, bell: np.ndarray, ends: int, work: np.ndarray) -> None:
    """Fill in ``exp((mode^2 - x^2) / 2)`` over the product, and one over it, at places from ``mode + moved`` on."""
    x = mode + moved
    if abs(x) * space * LANES > _STEEP or abs(moved * (mode + x)) > _STEEP:
        for k in range(LANES):
            d = moved + space * k
            work[_INVERSE, k] = 1.0 / work[_PRODUCT, k]
            work[_WEIGHT, k] = np.exp(-d * (2.0 * mode + d) / 2.0) * work[_INVERSE, k]
        return
    value, ratio = np.exp(-moved * (mode + x) / 2.0), np.exp(-x * space)
    weigh(work, bell, ends, _WEIGHT, _PRODUCT, _INVERSE, value, ratio)


# Any link


def integrals_of_rows(
    z: np.ndarray, gaps: np.ndarray, sd: np.ndarray, category: np.ndarray, start: np.ndarray, exponent: np.ndarray,
    kind: np.ndarray,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Integrate patients' levels out of probabilities of any form.

    Parameters
    ----------
    z, gaps, sd, category, start, exponent
        As of :func:`integrals_of_ends`; gaps are used where ``kind`` is 2.
    kind
        2: the cumulative link, normal; 3: the continuation link, normal; 4: the adjacent link: ().

    Returns
    -------
    tuple of numpy.ndarray
        As of :func:`integrals_of_ends`.
    """
    patients, thresholds = len(start) - 1, z.shape[1]
    log_integral, d_z, d_gaps, d_sd = np.empty(patients), np.zeros(z.shape), np.zeros(gaps.shape), np.empty(patients)
    most = 1
    for i in range(patients):
        most = max(most, start[i + 1] - start[i])
    slopes, by_gap = np.zeros((most, thresholds)), np.zeros((most, max(gaps.shape[1], 1)))
    spread, form, least = float(sd[()]), int(kind[()]), float(exponent[()])
    fall = least + _FALL
    for i in range(patients):
        first, last = start[i], start[i + 1]
        mode = _mode_of_rows(z, gaps, spread, category, first, last, form, slopes, by_gap)
        if form == 4:
            space = _spacing(spread, last - first, thresholds, least)
        else:
            factors = (last - first) * (thresholds if form == 3 else 1)
            space = _spacing_of_normal(spread, factors, least)
        total, by_sd, level, top = 0.0, 0.0, 0.0, 0.0
        for direction in (1, -1):
            place = 0 if direction == 1 else -1
            while True:
                x = mode + space * place
                height, slope = -x * x / 2.0, 0.0
                for row in range(first, last):
                    height += _row(
                        z, gaps, row, spread * x, category[row], form, slopes[row - first], by_gap[row - first]
                    )[0]
                if place == 0:
                    level = top = height
                top = max(top, height)
                if not height - top >= -fall:  # what is no number, and nothing beside nothing, has fallen too
                    break
                weight = np.exp(height - level)
                total += weight
                for row in range(first, last):
                    for k in range(thresholds):
                        d_z[row, k] += weight * slopes[row - first, k]
                        slope -= slopes[row - first, k]
                    for k in range(gaps.shape[1]):
                        d_gaps[row, k] += weight * by_gap[row - first, k]
                by_sd += weight * x * slope
                place += direction
        if not total > 0.0:  # no number, or nothing: what the first place has
            log_integral[i], d_sd[i] = level, np.nan
            continue
        log_integral[i], d_sd[i] = level + np.log(total * space) - np.log(2.0 * np.pi) / 2.0, by_sd / total
        for row in range(first, last):
            for k in range(thresholds):
                d_z[row, k] /= total
            for k in range(gaps.shape[1]):
                d_gaps[row, k] /= total
    return log_integral, d_z, d_gaps, d_sd


@_step
def _mode_of_rows(
    z: np.ndarray, gaps: np.ndarray, sd: float, category: np.ndarray, first: int, last: int, kind: int,
    slopes: np.ndarray, by_gap: np.ndarray,
) -> float:  # fmt: skip
    """Near where a patient's integrand is largest."""
    x, low, high = 0.0, -np.inf, np.inf
    for _ in range(_NEWTON_STEPS):
        slope, curvature = -x, 1.0
        for row in range(first, last):
            _, bent = _row(z, gaps, row, sd * x, category[row], kind, slopes[0], by_gap[0])
            curvature += sd * sd * bent
            for k in range(slopes.shape[1]):
                slope -= sd * slopes[0, k]
        x, low, high, near = _newton(x, slope, curvature, low, high)
        if near:
            break
    return x


@_step
def _row(
    z: np.ndarray, gaps: np.ndarray, row: int, own: float, y: int, kind: int, slopes: np.ndarray, by_gap: np.ndarray
) -> tuple[float, float]:
    """A row's log probability and minus its second derivative by the patient's level; fill in slopes by z and gaps."""
    for k in range(len(slopes)):
        slopes[k] = 0.0
    for k in range(len(by_gap)):
        by_gap[k] = 0.0
    if kind == 4:
        return _adjacent_row(z, row, own, y, slopes)
    last = z.shape[1]
    if kind == 3 or y == 0 or y == last:
        log_p, bent = 0.0, 0.0
        for k in range(0 if kind == 3 else max(y - 1, 0), min(y, last - 1) + 1):
            sign = 1.0 if k == y else -1.0
            log_tail, hazard = _log_tail(sign * (z[row, k] - own))
            log_p += log_tail
            slopes[k] = sign * hazard
            bent += hazard * (hazard + sign * (z[row, k] - own))
        return log_p, bent
    return _interval_row(z[row, y - 1] - own, gaps[row, y - 1], y, slopes, by_gap)


@_step
def _interval_row(lower: float, gap: float, y: int, slopes: np.ndarray, by_gap: np.ndarray) -> tuple[float, float]:
    """A normal interval from ``lower``, ``gap`` wide: on the left of zero, where no tail is near 1."""
    mirror = lower + gap / 2.0 > 0.0
    a = -lower - gap if mirror else lower
    b = a + gap
    log_above, hazard = _log_tail(b)
    # phi(a) / phi(b), and P over phi(b)
    ratio = np.exp(gap * (a + b) / 2.0)
    if gap * max(abs(a + b) / 2.0, 1.0) < 1e-4:
        share = gap * (1.0 - gap * (-b) / 2.0)
    else:
        log_below, _ = _log_tail(a)
        share = -np.expm1(log_below - log_above) / hazard
    log_p = np.log(share) - b * b / 2.0 - np.log(2.0 * np.pi) / 2.0
    at_b, at_a = 1.0 / share, ratio / share
    moved = -np.expm1(gap * (a + b) / 2.0) / share  # (phi(b) - phi(a)) / P
    bent = moved * moved + (b * at_b - a * at_a)
    slopes[y - 1] = -moved if mirror else moved
    by_gap[y - 1] = at_a if mirror else at_b
    return log_p, bent


@_step
def _log_tail(z: float) -> tuple[float, float]:
    """The log of the normal distribution function, and its derivative."""
    if z > -5.0:
        below = math.erfc(-z / np.sqrt(2.0)) / 2.0
        return np.log(below), np.exp(-z * z / 2.0) / (np.sqrt(2.0 * np.pi) * below)
    # Laplace's continued fraction of the scaled tail (Abramowitz and Stegun 26.2.14), 40 terms
    fraction = -z
    for k in range(40, 0, -1):
        fraction = -z + k / fraction
    return -z * z / 2.0 - np.log(2.0 * np.pi) / 2.0 - np.log(fraction), fraction


@_step
def _adjacent_row(z: np.ndarray, row: int, own: float, y: int, slopes: np.ndarray) -> tuple[float, float]:
    """The adjacent link: the log of 1 and the others' odds."""
    mean, square, score, top = 0.0, 0.0, 0.0, 0.0
    for k in range(y, z.shape[1]):
        score -= z[row, k] - own
        top = max(top, score)
    score = 0.0
    for k in range(y - 1, -1, -1):
        score += z[row, k] - own
        top = max(top, score)
    others = np.exp(-top)
    for sign in (1, -1):
        score = 0.0
        for step in range(1, z.shape[1] + 1):
            k = y + step if sign == 1 else y - step
            if k < 0 or k > z.shape[1]:
                break
            score += -(z[row, k - 1] - own) if sign == 1 else z[row, k] - own
            weight = np.exp(score - top)
            others += weight
            mean += weight * (k - y)
            square += weight * (k - y) * (k - y)
            if sign == 1:
                for j in range(y, k):
                    slopes[j] += weight
            else:
                for j in range(k, y):
                    slopes[j] -= weight
    for k in range(len(slopes)):
        slopes[k] /= others
    mean /= others
    return -top - np.log(others), square / others - mean * mean


# As an operation of PyTensor


class PatientIntegrals(Op):  # type: ignore[misc]  # PyTensor is not typed
    """The log integral of every patient, with its slopes as further outputs.

    Parameters
    ----------
    of_ends
        Whether probabilities are products of logistic functions.
    """

    __props__ = ("of_ends",)

    def __init__(self, of_ends: bool) -> None:
        self.of_ends = of_ends

    def make_node(self, *inputs: Any) -> Apply:
        """Take the arguments of :func:`integrals_of_ends`."""
        kinds = ("float64",) * _DIFFERENTIATED + ("int64", "int64", "float64", "int64")
        arguments = [pt.as_tensor_variable(x).astype(dtype) for x, dtype in zip(inputs, kinds, strict=True)]
        z, gaps = arguments[0].type.shape, arguments[1].type.shape
        shapes = [(None,), (None, z[1]), (None, gaps[1]), (None,)]
        return Apply(self, arguments, [pt.TensorType("float64", shape=shape)() for shape in shapes])

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:  # noqa: ARG002  (PyTensor's)
        """Compute it in plain Python: where nothing is compiled, it is needed once."""
        function = integrals_of_ends if self.of_ends else integrals_of_rows
        for storage, value in zip(outputs, function(*inputs), strict=True):
            storage[0] = value

    def infer_shape(self, node: Any, shapes: Any) -> Any:  # noqa: ARG002  (PyTensor's)
        """Return the shapes of the outputs."""
        patients = (shapes[4][0] - 1,)
        return [patients, shapes[0], shapes[1], patients]

    def pullback(self, inputs: Any, outputs: Any, output_grads: Any) -> Any:
        """Return the derivatives by z, gaps and sd; data have none, and slopes none of their own."""
        _, d_z, d_gaps, d_sd = outputs
        of_patient, start = output_grads[0], inputs[4]
        rows = pt.arange(inputs[0].shape[0])
        patient_of = pt.searchsorted(start, rows, side="right") - 1
        of_row = of_patient[patient_of][:, None]
        rest = enumerate(inputs[_DIFFERENTIATED:], start=_DIFFERENTIATED)
        slopes = [of_row * d_z, of_row * d_gaps, (of_patient * d_sd).sum()]
        return slopes + [grad_undefined(self, i, x, "data") for i, x in rest]


@register_funcify_default_op_cache_key(PatientIntegrals)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _compiled(op: Any, **kwargs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    # with fast mathematics, new code and the same code from disk differ in the last digit (inference/native.py);
    # the number tells PyTensor's cache on disk one version of the steps from another
    function = integrals_of_ends if op.of_ends else integrals_of_rows
    source = "".join(inspect.getsource(module) for module in (sys.modules[__name__], lanes))
    return numba_njit(function, fastmath=False, error_model=_ERRORS), zlib.crc32(source.encode())


_KINDS = {
    ("cumulative", "logit"): 0, ("continuation", "logit"): 1, ("cumulative", "probit"): 2,
    ("continuation", "probit"): 3, ("adjacent", "logit"): 4,
}  # fmt: skip


def patient_log_integrals(
    category: Tensor,
    start: Tensor,
    thresholds: Tensor,
    gaps: Tensor,
    level: Tensor,
    sd: Tensor,
    *,
    link: Link = "cumulative",
    distribution: Distribution = "logit",
    exponent: float = EXPONENT,
) -> Tensor:
    """Return the log probability of every patient's categories, the patient's own level integrated out.

    Parameters
    ----------
    category
        Of every row, rows of a patient together: shape (rows,).
    start
        The first row of every patient, and the number of rows: shape (patients + 1,).
    thresholds, gaps
        As of :func:`~bayesdep.numerics.ordinal.log_probability_of`.
    level
        Of every row without the patient's own: shape (rows,).
    sd
        Of patients' own levels: ().
    link, distribution
        As there.
    exponent
        Minus the logarithm of the relative error of an integral.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (patients,).
    """
    kind = _KINDS[link, distribution]
    categories = thresholds.type.shape[-1] + 1
    z = thresholds - level[:, None]
    rows = pt.zeros((level.shape[0], 1))
    own_gaps = pt.zeros((level.shape[0], 0)) if gaps is None or kind != 2 else gaps + rows
    op = PatientIntegrals(kind < 2)
    log_p = op(z, own_gaps, sd, category, start, np.array(exponent), np.array(kind))[0]
    if kind == 0 and categories > 2:
        inside = pt.clip(category - 1, 0, categories - 3)
        of_gap = pt.log1mexp(-gaps)
        of_row = of_gap[inside] if gaps.ndim == 1 else of_gap[pt.arange(gaps.shape[0]), inside]
        between = pt.and_(category > 0, category < categories - 1)
        of_rows = pt.concatenate([pt.zeros(1), pt.cumsum(pt.switch(between, of_row, 0.0))])
        log_p = log_p + of_rows[start[1:]] - of_rows[start[:-1]]
    return log_p
