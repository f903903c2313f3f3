"""The staging systems: which items each needs, and the score that follows from them.

A score is a pair, the lowest and the highest that the printed rule allows: they differ only where the rule itself is
ambiguous (weeks that lie in two stages, or in none). Items that are missing are not the rules' concern: they are put
through every value that matters, in :func:`possible_scores`.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

Values = Mapping[str, float]
Kind = Literal["count", "number", "yes-no", "severity", "level"]


class NoScore(Exception):
    """A patient whom the system cannot score; says why, and what to do."""


@dataclass(frozen=True)
class Item:
    """One item of a system.

    Parameters
    ----------
    name
        Its column unless the user says otherwise.
    what
        What it holds, for messages.
    kind
        What its cells are.
    candidates
        Values that stand for every value it could have, where it is missing: one for each way it can matter.
    highest
        The largest value it can have.
    """

    name: str
    what: str
    kind: Kind
    candidates: tuple[float, ...]
    highest: float = inf


@dataclass(frozen=True)
class System:
    """One staging system.

    Parameters
    ----------
    name, title
        What a call says, and its full name.
    items
        What it needs of a patient.
    score
        From every item's value to the lowest and the highest score that its rule allows.
    lowest, highest
        The ends of its scale.
    label
        From a score to what the system calls it; None where it has no names.
    source
        Where the rule is printed.
    """

    name: str
    title: str
    items: tuple[Item, ...]
    score: Callable[[Values], tuple[float, float]]
    lowest: float
    highest: float
    label: Callable[[float], str] | None
    source: str


SEVERITIES = ("subsyndromal", "mild", "moderate", "severe", "severe with psychosis")


def _yes_no(name: str, what: str) -> Item:
    return Item(name, what, "yes-no", (0.0, 1.0), 1.0)


# Maudsley


def score_maudsley(values: Values) -> tuple[float, float]:
    """Add up the points of the Maudsley Staging Method, 3 to 15.

    Duration of the episode up to 12 months 1, up to 24 months 2, longer 3 (printed as "13 to 24": a month between is
    printed nowhere, and is taken as the second). Severity from subsyndromal 1 to severe with psychosis 5. Failed
    antidepressants of the episode: 1 to 2 are 1, 3 to 4 are 2, 5 to 6 are 3, 7 to 10 are 4, more are 5. Augmentation
    and electroconvulsive therapy 1 each where used. Hägg et al. 2020, PLoS One 15(7):e0236434, Panel 1; Fekadu, Donocik
    and Cleare 2018, BMC Psychiatry 18:100, Table 3.

    Parameters
    ----------
    values
        ``duration_months``, ``severity`` (1 to 5), ``failed_antidepressants``, ``augmentation`` and ``ect``.

    Returns
    -------
    tuple of float
        The score, twice.

    Raises
    ------
    NoScore
        Where no antidepressant failed: the scale begins at one.

    Examples
    --------
    >>> score_maudsley({"duration_months": 30, "severity": 4, "failed_antidepressants": 5, "augmentation": 1, "ect": 0})
    (11.0, 11.0)
    """
    if values["failed_antidepressants"] < 1:
        raise NoScore("no antidepressant failed, and the scale begins at one that did; leave this patient out")
    duration = 1 + (values["duration_months"] > 12) + (values["duration_months"] > 24)
    failed = 1 + sum(values["failed_antidepressants"] > most for most in (2, 4, 6, 10))
    total = float(duration + values["severity"] + failed + values["augmentation"] + values["ect"])
    return total, total


def _maudsley_band(score: float) -> str:
    """The bands of Fekadu 2018, Table 3: 3 to 6, 7 to 10, 11 to 15."""
    return "mild" if score <= 6 else "moderate" if score <= 10 else "severe"


# Thase and Rush


def score_thase_rush(values: Values, *, reading: str = "strict") -> tuple[float, float]:
    """Find the stage of Thase and Rush, 0 to V.

    Printed as a sequence: I, an adequate trial of one major class failed; II, one of a distinctly different class
    after that; III, a tricyclic after stage II; IV, an inhibitor of monoamine oxidase after stage III; V, a course of
    bilateral electroconvulsive therapy after stage IV. The order is assumed by the rule and not observed, so a patient
    whose treatments came in another order has two readings:

    - ``"strict"``: every stage needs all before it, one class more each. A patient who failed electroconvulsive therapy
      and never had a monoamine oxidase inhibitor stays at II or III; one with a serotonin reuptake inhibitor and a
      tricyclic alone is at II, since stage III is a tricyclic after two other classes.
    - ``"highest"``: the highest stage whose own treatment failed, whatever came before.

    Thase and Rush 1997 as printed at medicalalgorithms.com/treatment-resistant-depression-strategies, with the same
    caution. Augmentation does not count, and adequacy is not defined by the system.

    Parameters
    ----------
    values
        ``failed_classes`` (number of major classes of which an adequate trial failed: serotonin reuptake inhibitors,
        serotonin-noradrenaline reuptake inhibitors, tricyclics, monoamine oxidase inhibitors, others), ``failed_tca``,
        ``failed_maoi`` and ``failed_ect`` (bilateral).
    reading
        ``"strict"`` or ``"highest"``.

    Returns
    -------
    tuple of float
        The stage, twice.

    Raises
    ------
    NoScore
        Where the items contradict each other.

    Examples
    --------
    >>> without_maoi = {"failed_classes": 3, "failed_tca": 1, "failed_maoi": 0, "failed_ect": 1}
    >>> score_thase_rush(without_maoi), score_thase_rush(without_maoi, reading="highest")
    ((3.0, 3.0), (5.0, 5.0))
    """
    classes, tca, maoi, ect = (values[item.name] for item in THASE_RUSH_ITEMS)
    if not tca + maoi <= classes <= 3 + tca + maoi:  # three classes are neither
        raise NoScore(
            f"{classes:g} classes failed, which contradicts failed_tca = {tca:g} and failed_maoi = {maoi:g}; correct "
            "one of them"
        )
    if reading == "highest":
        stage = 5.0 if ect else 4.0 if maoi else 3.0 if tca else min(classes, 2.0)
        return stage, stage
    stage = min(classes, 2.0)
    if classes >= 3 and tca:
        stage = 3.0
        if classes >= 4 and maoi:
            stage = 5.0 if ect else 4.0
    return stage, stage


THASE_RUSH_ITEMS = (
    Item("failed_classes", "major classes of which an adequate trial failed", "count", (0, 1, 2, 3, 4, 5), 5),
    _yes_no("failed_tca", "whether an adequate trial of a tricyclic failed"),
    _yes_no("failed_maoi", "whether an adequate trial of a monoamine oxidase inhibitor failed"),
    _yes_no("failed_ect", "whether a course of bilateral electroconvulsive therapy failed"),
)


def _roman(score: float) -> str:
    return ("0", "I", "II", "III", "IV", "V")[int(score)]


# Massachusetts General Hospital


def score_mgh(values: Values) -> tuple[float, float]:
    """Add up the points of the Massachusetts General Hospital staging (MGH-s), from 0 without an upper end.

    One point for each trial of an antidepressant without response (at least six weeks at an adequate dose), half a
    point for augmentation and for optimisation, summed over trials, and 3 points for electroconvulsive therapy. Hägg et
    al. 2020, PLoS One 15(7):e0236434, Panel 1, whose version for registers takes 4 points or more as treatment
    resistance; Raison 2013 included patients with 2 or more. How the first description (Fava 2003) counts several
    optimisations of one trial could not be verified: count what your protocol counts.

    Parameters
    ----------
    values
        ``failed_trials``, ``augmentations`` and ``optimisations`` (numbers of trials) and ``ect``.

    Returns
    -------
    tuple of float
        The score, twice.

    Examples
    --------
    >>> score_mgh({"failed_trials": 3, "augmentations": 1, "optimisations": 0, "ect": 1})
    (6.5, 6.5)
    """
    total = values["failed_trials"] + 0.5 * (values["augmentations"] + values["optimisations"]) + 3 * values["ect"]
    return float(total), float(total)


# European


_WEEKS = ((12, 16), (18, 24), (24, 32), (30, 40), (36, 52))  # of TRD1 to TRD5, as printed


def score_european(values: Values) -> tuple[float, float]:
    """Find the stage of the European staging method: non-responder, TRD1 to TRD5, or chronic.

    Two failed treatments are needed for TRD, whose stage is the weeks of failed treatment: TRD1 12 to 16, TRD2 18 to
    24, TRD3 24 to 32, TRD4 30 to 40, TRD5 36 to 52 (Hägg et al. 2020, PLoS One 15(7):e0236434, Panel 1; the ranges
    overlap as printed); longer than that is chronic resistant depression. One failed treatment, or fewer than 12 weeks,
    is a non-responder. Weeks in two printed ranges give both stages, and weeks between two ranges the stages around
    them: an interval, since the rule does not choose.

    Parameters
    ----------
    values
        ``failed_trials`` and ``failed_weeks`` (weeks of failed treatment in all).

    Returns
    -------
    tuple of float
        The lowest and the highest stage: 0 a non-responder, 1 to 5 TRD1 to TRD5, 6 chronic.

    Raises
    ------
    NoScore
        Where no treatment failed.

    Examples
    --------
    >>> score_european({"failed_trials": 2, "failed_weeks": 24})
    (2.0, 3.0)
    """
    trials, weeks = values["failed_trials"], values["failed_weeks"]
    if trials < 1:
        raise NoScore("no treatment failed, and the system begins at one that did; leave this patient out")
    if trials < 2 or weeks < _WEEKS[0][0]:
        return 0.0, 0.0
    if weeks > _WEEKS[-1][1]:
        return 6.0, 6.0
    stages = [stage for stage, (first, last) in enumerate(_WEEKS, 1) if first <= weeks <= last]
    if not stages:  # between two printed ranges
        below = sum(last < weeks for _, last in _WEEKS)
        stages = [below, below + 1]
    return float(stages[0]), float(stages[-1])


def _european_label(score: float) -> str:
    return ("non-responder", "TRD1", "TRD2", "TRD3", "TRD4", "TRD5", "chronic")[int(score)]


# Group for the Study of Resistant Depression


def score_gsrd(values: Values) -> tuple[float, float]:
    """Tell whether a depression is resistant by the definition of the Group for the Study of Resistant Depression.

    A MADRS of 22 or more after at least two adequate antidepressant trials (Kautzky et al. 2019, Acta Psychiatr Scand
    139:78, doi:10.1111/acps.12959, open, abstract). A definition rather than a stage: 0 or 1.

    Parameters
    ----------
    values
        ``failed_trials`` and ``madrs`` (now).

    Returns
    -------
    tuple of float
        1 where it is, else 0; twice.

    Examples
    --------
    >>> score_gsrd({"failed_trials": 2, "madrs": 22}), score_gsrd({"failed_trials": 3, "madrs": 21})
    ((1.0, 1.0), (0.0, 0.0))
    """
    found = float(values["failed_trials"] >= 2 and values["madrs"] >= 22)
    return found, found


_FAILED_TRIALS = "adequate trials of an antidepressant without response"
SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System(
            "maudsley",
            "Maudsley Staging Method",
            (
                Item("duration_months", "months of the episode", "number", (0, 13, 25)),
                Item("severity", "severity at baseline", "severity", (1, 2, 3, 4, 5), 5),
                Item("failed_antidepressants", "antidepressants that failed in the episode", "count", (1, 3, 5, 7, 11)),
                _yes_no("augmentation", "whether augmentation was used"),
                _yes_no("ect", "whether electroconvulsive therapy was used"),
            ),
            score_maudsley,
            3,
            15,
            _maudsley_band,
            "Hägg 2020, PLoS One 15(7):e0236434, Panel 1; Fekadu 2018, BMC Psychiatry 18:100, Table 3",
        ),
        System(
            "thase-rush",
            "Thase and Rush staging",
            THASE_RUSH_ITEMS,
            score_thase_rush,
            0,
            5,
            _roman,
            "Thase and Rush 1997, as printed at medicalalgorithms.com/treatment-resistant-depression-strategies",
        ),
        System(
            "mgh",
            "Massachusetts General Hospital staging",
            (
                Item("failed_trials", _FAILED_TRIALS, "count", (0, inf)),
                Item("augmentations", "trials that were augmented", "count", (0, inf)),
                Item("optimisations", "trials whose dose was optimised", "count", (0, inf)),
                _yes_no("ect", "whether electroconvulsive therapy was used"),
            ),
            score_mgh,
            0,
            inf,
            None,
            "Hägg 2020, PLoS One 15(7):e0236434, Panel 1",
        ),
        System(
            "european",
            "European staging method",
            (
                Item("failed_trials", _FAILED_TRIALS, "count", (1, 2)),
                Item("failed_weeks", "weeks of failed treatment in all", "number", (0, 53)),
            ),
            score_european,
            0,
            6,
            _european_label,
            "Hägg 2020, PLoS One 15(7):e0236434, Panel 1",
        ),
        System(
            "gsrd",
            "Group for the Study of Resistant Depression, definition",
            (
                Item("failed_trials", _FAILED_TRIALS, "count", (0, 2)),
                Item("madrs", "MADRS now", "number", (0, 22), 60),
            ),
            score_gsrd,
            0,
            1,
            lambda score: "resistant" if score else "not resistant",
            "Kautzky 2019, Acta Psychiatr Scand 139:78, doi:10.1111/acps.12959, abstract",
        ),
    )
}


def possible_scores(system: System, scenarios: Sequence[Mapping[str, float | None]]) -> tuple[float, float]:
    """Find the interval of scores that a patient could have.

    Parameters
    ----------
    system
        The system.
    scenarios
        Ways in which the patient's history could be completed, each with a value or None (missing) for every item. A
        patient could have a score if any completion of any scenario has it.

    Returns
    -------
    tuple of float
        The lowest and the highest score of all completions that the system can score.

    Raises
    ------
    NoScore
        Where no completion can be scored.

    Examples
    --------
    >>> known = {"duration_months": 30, "severity": None, "failed_antidepressants": 5, "augmentation": 1, "ect": 0}
    >>> possible_scores(SYSTEMS["maudsley"], [known])
    (8.0, 12.0)
    """
    low, high, problem = inf, -inf, NoScore()
    for scenario in scenarios:
        known = {item.name: scenario[item.name] for item in system.items}
        options = [item.candidates if (value := known[item.name]) is None else (value,) for item in system.items]
        for values in itertools.product(*options):
            try:
                lower, upper = system.score(dict(zip(known, values, strict=True)))
            except NoScore as why:
                problem = why
                continue
            low, high = min(low, lower), max(high, upper)
    if low > high:
        raise problem
    return low, high
