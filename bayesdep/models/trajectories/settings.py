"""The settings of `Trajectories`: refusals of contradictions, parameters that take a prior, the model in words."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from bayesdep.data.conditions import read_condition
from bayesdep.data.errors import BadInput, did_you_mean, truth
from bayesdep.models.parts.categories import as_text, refuse_categories
from bayesdep.models.parts.described import Described
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.scale import check_scale
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.numerics.distributions import Prior

Course = Literal["visits", "linear", "quadratic", "spline", "cyclic"]
LINKS = ("value", "slope", "change", "area", "baseline")
EXACT_LINKS = ("value", "change", "baseline")  # which a marker known at visits alone has
POWERS = {"level": ("level",), "slope": ("level", "slope"), "quadratic": ("level", "slope", "curvature")}
_OF_MARKER = "a marker's latent deviation from its arm's course"
_EACH_LINK = " + sum_m association[{0}, m, arm] {0}(w[i, m], t)"
_LINK_IN_WORDS = {
    "value": "its current value",
    "slope": "its current rate of change",
    "change": "its change since the first time",
    "area": "its mean up to now",
    "baseline": "its value at the first time, growing in proportion to time",
}


@dataclass(frozen=True, kw_only=True)
class TrajectoriesSettings(Described):
    """The settings of :class:`~bayesdep.models.trajectories.model.Trajectories`, which explains each."""

    family: ClassVar[str] = "trajectories"
    hidden_dims: ClassVar[tuple[str, ...]] = ("beyond",)  # of parameters that are values beyond limits, or missing
    left_out: ClassVar[str] = "subject"

    reference: str | None = None
    kind: Literal["score", "response", "event", "ordinal"] = "score"
    categories: Sequence[str] = ()
    course: Course = "visits"
    marker_course: Course = "visits"
    knots: Literal[3, 4, 5] = 3
    period: float | None = None
    deviations: Literal["level", "slope", "quadratic"] = "slope"
    equal_baseline: bool = False
    autocorrelation: bool = False
    association: Sequence[str] = ()
    exact: Sequence[str] = ()
    shared_factor: bool = False
    positive_loading: str | None = None
    pooling: Literal["partial", "none"] = "partial"
    effects: Literal["normal", "student"] = "normal"
    covariates: str | None = None
    subgroups: Mapping[str, str] = dataclasses.field(default_factory=dict)
    at: Sequence[float] = ()
    units: str = "points"
    better: Literal["lower", "higher"] = "lower"
    lkj: float = 2.0
    scale: float | None = None
    beyond_limit: Literal["refuse", "censor"] = "refuse"
    flag_codes: Mapping[str, str] | None = None
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    outcome: str = column("outcome", "outcome")
    subject: str = column("subject", "patient")
    time: str = column("time", "time since baseline")
    arm: str | bool | None = column("arm", "arm")
    value: str | None = column(None, "concentration")
    analyte: str | None = column(None, "marker")
    plate: str | None = column(None, "assay plate")
    unit: str | None = column(None, "unit of the concentration")
    censored: str | None = column(None, "flag of values beyond a limit")
    lod: str | None = column(None, "limit of detection")
    lloq: str | None = column(None, "lower limit of quantification")
    uloq: str | None = column(None, "upper limit of quantification")

    def __post_init__(self) -> None:
        if isinstance(self.categories, (list, tuple)):
            object.__setattr__(self, "categories", tuple(as_text(x) for x in self.categories))
        for word in ("association", "exact"):
            given = getattr(self, word)
            one = (given,) if isinstance(given, str) else given
            object.__setattr__(self, word, tuple(one) if isinstance(one, Iterable) else one)
        if self.arm is False:  # a plan, which has no None, writes false where there are no arms
            object.__setattr__(self, "arm", None)
        check_settings(self)
        check_scale(self.scale)
        if self.arm is True:
            raise BadInput(
                f"arm = {truth(True)}, but the name of a column is needed, or {truth(False)} where there are no arms"
            )
        object.__setattr__(self, "at", tuple(float(x) for x in self.at))
        _check_kind(self)
        _check_shared_factor(self)
        _check_association(self)
        _check_exact(self)
        _check_courses(self)
        _check_columns(self)
        _check_subgroups(self)
        if not self.lkj > 0:
            raise BadInput(f"lkj = {self.lkj}, but a number above zero is needed, such as 2")
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    @property
    def has_markers(self) -> bool:
        """Whether there are markers beside the outcome."""
        return self.value is not None

    @property
    def first_term(self) -> int:
        """Where the course's terms begin: the mean over time is one of them, unless thresholds stand for it."""
        return int(self.kind == "ordinal")

    @property
    def by_arm(self) -> bool:
        """Whether each arm has a covariance of its own: they share one."""
        return False

    @property
    def needs_first(self) -> bool:
        """Whether outcomes go with exact markers' values at the first time."""
        return bool(self.exact) and bool({"change", "baseline"} & set(self.association))

    @property
    def scores_latent(self) -> bool:
        """Whether patients' outcomes are scored given markers beyond limits."""
        return bool(self.association)

    @property
    def is_pooled(self) -> bool:
        """Whether associations are pooled over markers."""
        return self.pooling == "partial" and self.analyte is not None and not self.shared_factor

    @property
    def linked(self) -> str:
        """The dim of what the outcome goes with: markers, or the one factor that they share."""
        return "factor" if self.shared_factor else "analyte"

    @property
    def questions(self) -> tuple[str, ...]:
        """What is asked of markers and arms, and of subgroups: estimands whose null is no effect."""
        of_arms = () if self.arm is None else ("association_difference",)
        if self.association:
            return ("association", *of_arms)
        return ("difference", *(("marker_difference",) if self.has_markers else ())) if of_arms else ()

    @property
    def powers(self) -> tuple[str, ...]:
        """The terms of a patient's own deviation from the course: powers of time, from the level up."""
        return POWERS[self.deviations]

    @property
    def adaptation(self) -> Literal["low_rank", "diag"]:
        """A growth curve has few, correlated parameters; beside markers there are many."""
        return "diag" if self.has_markers else "low_rank"

    @property
    def target_accept(self) -> float:
        """Target acceptance rate: higher where sds of patients' deviations, or of a few subgroups, may be near zero."""
        return 0.95 if self.subgroups else 0.9

    @property
    def figures(self) -> tuple[str, ...]:
        """Figures beside those that every fit has."""
        of_subgroups = ("subgroup_effects",) if self.subgroups else ()
        of_dropouts = ("dropout",) if self.kind == "score" and self.arm is not None else ()
        return ("courses", *(("associations",) if self.association else ()), *of_subgroups, *of_dropouts)

    @property
    def slots(self) -> dict[str, Slot]:
        """Parameters that take a prior: those of the terms that the settings switch on."""
        return (
            _slots_of_outcome(self)
            | _slots_of_markers(self)
            | _slots_of_factor(self)
            | _slots_of_associations(self)
            | _slots_of_subgroups(self)
        )

    @property
    def primary_estimands(self) -> tuple[str, ...]:
        """What is asked first: arms' differences in the outcome and the markers, and associations."""
        if self.arm is None:
            return ("association",) if self.association else ("mean",)
        of_markers = ("marker_difference",) if self.has_markers else ()
        linked = ("association", "association_difference") if self.association else ()
        return ("difference", *of_markers, *linked)

    @property
    def words(self) -> str:
        """The model in words."""
        of_arm = "" if self.arm is None else ", by arm"
        own = {"level": "a level", "slope": "a level and a slope", "quadratic": "a level, a slope and a curvature"}
        what = {
            "event": "The log odds of the event in an interval, given none before, follow",
            "ordinal": f"The log odds of a category worse than each of {', '.join(self.categories[:-1])} follow",
        }.get(self.kind, "The outcome follows")
        text = (
            f"{what} a course over time ({self.course}){of_arm}, and every patient has {own[self.deviations]} around it"
        )
        if self.autocorrelation:
            text += ", with residuals whose correlation decays with the time between them"
        text += "; what was missed is integrated out, as missing at random."
        if self.has_markers:
            text += (
                f" The log of each marker follows a course of its own ({self.marker_course}){of_arm}, around which "
                f"patients have {own[self.deviations]}; a value beyond a detection limit enters as the probability "
                "of lying there."
            )
        if self.shared_factor:
            text += (
                " Markers share one factor, a course of the patient that each deviates with by a loading of its own, "
                f"beside deviations of its own; the factor rises with {self.positive_loading}."
            )
        if self.association:
            links = ", and with ".join(_LINK_IN_WORDS[link] for link in self.association)
            pooled = ", pooled over markers" if self.is_pooled else ""
            what, of = ("the factor", "the factor") if self.shared_factor else (_OF_MARKER, "the marker")
            text += f" The outcome goes with {what}: with {links}{pooled}. These are associations, not effects of {of}."
        if self.exact:
            text += (
                f" Measured without error: {', '.join(self.exact)}, whose values themselves the outcome goes with, "
                "less their arm's course; values that are missing at a visit are predicted from the others."
            )
        if self.subgroups:
            asked = "associations" if self.association else "arms' differences"
            text += (
                f" Of {len(self.subgroups)} subgroups, which may overlap, each changes the {asked} of its members by "
                "an amount of its own, pooled towards none; in a subgroup they are the mean over its members."
            )
        return text

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        powers = "level[i]" + "".join(f" + {word}[i] u^{k}" for k, word in enumerate(self.powers[1:], start=1))
        arm = "" if self.arm is None else " + arm_course[j] a[i]"
        covariates = "" if self.covariates is None else f" + covariate_effect x[i]  ({self.covariates})"
        each = " + association[{0}, arm] {0}(f[i], t)" if self.shared_factor else _EACH_LINK
        links = "".join(each.format(link) for link in self.association)
        residual = "AR(rho, gap)" if self.autocorrelation else "independent"
        mean = f"course[t]{arm}{covariates} + {powers}{links}"
        lines = [
            {
                "score": f"y[i, t] ~ N({mean}, residual_sd), {residual}",
                "response": f"logit P(y[i, t] = 1) = {mean}",
                "event": f"logit P(y[i, t] = 1 | none before) = {mean}",
                "ordinal": f"P(y[i, t] <= k) = logistic(threshold[k] - eta[i, t]), eta[i, t] = {mean}",
            }[self.kind],
            f"({', '.join(self.powers)})[i] ~ MVN(0, sds, LKJ({self.lkj:g}))",
        ]
        if self.has_markers:
            marker_arm = "" if self.arm is None else " + marker_arm_course[m, t] a[i]"
            lines += [
                f"log2 z[i, m, t] ~ N(marker_course[m, t]{marker_arm} + w[i, m](t), marker_residual_sd[m]), "
                "censored at its limits",
                f"w[i, m](t) = {powers.replace('[i]', '[i, m]')}, MVN as above for each marker",
            ]
        if self.shared_factor:
            lines[-1] = f"w[i, m](t) = loading[m] f[i](t) + {powers.replace('[i]', '[i, m]')}, MVN for each marker"
            of_factor = " + ".join(f"factor_{word}[i]{f' u^{k}' if k else ''}" for k, word in enumerate(self.powers))
            lines.append(f"f[i](t) = {of_factor}, MVN, level with sd 1;  loading[{self.positive_loading}] > 0")
        if self.exact:
            lines.append(f"measured without error, so w[i, m](t) = log2 z[i, m, t] - its mean: {', '.join(self.exact)}")
        lines += [
            f"{question}[i] = {question} + sum_g c[i, g] delta[g], delta[g] ~ {self.effects}(0, sd / q)"
            for question in (self.questions if self.subgroups else ())
        ]
        if self.kind == "ordinal":
            lines.append("threshold: those of category probabilities ~ Dirichlet(1) at eta = 0")
        return [*lines, *(f"{name} ~ {prior}" for name, prior in self.priors.items())]


# Parameters that take a prior


def _normal(width: float, times_scale: bool = True) -> Prior:
    return Prior("Normal", mu=0, sigma=width, times_scale=times_scale)


def _spread(width: float, times_scale: bool = True) -> Prior:
    return Prior("HalfNormal", sigma=width, times_scale=times_scale)


def _slots_of_outcome(settings: TrajectoriesSettings) -> dict[str, Slot]:
    """Parameters of the outcome's course and of patients' deviations from it."""
    points = settings.units if settings.kind == "score" else "log odds"
    of_score = settings.kind == "score"  # otherwise the scale is 1, and nothing is a multiple of it

    def normal(width: float) -> Prior:
        return _normal(width, of_score)

    slots = {"course": Slot(normal(2), "real", "a term of the course over time, around the overall mean", points)}
    if settings.arm is not None:
        if not settings.equal_baseline:
            slots["arm_effect"] = Slot(normal(1.5), "real", "the difference between arms, mean over time", points)
        slots["arm_change"] = Slot(normal(1), "real", "a term of how the arms' difference changes in time", points)
    if settings.covariates is not None:
        slots["covariate_effect"] = Slot(normal(0.75), "real", "a covariate's effect", f"{points} per sd")
    meanings = {
        "level": "the sd between patients at the first time",
        "slope": "the sd between patients of the change from the first time to the last",
        "curvature": "the sd between patients of the curvature",
    }
    for word in settings.powers:
        slots[f"{word}_sd"] = Slot(_spread(1.5, of_score), "positive", meanings[word], points)
    if of_score:
        slots["residual_sd"] = Slot(_spread(1.5), "positive", "the residual sd", points)
    if settings.autocorrelation:
        meaning = "the correlation of residuals a typical gap between visits apart"
        slots["rho"] = Slot(Prior("Beta", alpha=2, beta=2), "unit", meaning, "correlation")
    return slots


def _slots_of_markers(settings: TrajectoriesSettings) -> dict[str, Slot]:
    """Parameters of the markers' courses, in doublings of the concentration."""
    if not settings.has_markers:
        return {}
    doublings = "doublings"
    slots = {
        "marker_course": Slot(
            _normal(2, False), "real", "a term of a marker's course over time, around its centre", doublings
        )
    }
    if settings.arm is not None:
        if not settings.equal_baseline:
            slots["marker_arm_effect"] = Slot(
                _normal(1, False), "real", "the arms' difference in a marker, mean over time", doublings
            )
        slots["marker_arm_change"] = Slot(
            _normal(0.7, False), "real", "a term of how the arms' difference in a marker changes in time", doublings
        )
    widths = {"level": 1.5, "slope": 1.0, "curvature": 1.0}
    own = "own " if settings.shared_factor else ""
    for word in settings.powers:
        slots[f"marker_{word}_sd"] = Slot(
            _spread(widths[word], False), "positive", f"the sd between patients of a marker's {own}{word}", doublings
        )
    slots["marker_residual_sd"] = Slot(
        _spread(1, False), "positive", "the residual sd of a marker, assay and short-term change together", doublings
    )
    return slots


def _slots_of_factor(settings: TrajectoriesSettings) -> dict[str, Slot]:
    """Parameters of the factor that markers share; its level has an sd of 1."""
    if not settings.shared_factor:
        return {}
    per, sds = "doublings per sd of the factor", "sds of the factor's level"
    slots = {
        "loading": Slot(_normal(1, False), "real", "a marker's loading on the shared factor", per),
        "positive_loading": Slot(
            _spread(1, False), "positive", f"the loading of {settings.positive_loading}, which is above zero", per
        ),
    }
    for word in settings.powers[1:]:
        slots[f"factor_{word}_sd"] = Slot(
            _spread(1, False), "positive", f"the sd between patients of the factor's {word}", sds
        )
    return slots


def _slots_of_associations(settings: TrajectoriesSettings) -> dict[str, Slot]:
    """Parameters of what joins the outcome to the markers."""
    if not settings.association:
        return {}
    of_score = settings.kind == "score"
    per = f"{settings.units if of_score else 'log odds'} per {'sd' if settings.shared_factor else 'doubling'}"
    wide, narrow = _normal(0.5, of_score), _spread(0.25, of_score)
    what = "the shared factor" if settings.shared_factor else "a marker"
    words = {"association": f"the association of the outcome with {what}, mean over arms"}
    if settings.arm is not None:
        words["association_difference"] = "the difference between arms in an association"
    slots: dict[str, Slot] = {}
    for name, meaning in words.items():
        if settings.is_pooled:
            slots[f"{name}_mean"] = Slot(wide, "real", f"{meaning}: the markers' mean", per)
            slots[f"{name}_sd"] = Slot(narrow, "positive", f"{meaning}: the spread over markers", per)
        else:
            slots[name] = Slot(wide, "real", meaning, per)
    if "baseline" in settings.association:
        meaning = f"the difference in the outcome's level by {what}'s value at the first time, in all arms"
        slots["baseline_level"] = Slot(_normal(0.5, of_score), "real", meaning, per)
    return slots


def _slots_of_subgroups(settings: TrajectoriesSettings) -> dict[str, Slot]:
    """Spreads of subgroups' deviations from all patients."""
    if not settings.subgroups:
        return {}
    of_score = settings.kind == "score"
    points = settings.units if of_score else "log odds"
    words = {
        "course": ("the outcome's level, and its change over the follow-up", _spread(0.5, of_score), points),
        "difference": ("the arms' difference at the last time", _spread(0.5, of_score), points),
        "marker_difference": ("the arms' difference in a marker at the last time", _spread(0.35, False), "doublings"),
        "association": ("an association, mean over arms", _spread(0.25, of_score), f"{points} per doubling"),
        "association_difference": (
            "the difference between arms in an association", _spread(0.25, of_score), f"{points} per doubling"
        ),
    }  # fmt: skip
    return {
        f"subgroup_{name}_sd": Slot(prior, "positive", f"the spread of subgroups around all patients: {what}", per)
        for name, (what, prior, per) in words.items()
        if name == "course" or name in settings.questions
    }


# What links an outcome to a marker

_LEVEL = np.diag([1.0, 0.0, 0.0])


def link_matrix(link: str, powers: Sequence[str]) -> np.ndarray:
    """Return what a marker's deviation adds to the outcome's, both as coefficients of powers of time.

    With ``w(u) = b_0 + b_1 u + b_2 u^2`` and u from 0 at the first time to 1 at the last, the value is w itself, the
    change ``w(u) - b_0``, the area ``1 / u`` times the integral of w from 0 to u (its mean up to now, so that it is in
    doublings too), the slope ``w'(u)`` (doublings per length of the follow-up), and the baseline ``b_0 u``.

    Parameters
    ----------
    link
        One of ``LINKS``.
    powers
        The settings' powers.

    Returns
    -------
    numpy.ndarray
        Shape (powers, powers): row r, column s is what a unit of ``b_s`` adds to the outcome's coefficient of
        ``u ** r``.

    Examples
    --------
    >>> link_matrix("slope", ("level", "slope", "curvature")).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    """
    size = len(powers)
    matrix = {
        "value": np.eye(3),
        "change": np.diag([0.0, 1.0, 1.0]),
        "area": np.diag([1.0, 1 / 2, 1 / 3]),
        "slope": np.diag([1.0, 2.0], 1),
        "baseline": np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    }[link]
    return matrix[:size, :size]


def link_matrices(settings: TrajectoriesSettings) -> np.ndarray:
    """Return the matrices of all links, with ``"baseline"`` one more at the end: what is there at the first time.

    Parameters
    ----------
    settings
        The model's settings.

    Returns
    -------
    numpy.ndarray
        Shape (links, powers, powers).
    """
    size = len(settings.powers)
    level = [_LEVEL[:size, :size]] if "baseline" in settings.association else []
    return np.stack([*(link_matrix(link, settings.powers) for link in settings.association), *level])


# Settings that contradict each other


def _check_kind(settings: TrajectoriesSettings) -> None:
    if settings.kind == "ordinal":
        refuse_categories(tuple(settings.categories))
    elif settings.categories:
        raise BadInput(
            f"categories are of kind = 'ordinal', but kind = '{settings.kind}'; leave categories out, or set kind = "
            "'ordinal'"
        )


def _check_association(settings: TrajectoriesSettings) -> None:
    for link in settings.association:
        if link not in LINKS:
            raise BadInput(f"association has '{link}', which is not a choice; {did_you_mean(link, LINKS)}")
    if len(set(settings.association)) < len(settings.association):
        raise BadInput(f"association = {list(settings.association)} names one twice; name each once")
    if settings.association and not settings.has_markers:
        raise BadInput(
            "association is given without markers; name the column of concentrations as value, or leave it out"
        )
    found = np.empty((0, len(settings.powers) ** 2))
    for link in settings.association:
        if not link_matrix(link, settings.powers).any() or (link == "baseline" and settings.deviations == "level"):
            raise BadInput(f"association = '{link}' needs deviations that change in time; use deviations = 'slope'")
        more = [
            link_matrix(link, settings.powers),
            *([_LEVEL[: len(settings.powers), : len(settings.powers)]] * (link == "baseline")),
        ]
        found = np.vstack([found, *(matrix.reshape(1, -1) for matrix in more)])
        if np.linalg.matrix_rank(found) < len(found):
            raise BadInput(
                f"association has '{link}', which follows from the others in it where deviations = "
                f"'{settings.deviations}', so they cannot be told apart; leave it out"
            )
    if settings.effects != "normal" and not (settings.is_pooled and settings.association) and not settings.subgroups:
        raise BadInput(
            f"effects = '{settings.effects}' is a distribution of associations over markers, or of subgroups; name the "
            "column of markers as analyte and an association, with pooling = 'partial'"
        )


def _check_exact(settings: TrajectoriesSettings) -> None:
    if not settings.exact:
        return
    place = f"exact = {list(settings.exact)}"
    if not settings.association:
        raise BadInput(
            f"{place} says that the outcome goes with values themselves, but association is empty; name one, such as "
            "association = 'value', or leave exact out"
        )
    if settings.kind != "score":
        raise BadInput(f"{place} is beside scores, but kind = '{settings.kind}'; leave exact out")
    for link in settings.association:
        if link not in EXACT_LINKS:
            raise BadInput(
                f"{place} has values at visits, but association = '{link}' needs them between visits too; use "
                "association = 'value' or 'change', or leave exact out"
            )


def may_share(settings: TrajectoriesSettings) -> bool:
    """Return whether markers that share no factor could, the other settings as they are.

    Parameters
    ----------
    settings
        The model's settings.

    Returns
    -------
    bool
        Whatever the number of markers.
    """
    return settings.analyte is not None and not settings.shared_factor and not _not_with_a_factor(settings)


def _not_with_a_factor(settings: TrajectoriesSettings) -> list[str]:
    """The settings that are given and cannot stand beside a shared factor."""
    given = {
        "exact": bool(settings.exact), "subgroups": bool(settings.subgroups), "effects": settings.effects != "normal"
    }  # fmt: skip
    return [word for word, is_given in given.items() if is_given]


def _check_shared_factor(settings: TrajectoriesSettings) -> None:
    if not settings.shared_factor:
        if settings.positive_loading is not None:
            raise BadInput(
                f"positive_loading = '{settings.positive_loading}' is of a shared factor; set shared_factor = "
                f"{truth(True)}, or leave positive_loading out"
            )
        return
    place = f"shared_factor = {truth(True)}"
    if settings.analyte is None:
        raise BadInput(
            f"{place} is of several markers, but no column of markers is named; name it as analyte, or leave "
            "shared_factor out"
        )
    if settings.positive_loading is None:
        raise BadInput(
            f"{place} leaves open which way the factor points; name a marker that rises with it, such as "
            "positive_loading = 'CRP'"
        )
    for word in _not_with_a_factor(settings):
        raise BadInput(
            f"{place} is without {word}, since the outcome goes with the factor and not with single markers; leave "
            f"{word} out, or shared_factor"
        )


def _check_subgroups(settings: TrajectoriesSettings) -> None:
    for name, text in settings.subgroups.items():
        if not name.strip():
            raise BadInput(f"subgroups: the one that is '{text}' has no name; write one before the = sign")
        read_condition(text, f"subgroups.'{name}'")
    if settings.subgroups and not settings.questions:
        raise BadInput(
            "subgroups are of arms' differences or of associations, but there are neither; name the column of arms, or "
            "leave subgroups out"
        )


def _check_courses(settings: TrajectoriesSettings) -> None:
    cyclic = "cyclic" in (settings.course, settings.marker_course)
    if cyclic != (settings.period is not None):
        raise BadInput(
            "course = 'cyclic' needs the length of a cycle, in the table's unit of time, such as period = 24"
            if cyclic
            else f"period = {settings.period:g} belongs to course = 'cyclic'; leave it out"
        )
    if settings.period is not None and not (np.isfinite(settings.period) and settings.period > 0):
        raise BadInput(f"period = {settings.period}, but a number above zero is needed, such as 24")
    if settings.autocorrelation and settings.kind != "score":
        raise BadInput(f"autocorrelation is of scores, but kind = '{settings.kind}'; leave autocorrelation out")


def _check_columns(settings: TrajectoriesSettings) -> None:
    if (settings.arm is None) != (settings.reference is None):
        raise BadInput(
            f"reference = '{settings.reference}' is given without arms; name their column as arm, or leave it out"
            if settings.arm is None
            else "reference is missing; name the arm that the others are compared with, or set arm = None (in a plan: "
            "arm = false) where there are no arms"
        )
    if settings.equal_baseline and settings.arm is None:
        raise BadInput("equal_baseline is of arms, but arm is left out; leave equal_baseline out too")
    if not settings.has_markers:
        named = [w for w in ("analyte", "plate", "unit", "censored", "lod", "lloq", "uloq") if getattr(settings, w)]
        if named:
            raise BadInput(f"{named[0]} is given without value; name the column of concentrations as value")
