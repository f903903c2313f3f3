"""An individual-patient meta-analysis in words, and as the lines of a model formula."""

from bayesdep.models.patient_meta.settings import FREE_LEVEL_SD, REMEDY, PatientMetaSettings


def words_of(settings: PatientMetaSettings) -> str:
    """Return the model in words.

    Parameters
    ----------
    settings
        The model's settings.

    Returns
    -------
    str
        Sentences.
    """
    text = (
        "Patients of all studies in one model. Each study has a level of its own, without a distribution between "
        "studies, so that only patients randomised together are compared; and an effect of its own, normal between "
        "studies"
        if settings.has_free_levels
        else "Patients of all studies in one model. Each study has a level, midway between the arms, and an effect of "
        "the treatment of its own, correlated normals between studies"
    )
    text += (
        f", for the log odds of the event {settings.event}" if settings.is_binary else ", and residual sds of its own"
    )
    if len(settings.times) != 1:
        text += "; a patient's residuals at two times are correlated, and so are a study's deviations"
    text += "."
    if settings.has_free_levels:
        unknown = ["how levels differ", *(["risks and numbers needed to treat"] if settings.is_binary else [])]
        unknown += (
            ["slopes within an arm of moderators that differ between studies alone"] if settings.moderators else []
        )
        text += f" Not estimated for it: {', '.join(unknown)} ({REMEDY} for these)."
    if settings.moderators:
        text += _words_on_moderators(settings)
    if settings.imputes:
        text += (
            f" Missing moderators were drawn {settings.imputations} times, given arms, outcomes and the other "
            "moderators, with means of their own in every study (missing at random)."
        )
    return text


def _words_on_moderators(settings: PatientMetaSettings) -> str:
    parts = " by its study's mean and the patient's deviation from it" if settings.split else ""
    shrunk = {
        "none": "", "normal": ", shrunk towards none as far as they are alike small",
        "student": ", shrunk towards none, large ones less (Student's t)",
        "horseshoe": f", of which about {settings.expected_nonzero or 0:g} should matter (regularised horseshoe)",
    }[settings.effects]  # fmt: skip
    if settings.effects != "none":
        shrunk += "; shrunken intervals are right on average over moderators, not for the few that differ from the rest"
    return f" Each moderator ({', '.join(settings.moderators)}) enters{parts}, with an interaction{shrunk}."


def formula_of(settings: PatientMetaSettings) -> list[str]:
    """Return the model as the lines of a model formula.

    Parameters
    ----------
    settings
        The model's settings.

    Returns
    -------
    list of str
        The outcome first, then what it is made of, then priors.
    """
    lines = [*_lines_on_outcomes(settings), *_lines_on_studies(settings), *_lines_on_interactions(settings)]
    return lines + [f"{name} ~ {prior}" for name, prior in settings.priors.items()]


def _lines_on_outcomes(settings: PatientMetaSettings) -> list[str]:
    mean = "level[k, t] + (effect[t] + deviation[k, t]) T[i]"
    mean = mean if settings.has_free_levels else f"intercept[t] + {mean}"
    mean += " + baseline_slope[t] b[i]" if settings.baseline is not None else ""
    mean += " + sum_j (moderator_effect[j, t] + interaction[j, t] T[i]) x[i, j]" if settings.moderators else ""
    two = settings.may_have_two_times
    if settings.is_binary:
        lines = [f"logit P({settings.event}) = {mean}"]
    else:
        noise = "MVN(0, D_k R D_k), D_k study_sd[k, .]" if two else "Normal(0, study_sd[k])"
        lines = [
            f"y[i, t] = {mean} + residual[i, t]",
            f"residual[i{', .' if two else ''}] ~ {noise}",
            "log study_sd[k, t] ~ Normal(log residual_sd[t], residual_spread)",
        ]
    return [*lines, "T -1/2 for the reference, 1/2 for the treatment; in what no study has for itself, less its mean"]


def _lines_on_studies(settings: PatientMetaSettings) -> list[str]:
    two, free = settings.may_have_two_times, settings.has_free_levels
    integrated = "" if settings.is_binary else ", integrated out"
    lines = []
    if free:
        flat = "level[k, t] flat, integrated out"
        lines.append(f"level[k, t] ~ Normal(0, {FREE_LEVEL_SD:g})" if settings.is_binary else flat)
        spread = "MVN(0, D R_time D)" if two else "Normal(0, tau_effect)"
        lines.append(f"deviation[k{', .' if two else ''}] ~ {spread}{integrated}{'; D tau_effect' if two else ''}")
    elif two:
        covariance = "D (R_time x R_which) D"
        lines.append(f"(level, deviation)[k, .] ~ MVN(0, {covariance}){integrated}; D tau_intercept, tau_effect")
    else:
        lines.append(f"(level, deviation)[k] ~ MVN(0, D R_which D){integrated}; D tau_intercept, tau_effect")
    matrices = [*(["R", "R_time"] if two else []), *([] if free else ["R_which"])]
    if matrices:
        lines.append(f"{', '.join(matrices)} ~ LKJ({settings.lkj:g})")
    if two:
        lines.append("effect[t] = effect -/+ effect_change / 2")
    return lines


def _lines_on_interactions(settings: PatientMetaSettings) -> list[str]:
    lines = []
    if settings.effects == "normal":
        lines.append("interaction[j, t] ~ Normal(0, interaction_sd)")
    if settings.effects == "student":
        lines.append("interaction[j, t] ~ Normal(0, interaction_sd / sqrt(local_precision[j, t]))")
    if settings.combined:
        lines.append(f"M*[i, t] = sum_j mean(interaction[j, t]) x[i, j],  j of {', '.join(settings.combined)}")
    if settings.effects == "horseshoe":
        p0 = settings.expected_nonzero or 0
        lines += [
            "interaction[j, t] ~ Normal(0, w[j, t] / sqrt(1 + slab_precision w[j, t]^2))",
            f"w[j, t] = global_scale local_scale[j, t] se[j, t] {p0:g} / (p - {p0:g}), se the standard error by design",
        ]
    return lines
