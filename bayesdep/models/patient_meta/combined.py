r"""The combined moderator M*: several moderators as one rule for who gains more, here and in other studies.

M* of a patient is ``sum_j w_j x_j`` with the posterior means w of the interactions (Kraemer 2013,
doi:10.1002/sim.5734): one fixed rule. On the patients that made it, any rule does well, and the better the more
moderators it has. Cross-validated, each study's patients are scored by the rule that the other studies make, and only
then are all of them compared.

Leaving a study out needs no fit. Given the spreads and correlations v, coefficients are normal with a mean known in
closed form, with or without study k; and v itself hardly depends on one study. So draws of v from the whole posterior
are weighted by ``1 / p(y_k | v, the other studies)``, coefficients integrated out, by Pareto-smoothed importance
sampling (Vehtari et al. 2024, arXiv:1507.02646). The study's own residual sd is left out with it: it is integrated
out by the candidate's formula (Besag 1989, doi:10.1093/biomet/76.1.183) at its posterior mean, its density given v over
that given v and the data, which is nearly normal on the log. A Pareto k of 0.7 or more says that the weights cannot be
trusted; the cross-validated effect size is then left undefined rather than wrong.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.model import estimand
from bayesdep.models.patient_meta.interactions import SCALES, sd_of_interactions
from bayesdep.models.patient_meta.likelihood import residuals_of
from bayesdep.models.patient_meta.quadratic import as_quadratic
from bayesdep.models.patient_meta.scores import coefficients_of, log_sds_within, roots_of
from bayesdep.models.patient_meta.settings import PatientMetaSettings
from bayesdep.numerics.draws import over_draws, stack_draws
from bayesdep.numerics.importance import GOOD_K, smooth_weights
from bayesdep.numerics.pair_correlation import pair_correlation_draws

_FEWEST = 100  # draws for which Pareto's k is worth anything
DRAWS = 400  # of the spreads: means over them are needed
IN_SAMPLE, CROSS_VALIDATED = "in-sample", "cross-validated"


@dataclass(frozen=True)
class LeftOut:
    """The interactions without each study.

    Parameters
    ----------
    interaction
        Posterior means of the interactions without a study: (study, part, time).
    pareto_k
        Pareto's k of the importance weights: (study,).
    """

    interaction: np.ndarray
    pareto_k: np.ndarray


def estimands(settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Derive the combined moderator's weights and effect size.

    Parameters
    ----------
    settings
        The model's settings; its ``combined`` names the moderators.
    posterior
        Draws of its parameters.
    data
        The prepared data.

    Returns
    -------
    dict of xarray.DataArray
        ``m_star_weight`` (part, time) and ``m_star_r`` (evaluation, time).
    """
    in_rule = np.isin(data["moderator_of"].values, settings.combined)
    x = data["parts"].values[:, in_rule]
    weight = posterior["interaction"].isel(part=in_rule) * xr.DataArray(
        x.std(axis=0), {"part": data["part"].values[in_rule]}, ("part",)
    )
    sizes = {d: posterior.sizes[d] for d in ("chain", "draw")}
    draws = sizes["chain"] * sizes["draw"]
    of_all = posterior["interaction"].mean(("chain", "draw")).transpose("part", "time").values
    of_patients = data["study_of"].values
    left_out = leave_one_out(settings, posterior, data)
    trusted = bool((left_out.pareto_k < GOOD_K).all())
    treated, y = data["arm_of"].values.astype(bool), data["outcome"].values
    correlation = np.full((draws, 2, data.sizes["time"]), np.nan)
    for t in range(data.sizes["time"]):
        seen = ~np.isnan(y[:, t])
        scores = [x @ of_all[in_rule, t], (x * left_out.interaction[of_patients][:, in_rule, t]).sum(axis=1)]
        for e, score in enumerate(scores if trusted else scores[:1]):
            correlation[:, e, t] = pair_correlation_draws(score[seen], y[seen, t], treated[seen], draws)
    coords: dict[str, Any] = {d: posterior[d] for d in ("chain", "draw")}
    coords |= {"evaluation": [IN_SAMPLE, CROSS_VALIDATED], "time": data["time"].values}
    by_chain = correlation.reshape(*sizes.values(), *correlation.shape[1:])
    r = xr.DataArray(by_chain, coords, ("chain", "draw", "evaluation", "time"))
    return {
        "m_star_weight": estimand(
            weight.transpose("chain", "draw", "part", "time"),
            "weight in the combined moderator, per sd of the part between patients", "sd per sd",
        ),
        "m_star_r": estimand(
            r, "effect size of the combined moderator: rank correlation over pairs of patients", "correlation",
            worst_pareto_k=float(left_out.pareto_k.max()),
        ),
    }  # fmt: skip


def leave_one_out(
    settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset, *, draws: int = DRAWS
) -> LeftOut:
    """Find the interactions' posterior means without each study.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    data
        The prepared data.
    draws
        How many draws of spreads and correlations to use, at most.

    Returns
    -------
    LeftOut
        Means and Pareto k by study.
    """
    flat = stack_draws(posterior)
    used = np.unique(np.linspace(0, flat.sizes["sample"] - 1, draws).astype(int))
    flat = flat.isel(sample=used)
    log_sd = np.log(flat["study_sd"].transpose("sample", "study", "time").values).mean(axis=0)
    typical = coefficients_of(settings, flat, data).mean(axis=0, keepdims=True)

    def without_each(part: xr.Dataset) -> xr.Dataset:
        means, scores = _without_each(part, data, *_prior(settings, part, data), typical, log_sd)
        return xr.Dataset({"mean": (("sample", "study", "coefficient"), means), "score": (("sample", "study"), scores)})

    studies, parts = data.sizes["study"], data.sizes["part"]
    size = data.sizes["time"] * (data.sizes["column"] + 1 + parts)
    left_out = over_draws(flat, without_each, studies * size**2)
    weights, k = zip(*(smooth_weights(-score) for score in left_out["score"].values.T), strict=True)
    if len(used) < _FEWEST:  # a tail of a few draws has no shape
        k = (np.inf,) * studies
    average = np.einsum("ks,ski->ki", np.array(weights), left_out["mean"].values)
    by_time = average.reshape(studies, data.sizes["time"], -1)
    return LeftOut(np.moveaxis(by_time[..., -parts:], 1, 2), np.asarray(k))


def _prior(settings: PatientMetaSettings, flat: xr.Dataset, data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Means of coefficients given spreads, by time: (sample, coefficient); and their precision matrix."""
    samples, times, parts = flat.sizes["sample"], data.sizes["time"], data.sizes["part"]
    names = ["intercept", "effect", *(["baseline_slope"] if settings.baseline is not None else [])]
    rows = [(settings.priors[n]["mu"], settings.priors[n]["sigma"]) for n in [*names, *["moderator_effect"] * parts]]
    mean = np.tile(np.array([m for m, _ in rows] + [0.0] * parts), (times, 1))
    sds = np.ones((samples, times, mean.shape[1]))
    sds[:, :, :-parts] = [s for _, s in rows]
    if settings.effects == "none":
        prior = settings.priors["interaction"]
        mean[:, -parts:], sds[:, :, -parts:] = prior["mu"], prior["sigma"]
    else:
        values = {}
        for name in SCALES[settings.effects]:
            each = flat[name]
            values[name] = (
                each.transpose("sample", "part", "time").values if each.ndim > 1 else each.values[:, None, None]
            )
        spread = sd_of_interactions(settings, data["interaction_error"].values, values)
        sds[:, :, -parts:] = np.swapaxes(np.broadcast_to(spread, (samples, parts, times)), 1, 2)
    precision = (1 / np.maximum(sds, 1e-6) ** 2).reshape(samples, -1, 1) * np.eye(mean.size)
    if times > 1:  # effects at two times are correlated
        both, change = settings.priors["effect"], settings.priors["effect_change"]
        place = np.array([1, 1 + mean.shape[1]])
        mean[:, 1] = both["mu"] + np.array([-0.5, 0.5]) * change["mu"]
        of_effects = both["sigma"] ** 2 * np.ones((2, 2)) + change["sigma"] ** 2 / 4 * np.array([[1, -1], [-1, 1]])
        precision[:, place[:, None], place] = np.linalg.inv(of_effects)
    return np.broadcast_to(mean.ravel(), (samples, mean.size)), precision


def _without_each(
    flat: xr.Dataset, data: xr.Dataset, mean: np.ndarray, precision: np.ndarray, gamma: np.ndarray, log_sd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients' means without each study, (sample, study, coefficient), and the log density of that study."""
    sd = flat["study_sd"].transpose("sample", "study", "time").values
    rho = flat["residual_correlation"].values if data.sizes["time"] > 1 else np.zeros(len(sd))
    root = roots_of(flat)
    a, b, _ = as_quadratic(root, rho, sd, data)
    # the study itself, with the residual sd at which its density is evaluated
    a_study, b_study, c_study = as_quadratic(root, rho, np.broadcast_to(np.exp(log_sd), sd.shape), data)
    a_others = (a.sum(axis=1) + precision)[:, None] - a
    b_others = (b.sum(axis=1) + (precision @ mean[..., None])[..., 0])[:, None] - b
    before = np.linalg.solve(a_others, b_others[..., None])[..., 0]
    after = np.linalg.solve(a_others + a_study, (b_others + b_study)[..., None])[..., 0]
    fit = ((b_others + b_study) * after).sum(axis=-1) - (b_others * before).sum(axis=-1)
    size = np.linalg.slogdet(a_others + a_study)[1] - np.linalg.slogdet(a_others)[1]
    given_spread, given_data = _densities_of_log_sds(flat, data, rho, gamma, log_sd)
    return before, (fit - size - c_study + given_spread - given_data) / 2


def _densities_of_log_sds(
    flat: xr.Dataset, data: xr.Dataset, rho: np.ndarray, gamma: np.ndarray, log_sd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Twice the log density of every study's log sds given the spreads alone, and given its data too."""
    typical = np.log(flat["residual_sd"].transpose("sample", "time").values)[:, None]
    prior = 1 / flat["residual_spread"].values[:, None, None] ** 2
    estimate, information = log_sds_within(residuals_of(gamma, data), rho[:, None])
    posterior = information + np.eye(data.sizes["time"]) * prior[..., None]
    weighted = (information @ estimate[..., None])[..., 0] + typical * prior
    away = log_sd - np.linalg.solve(posterior, weighted[..., None])[..., 0]
    given_spread = (np.log(prior) - (log_sd - typical) ** 2 * prior).sum(axis=-1)
    given_data = np.linalg.slogdet(posterior)[1] - np.einsum("zkt,zkts,zks->zk", away, posterior, away)
    return given_spread, given_data
