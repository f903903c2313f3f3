"""Patients of many studies as sums of products: the sufficient statistics of a Gaussian likelihood.

With z the columns of a patient (one, baseline, moderators) and y the outcomes at one time or two, ``sum z z'``,
``sum z y'`` and ``sum y y'`` over the patients of one study, arm and pattern of missing outcomes are sufficient for any
coefficients and variances. The cost of a density then does not grow with patients.
"""

import numpy as np
import xarray as xr

FIRST, SECOND = "mean", "product"


def statistics_of(times: int) -> list[tuple[int, ...]]:
    """Return what is kept of the outcomes of a group of patients: the mean at each time, then sums of products.

    Parameters
    ----------
    times
        How many times there are.

    Returns
    -------
    list of tuple
        The time of each mean, and both times of each sum of products of deviations from the means.
    """
    return [(t,) for t in range(times)] + [(t, s) for t in range(times) for s in range(t + 1)]


def sum_products(data: xr.Dataset, *, free: bool) -> xr.Dataset:
    """Sum the products of patients' columns and outcomes by study, pattern and arm.

    Parameters
    ----------
    data
        As :func:`~bayesdep.models.patient_meta.data.read_patients` returns it.
    free
        Whether studies' levels have flat priors.

    Returns
    -------
    xarray.Dataset
        ``cross`` (study, pattern, arm, column, other), ``projected`` (study, pattern, arm, column, time),
        ``outcomes`` (study, pattern, arm, statistic; as :func:`statistics_of` lists them, zero where nobody was seen),
        ``seen`` (pattern, time) and ``proper`` (study, deviation; by time a study's level before its effect: 0 where a
        level is free and there is an outcome to know it by, 1 elsewhere). Outcomes are standardised.
    """
    y = (data["outcome"].values - data["outcome_mean"].values) / data["outcome_sd"].values
    seen = ~np.isnan(y)
    z = columns_of(data)
    patterns, which = np.unique(seen, axis=0, return_inverse=True)
    # all times first, so that the common pattern's place does not depend on which others there are
    order = np.argsort(-patterns.sum(axis=1), kind="stable")
    patterns, which = patterns[order], np.argsort(order)[which.ravel()]
    studies, arms, times = data.sizes["study"], data.sizes["arm"], y.shape[1]
    shape = (studies, len(patterns), arms)
    cell = np.ravel_multi_index((data["study_of"].values, which, data["arm_of"].values), shape)
    rows = np.argsort(cell, kind="stable")
    ends = np.searchsorted(cell[rows], np.arange(np.prod(shape) + 1))
    cross = np.zeros((len(ends) - 1, z.shape[1], z.shape[1]))
    projected = np.zeros((len(ends) - 1, z.shape[1], times))
    kept = statistics_of(times)
    outcomes = np.zeros((len(ends) - 1, len(kept)))
    filled = np.where(seen, y, 0.0)
    for i in range(len(ends) - 1):
        here = rows[ends[i] : ends[i + 1]]
        if not len(here):
            continue
        cross[i], projected[i] = z[here].T @ z[here], z[here].T @ filled[here]
        mean = filled[here].mean(axis=0)
        products = (away := (filled[here] - mean) * seen[here]).T @ away
        outcomes[i] = [mean[k[0]] if len(k) == 1 else products[k] for k in kept]
    proper = np.ones((studies, 2 * times))
    if free:
        proper[:, ::2] = np.stack([np.bincount(data["study_of"].values, s, studies) == 0 for s in seen.T], axis=-1)
    cells, times_of = ("study", "pattern", "arm"), data["time"].values.tolist()
    words = [f"{FIRST} {times_of[k[0]]}" if len(k) == 1 else
             f"{SECOND} {' and '.join(dict.fromkeys((times_of[k[1]], times_of[k[0]])))}" for k in kept]  # fmt: skip
    return xr.Dataset(
        {
            "cross": ((*cells, "column", "other"), cross.reshape(*shape, *cross.shape[1:])),
            "projected": ((*cells, "column", "time"), projected.reshape(*shape, *projected.shape[1:])),
            "outcomes": ((*cells, "statistic"), outcomes.reshape(*shape, -1)),
            "seen": (("pattern", "time"), patterns.astype(float)),
            "proper": (("study", "deviation"), proper),
        },
        {
            "column": names_of_columns(data),
            "other": names_of_columns(data),
            "statistic": words,
            "pattern": [" and ".join(np.array(times_of)[p]) for p in patterns],
        },
    )


def means_by_arm(statistics: np.ndarray, data: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means and sums of squares about them by study, arm and time, all patterns of missing outcomes together.

    Parameters
    ----------
    statistics
        Shape (..., study, pattern, arm, statistic), as :func:`statistics_of` lists them.
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Means, sums of squares, (..., study, arm, time), and numbers of patients, (study, arm, time).
    """
    times = data.sizes["time"]
    kept = statistics_of(times)
    squares = [kept.index((t, t)) for t in range(times)]
    n = data["cross"].values[..., 0, 0][..., None] * data["seen"].values[:, None, :]
    count = n.sum(axis=1)
    mean = (n * statistics[..., :times]).sum(axis=-3) / np.maximum(count, 1)
    away = statistics[..., :times] - mean[..., :, None, :, :]
    return mean, (statistics[..., squares] + n * away**2).sum(axis=-3), count


def columns_of(data: xr.Dataset) -> np.ndarray:
    """Return the columns of patients that coefficients multiply: one, the baseline where there is one, moderators.

    Parameters
    ----------
    data
        As :func:`~bayesdep.models.patient_meta.data.read_patients` returns it.

    Returns
    -------
    numpy.ndarray
        Shape (subjects, columns).
    """
    first = [np.ones(data.sizes["subject"])]
    if "baseline" in data:
        first.append(data["baseline"].values)
    return np.column_stack([*first, data["parts"].values])


def names_of_columns(data: xr.Dataset) -> list[str]:
    """Return the names of :func:`columns_of`."""
    return ["one", *(["baseline"] if "baseline" in data else []), *data["part"].values.tolist()]
