"""What a panel of censored concentrations is asked for: ratios, shares below the limit, changes, ranks, checks."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.cytokines.terms import has_cells
from bayesdep.models.model import Check, estimand
from bayesdep.numerics.tobit import tobit

if TYPE_CHECKING:
    from bayesdep.models.cytokines.model import Cytokines

_T_NODES = 15


def complete(data: xr.Dataset, *, own_centres: bool, substitute: Literal["half", "root2"] | None) -> xr.Dataset:
    """Add to a panel what the model's build needs: centres, group codes, and dims for contrasts.

    Parameters
    ----------
    data
        As :func:`~bayesdep.models.cytokines.data.read_panel` returns it.
    own_centres
        Whether each analyte has a centre of its own, or all have one.
    substitute
        Put a number for each non-detect: its limit divided by 2 or by the square root of 2.

    Returns
    -------
    xarray.Dataset
        With ``centre``, ``group_code`` and dims ``comparison`` and ``later``.
    """
    if substitute is not None:
        is_low = data["kind"] == 1
        fill = data["upper"] - np.log({"half": 2.0, "root2": np.sqrt(2.0)}[substitute])
        data = data.assign({end: data[end].where(~is_low, fill) for end in ("lower", "upper")})
        data = data.assign(kind=data["kind"] * ~is_low)  # 0 is detected
        order = np.argsort(np.array([0, 1, 1, 2])[data["kind"].values], kind="stable")
        data = data.isel(measurement=order)
    known = np.where(np.isfinite(data["upper"]), data["upper"], data["lower"])
    which = data["analyte_of"].values if own_centres else np.zeros(len(known), int)
    centres = np.bincount(which, known) / np.bincount(which)
    people = np.zeros(data.sizes["group"])
    subject, first = np.unique(data["subject_of"].values, return_index=True)
    np.add.at(people, data["group_of"].values[first], 1 / len(subject))
    code = np.eye(data.sizes["group"])[:, 1:] - people[1:]
    return data.assign_coords(comparison=data["group"].values[1:], later=data["time"].values[1:]).assign(
        centre=("analyte", centres if own_centres else np.full(data.sizes["analyte"], centres[0])),
        group_code=(("group", "comparison"), code),
    )


def crude_log_ratios(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Estimate each analyte's log ratios on their own, by censored maximum likelihood at baseline.

    Parameters
    ----------
    data
        A completed panel.

    Returns
    -------
    tuple of numpy.ndarray
        Estimates and standard errors, shape (analyte x comparison,); NaN where there is no maximum.
    """
    effects, errors = [], []
    for a in range(data.sizes["analyte"]):
        rows = data.isel(measurement=np.flatnonzero((data["analyte_of"] == a) & (data["time_of"] == 0)))
        columns = [np.ones(rows.sizes["measurement"]), *np.eye(data.sizes["group"])[rows["group_of"].values, 1:].T]
        columns += list(np.eye(data.sizes["plate"])[rows["plate_of"].values, 1:].T)
        design = np.column_stack(columns)
        comparisons = slice(1, data.sizes["group"])
        fit = tobit(rows["lower"].values, rows["upper"].values, design[:, design.any(axis=0)])
        is_whole = fit.converged and design.any(axis=0)[comparisons].all()
        none = np.full(data.sizes["comparison"], np.nan)
        effects.append(fit.coefficients[comparisons] if is_whole else none)
        errors.append(fit.errors[comparisons] if is_whole else none)
    return np.concatenate(effects), np.concatenate(errors)


def no_crude(shape_of: str) -> Callable[[xr.Dataset], tuple[np.ndarray, np.ndarray]]:
    """Return a stand-in for crude estimates where there are none, one NaN per row of an estimand."""

    def crude(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
        rows = data.sizes["analyte"] * (data.sizes["later"] if shape_of == "log_change" else 1)
        return np.full(rows, np.nan), np.full(rows, np.nan)

    return crude


def expected(model: "Cytokines", posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Return the expected log concentration of each measurement, without the cells' own effects.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws with dim ``sample`` first.
    data
        A completed panel.

    Returns
    -------
    numpy.ndarray
        Shape (samples, measurements).
    """
    analyte, subject = data["analyte_of"].values, data["subject_of"].values
    group, time = data["group_of"].values, data["time_of"].values

    def draws(name: str, *dims: str) -> np.ndarray:
        return np.asarray(posterior[name].transpose("sample", *dims).values)

    eta = (draws("level", "analyte") + data["centre"].values)[:, analyte]
    code, later = data["group_code"].values[group], np.eye(data.sizes["time"])[time, 1:]
    if model.group is not None:
        effect = draws("group_effect", "comparison", "analyte")
        for k in range(code.shape[1]):
            eta += code[:, k] * effect[:, k][:, analyte]
    if model.time is not None:
        effect = draws("time_effect", "later", "analyte")
        for t in range(later.shape[1]):
            eta += later[:, t] * effect[:, t][:, analyte]
    if model.group_by_time:
        effect = draws("interaction", "comparison", "later", "analyte")
        for k in range(code.shape[1]):
            for t in range(later.shape[1]):
                eta += code[:, k] * later[:, t] * effect[:, k, t][:, analyte]
    if model.covariates is not None:
        effect = draws("covariate_effect", "covariate", "analyte")
        for j, x in enumerate(data["covariates"].values.T):
            eta += x * effect[:, j][:, analyte]
    if model.plate is not None:
        plate = posterior["plate_sd"] * posterior["plate_latent"]
        eta += plate.transpose("sample", "analyte", "plate").values[:, analyte, data["plate_of"].values]
    if model.subject is not None and model.analyte is not None:
        eta += draws("subject_effect", "subject")[:, subject]
    if model.shared_factor:
        eta += draws("loading", "analyte")[:, analyte] * draws("factor", "subject")[:, subject]
    return np.asarray(eta)


def _exp(values: xr.DataArray) -> xr.DataArray:
    return values.copy(data=np.exp(values.values))


def estimands(model: "Cytokines", posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.models.cytokines.model.Cytokines`.

    The arithmetic mean of a log-normal concentration is ``exp(m + v / 2)`` with v the variance between new people:
    residual, subjects, factor and cells together. A new person's share below the limit averages over the plates
    used. Student-t residuals have no arithmetic mean on the concentration scale, so there it is left out.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws of its parameters.
    data
        A completed panel.

    Returns
    -------
    xarray.Dataset
        Estimands by name.
    """
    units = sorted(set(map(str, data["unit"].values)))
    unit = units[0] if len(units) == 1 else "the analyte's unit"
    level = posterior["level"] + data["centre"]
    if model.group is not None:
        level = level + xr.dot(data["group_code"], posterior["group_effect"], dim="comparison")
    else:
        level = level.expand_dims(group=data["group"].values, axis=-1)
    level = level.transpose("chain", "draw", "analyte", "group")
    found = {
        "log_level": estimand(level, "log geometric mean at baseline", f"log {unit}", null=np.nan),
        "geometric_mean": estimand(
            _exp(level), "geometric mean at baseline", unit, monotone_of="log_level", null=np.nan
        ),
        "residual_sd": estimand(posterior["residual_sd"], "residual sd of log concentrations", "log", null=np.nan),
    }
    between = xr.zeros_like(posterior["residual_sd"])
    if model.subject is not None and model.analyte is not None:
        between = between + posterior["subject_sd"] ** 2
    if model.shared_factor:
        between = between + posterior["loading"] ** 2
    own = posterior["residual_sd"] ** 2 * (posterior["cell_ratio"] ** 2 if has_cells(model) else 0.0)
    normal = between + own
    shares = _shares_below(model, posterior, data, level, normal)
    found["share_below"] = estimand(
        shares, "share of new people below the detection limit at baseline", "probability", null=np.nan
    )
    if model.group is not None:
        found |= _group_estimands(model, posterior, level, normal, unit)
    if model.time is not None:
        found |= _time_estimands(model, posterior, data)
    if model.covariates is not None:
        effect = posterior["covariate_effect"] / data["covariate_sd"]
        found["covariate_effect"] = estimand(effect, "change of the log concentration per unit", "log ratio")
        found["covariate_ratio"] = estimand(
            _exp(effect), "ratio per unit of the covariate", "ratio", null=1.0, monotone_of="covariate_effect"
        )
    return xr.Dataset(found)


def _group_estimands(
    model: "Cytokines", posterior: xr.Dataset, level: xr.DataArray, normal: xr.DataArray, unit: str
) -> dict[str, xr.DataArray]:
    against = f"against {model.reference}"
    log_ratio = posterior["group_effect"].transpose("chain", "draw", "analyte", "comparison")
    rope = {}
    if model.equivalence is not None:
        rope = {"rope_lower": -float(np.log(model.equivalence)), "rope_upper": float(np.log(model.equivalence))}
    order = np.argsort(np.argsort(-log_ratio.values, axis=2), axis=2) + 1
    found = {
        "log_ratio": estimand(log_ratio, f"log ratio of geometric means {against}", "log ratio", **rope),
        "geometric_mean_ratio": estimand(
            _exp(log_ratio),
            f"ratio of geometric means {against}",
            "ratio",
            null=1.0,
            monotone_of="log_ratio",
            **{k: float(np.exp(v)) for k, v in rope.items()},
        ),
        "rank": estimand(
            log_ratio.copy(data=order.astype(float)), f"rank of the ratio {against}, 1 the largest", "rank", null=np.nan
        ),
        "number_elevated": estimand(
            (log_ratio > 0).sum("analyte").astype(float), f"analytes elevated {against}", "analytes", null=np.nan
        ),
    }
    if "group_mean" in posterior:
        found["mean_log_ratio"] = estimand(
            posterior["group_mean"], f"mean over analytes of the log ratio {against}", "log ratio"
        )
    if "group_sd" in posterior:
        found["log_ratio_sd"] = estimand(
            posterior["group_sd"], "spread of the log ratio over analytes", "log ratio", null=np.nan
        )
    if not model.robust:
        mean = _exp(level + (posterior["residual_sd"] ** 2 + normal) / 2)
        difference = mean.isel(group=slice(1, None)).rename(group="comparison") - mean.isel(group=0, drop=True)
        found["mean_difference"] = estimand(
            difference.transpose("chain", "draw", "analyte", "comparison"),
            f"difference of arithmetic means {against}",
            unit,
        )
    return found


def _time_estimands(model: "Cytokines", posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    change = posterior["time_effect"]
    if model.group_by_time:
        change = change + xr.dot(data["group_code"], posterior["interaction"], dim="comparison")
        change = change.transpose("chain", "draw", "analyte", "later", "group")
    else:
        change = change.transpose("chain", "draw", "analyte", "later")
    ratio = posterior["cell_ratio"] ** 2
    return {
        "log_change": estimand(change, "log ratio to baseline", "log ratio"),
        "ratio_to_baseline": estimand(_exp(change), "ratio to baseline", "ratio", null=1.0, monotone_of="log_change"),
        "intraclass_correlation": estimand(
            ratio / (1 + ratio),
            "share of the variance within an analyte that lasts within a person",
            "proportion",
            null=np.nan,
        ),
    }


def _shares_below(
    model: "Cytokines", posterior: xr.Dataset, data: xr.Dataset, level: xr.DataArray, normal: xr.DataArray
) -> xr.DataArray:
    """P(a new person's value lies below the limit), averaged over the plates on which the group was measured."""
    analytes, groups, plates = (data.sizes[d] for d in ("analyte", "group", "plate"))
    limit, weight = np.full((analytes, plates), np.nan), np.zeros((analytes, groups, plates))
    analyte, plate = data["analyte_of"].values, data["plate_of"].values
    at = np.flatnonzero(np.isfinite(data["lod"].values))
    limit[analyte[at], plate[at]] = data["lod"].values[at]
    np.add.at(weight, (analyte, data["group_of"].values, plate), (data["time_of"].values == 0).astype(float))
    weight = np.where(np.isfinite(limit)[:, None, :], weight, 0.0)
    with np.errstate(invalid="ignore"):  # an analyte without a known limit: its share is NaN
        weight = weight / weight.sum(axis=2, keepdims=True)
    total = np.zeros(level.shape)
    sd = posterior["residual_sd"].transpose("chain", "draw", "analyte").values
    variance = normal.transpose("chain", "draw", "analyte").values
    nodes, weights = np.polynomial.hermite_e.hermegauss(_T_NODES)
    for p in range(plates):
        distance: Any = np.nan_to_num(limit[:, p])
        if model.plate is not None:
            plate_effect = posterior["plate_sd"] * posterior["plate_latent"].isel(plate=p)
            distance = distance - plate_effect.transpose("chain", "draw", "analyte").values
        for g in range(groups):
            away = distance - level.values[..., g]
            if model.robust:
                nu = posterior["nu"].values[:, :, None]
                share = sum(
                    w * special.stdtr(nu, (away - np.sqrt(variance) * node) / sd)
                    for node, w in zip(nodes, weights / weights.sum(), strict=True)
                )
            else:
                share = special.ndtr(away / np.sqrt(sd**2 + variance))
            total[..., g] += np.where(np.isnan(weight[:, g, p]), np.nan, weight[:, g, p]) * share
    return level.copy(data=total)


def checks(model: "Cytokines", data: xr.Dataset) -> Sequence[Check]:
    """Name the predictive checks of a panel; replicates are put below or above the limits of the data.

    Parameters
    ----------
    model
        The model.
    data
        A completed panel.

    Returns
    -------
    list of Check
        See :meth:`~bayesdep.models.cytokines.model.Cytokines.checks`.
    """
    lod = data["lod"].values
    kind, group = data["kind"].values, data["group_of"].values
    known = np.isfinite(lod)
    variable = "log_concentration"

    def below(y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        # in the data themselves a non-detect stands at its limit
        is_below = (y[..., rows] < lod[rows]) | ((y[..., rows] == lod[rows]) & (kind[rows] == 1))
        return np.asarray(is_below.mean(axis=-1))

    found = []
    if known.any() and model.substitute is None:
        found.append(Check("share below the limit", variable, lambda y: below(y, known), "probability"))
        for g, name in enumerate(data["group"].values if model.group is not None else []):
            rows = known & (group == g)
            if rows.any():
                found.append(
                    Check(f"share below the limit, {name}", variable, partial(below, rows=rows), "probability")
                )
    lowest, highest = np.nan_to_num(lod, nan=-np.inf), np.nan_to_num(data["uloq"].values, nan=np.inf)

    def recorded(y: np.ndarray) -> np.ndarray:
        """Replicates as the assay would record them: at the limit where they lie beyond it, as the data are."""
        return np.clip(y, lowest, highest)

    seen = kind == 0
    found.append(Check("largest detected value", variable, lambda y: y[..., seen].max(-1), "log"))
    if model.plate is not None:
        plate = data["plate_of"].values

        def range_of_plates(y: np.ndarray) -> np.ndarray:
            medians = [np.median(recorded(y)[..., plate == p], axis=-1) for p in range(data.sizes["plate"])]
            return np.ptp(np.stack(medians), axis=0)

        found.append(Check("range of the plates' medians", variable, range_of_plates, "log"))
    if data.sizes["analyte"] > 1 and model.subject is not None:
        found.append(Check("sd of people's mean residuals", variable, _spread_of_people(data, recorded), "log"))
    return found


def _spread_of_people(
    data: xr.Dataset, recorded: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """How much people differ over all analytes: what correlation between analytes adds up to."""
    analyte, subject = data["analyte_of"].values, data["subject_of"].values
    rows = [np.bincount(x) for x in (analyte, subject)]

    def statistic(y: np.ndarray) -> np.ndarray:
        flat = recorded(y).reshape(-1, y.shape[-1])
        out = np.empty(len(flat))
        for i, values in enumerate(flat):
            left = values - (np.bincount(analyte, values) / rows[0])[analyte]
            out[i] = np.std(np.bincount(subject, left) / np.maximum(rows[1], 1))
        return out.reshape(y.shape[:-1])

    return statistic
