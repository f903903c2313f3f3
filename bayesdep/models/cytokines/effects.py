"""A panel's effects inside the PyMC model: pooled over analytes and reparametrised, or each with its own prior."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.cytokines.rough_effects import Rough, rough_changes
from bayesdep.models.cytokines.settings import HEAVY, CytokinesSettings
from bayesdep.models.cytokines.split import Mean, people_of_groups, split_mean
from bayesdep.models.parts.adaptive_effects import Wall, adaptive_effects
from bayesdep.models.parts.contrasts import contrast_root, contrasts
from bayesdep.models.parts.pooling import non_centred_effects
from bayesdep.models.parts.unit_spreads import horseshoe_spreads, student_spreads, tail_weight
from bayesdep.numerics.types import Tensor

SLAB = 1.0


def means_of(settings: CytokinesSettings, data: xr.Dataset, subject_sd: Tensor) -> dict[str, Mean]:
    """Return the means of levels and of the groups' effects; with the means of people, where these are split off."""
    if not settings.is_pooled:
        return {"level": Mean(None), "group": Mean(None)}
    words = ["level"] + ["group"] * (settings.group is not None)
    root = contrast_root(data.sizes["comparison"])
    if subject_sd is None or any(settings.priors[f"{word}_mean"].dist != "Normal" for word in words):
        means = {"level": Mean(settings.priors["level_mean"].rv("level_mean"))}
        if settings.group is not None:
            group_mean = contrasts(settings.priors["group_mean"], "group_mean", dims=("comparison",), roots=[root])
            means["group"] = Mean(group_mean)
        return means
    _, people = people_of_groups(data)
    added = {"level": np.array([[1 / people.sum()]]), "group": np.diag(1 / people[1:]) + 1 / people[0]}
    roots = {"level": np.eye(1), "group": root}
    dims = {"level": None, "group": ("comparison",)}
    return {
        w: split_mean(f"{w}_mean", settings.priors[f"{w}_mean"], roots[w], added[w], subject_sd, dims=dims[w])
        for w in words
    }


def people_of_means(settings: CytokinesSettings, means: Mapping[str, Mean], data: xr.Dataset) -> Tensor:
    """Return the mean of each person's group of people, where it is split off from the means of effects."""
    if means["level"].shift is None:
        return 0.0
    if settings.group is None:
        return means["level"].shift
    group, _ = people_of_groups(data)
    return means["level"].shift + (data["group_code"].values[group] * means["group"].shift).sum(axis=-1)


def effect_of(
    settings: CytokinesSettings,
    word: str,
    data: xr.Dataset,
    *dims: str,
    means: Mapping[str, Mean] | None = None,
    rough: Rough | None = None,
    before: list[Tensor] | None = None,
    wall: Wall | None = None,
) -> Tensor:
    """Return an effect by analyte, and by further dims: pooled over analytes or each with its own prior.

    Contrasts to the reference group correlate 1/2: groups are exchangeable, whichever is the reference.

    Parameters
    ----------
    settings
        The model's settings.
    word
        The effect, as its priors begin: ``"level"``, ``"group"``, ``"time"``, ``"interaction"``, ``"covariate"``.
    data
        The prepared data.
    *dims
        Dims of the effect beside the analyte.
    means
        Means of levels and of groups' effects (:func:`means_of`); None for other effects.
    rough, before
        Rough estimates of levels and groups' effects, and the parameters that they are conditional on, to which this
        effect is added; None for other effects.
    wall
        Where the likelihood of a level falls off; None for other effects.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (analyte, *dims), inside a PyMC model context.
    """
    import pymc as pm

    name, all_dims = settings.effect_names[word], ("analyte", *dims)
    roots = [contrast_root(data.sizes[d]) if d == "comparison" else np.eye(data.sizes[d]) for d in dims]
    if not settings.is_pooled:
        every = [np.eye(data.sizes["analyte"]), *roots]
        return contrasts(settings.priors[name], name, dims=all_dims, roots=every)
    spread, nu = law_of(settings, word, data)
    if rough is None or means is None or before is None:
        mean = contrasts(settings.priors[f"{word}_mean"], f"{word}_mean", dims=dims, roots=roots)
        if word == "time":
            return adaptive_effects(name, mean, spread, *rough_changes(data), dims=all_dims, nu=nu)
        correlated = "comparison" in dims and len(roots[0]) > 1  # covariates' effects and interactions: seldom large
        return non_centred_effects(name, mean, spread, dims=all_dims, root=roots[0] if correlated else None, axis=1)
    centre, shift = means[word].sampled, means[word].shift
    if word == "group" and settings.analyte_family is not None:
        family_sd = settings.priors["group_family_sd"].rv("group_family_sd")
        latent = pm.Normal("group_family_latent", dims=("analyte_family", *dims))
        family = centre + family_sd * (latent[..., None, :] * roots[0]).sum(axis=-1)
        pm.Deterministic("group_family", family if shift is None else family - shift, dims=("analyte_family", *dims))
        centre = family[pm.Data("family_of", data["family_of"].values, dims="analyte")]
    if word == "level":
        estimate, se = rough.given(name, len(before), before)
        return adaptive_effects(name, centre, spread, estimate, se, dims="analyte", shift=shift, wall=wall)
    contrast = _one_after_the_other(name, centre, spread, nu, rough=rough, before=before)
    pm.Deterministic(name, contrast if shift is None else contrast - shift, dims=all_dims)
    return contrast


def _one_after_the_other(
    name: str, centre: Tensor, spread: Tensor, nu: Tensor, *, rough: Rough, before: list[Tensor]
) -> Tensor:
    """Contrasts to the reference group, which correlate 1/2, each given those before it; added to ``before`` too."""
    import pytensor.tensor as pt

    effects: list[Tensor] = []
    distance: Tensor = 0.0  # of those before it from their expectations, squared, in spreads
    for k in range(rough.estimate.shape[1] - 2):  # all parameters but the residual sd and the level
        expected = centre[..., k] + sum(
            ((x - centre[..., j]) / (k + 1) for j, x in enumerate(effects)), start=pt.constant(0.0)
        )
        width = spread * np.sqrt((k + 2) / (2 * k + 2))
        effect = adaptive_effects(
            f"{name}_{k + 1}",
            expected,
            width if nu is None else width * pt.sqrt((nu + distance) / (nu + k)),  # conditional of a multivariate t
            *rough.given(f"{name}_{k + 1}", 1 + k, before),
            dims="analyte",
            nu=None if nu is None else nu + k,
        )
        distance = distance + ((effect - expected) / width) ** 2
        effects.append(effect)
        before.append(effect)
    return pt.stack(effects, axis=-1)


def law_of(settings: CytokinesSettings, word: str, data: xr.Dataset) -> tuple[Tensor, Tensor]:
    """Return the spread of an effect over analytes, and degrees of freedom; None where effects are normal given it.

    Contrasts of one analyte to the same reference have one spread, so that groups stay exchangeable: with Student-t
    effects they are multivariate t.
    """
    kind = settings.effects if word in HEAVY else "normal"
    dims = ("analyte", "later") if word in ("time", "interaction") else ("analyte",)
    if kind == "horseshoe":
        assert settings.expected_nonzero is not None  # refused by the settings otherwise
        each = settings.expected_nonzero * (data.sizes["later"] if len(dims) == 2 else 1)
        spreads = horseshoe_spreads(word, design_errors(settings, word, data), each, dims=dims, slab=SLAB)
        return spreads[:, None, :] if word == "interaction" else spreads, None
    spread = settings.priors[f"{word}_sd"].rv(f"{word}_sd")
    if kind == "normal":
        return spread, None
    if word == "interaction":
        return student_spreads(word, spread, dims=dims)[:, None, :], None
    return spread, tail_weight(f"{word}_nu")


def design_errors(settings: CytokinesSettings, word: str, data: xr.Dataset) -> np.ndarray:
    """Return standard errors of an effect from who was measured when, at the residual sd's prior median.

    Parameters
    ----------
    settings
        The model's settings.
    word
        ``"group"``, ``"time"`` or ``"interaction"``.
    data
        The prepared data.

    Returns
    -------
    numpy.ndarray
        Shape (analyte,) for groups, mean square over comparisons; otherwise (analyte, later). No outcome enters.
    """
    sizes = tuple(data.sizes[d] for d in ("analyte", "group", "time"))
    n = np.zeros(sizes)
    np.add.at(n, tuple(data[f"{w}_of"].values for w in ("analyte", "group", "time")), 1)
    sd = float(np.exp(settings.priors["residual_mean"].scipy.median()))
    if word == "group":
        variance = (1 / np.maximum(n[:, 1:, 0], 1)).mean(axis=1) + 1 / np.maximum(n[:, 0, 0], 1)
    elif word == "time":
        variance = 2 / np.maximum(n.sum(axis=1)[:, 1:], 1)
    else:
        variance = (2 / np.maximum(n[:, 1:, 1:], 1)).mean(axis=1) + 2 / np.maximum(n[:, 0, 1:], 1)
    return np.asarray(sd * np.sqrt(variance))


def log_residual_sd(settings: CytokinesSettings, rough: Rough | None, cell: Tensor) -> Tensor:
    """Return the log residual sds by analyte, pooled or each with its own prior.

    Parameters
    ----------
    settings
        The model's settings.
    rough
        Rough estimates, whose residual has people's cells in it; None without pooling.
    cell
        What cells add to the log sd of a single value.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (analyte,), inside a PyMC model context.
    """
    import pymc as pm
    import pytensor.tensor as pt

    if rough is None:
        return pt.log(settings.priors["residual_sd"].rv("residual_sd", dims="analyte"))
    centre = settings.priors["residual_mean"].rv("residual_mean")
    spread = settings.priors["residual_spread"].rv("residual_spread")
    estimate = pm.Data("log_residual_sd_estimate", rough.estimate[:, 0], dims="analyte") - cell
    log_sd = adaptive_effects("log_residual_sd", centre, spread, estimate, rough.error[:, 0], dims="analyte")
    pm.Deterministic("residual_sd", pt.exp(log_sd), dims="analyte")
    return log_sd
