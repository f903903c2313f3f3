"""Treatment trials of patients, one row each -> the items that staging systems count, in every way they could be.

A cell that is missing leaves several possible histories: each is followed to its counts, so that the interval of
possible scores is exact. Nothing is guessed, and no drug is looked up: the class of a drug is what its column says.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from bayesdep.data.errors import BadInput, did_you_mean

CLASSES = {
    **dict.fromkeys(("ssri", "selective serotonin reuptake inhibitor"), "SSRI"),
    **dict.fromkeys(("snri", "serotonin-norepinephrine reuptake inhibitor"), "SNRI"),
    **dict.fromkeys(("tca", "tricyclic"), "TCA"),
    **dict.fromkeys(("maoi", "mao inhibitor"), "MAOI"),
    "other": "other",
}
_GROUPS = tuple(sorted({*CLASSES.values()}))
_SHORTEST = 6.0  # weeks of a trial that counts for the MGH staging
_MOST = 20_000  # histories that are followed


@dataclass(frozen=True)
class TreatmentTrial:
    """What a row says of one treatment trial; None where it is not known.

    Parameters
    ----------
    drug, group
        The drug, and its major class, one of the values of :data:`CLASSES`.
    weeks
        How long it was taken.
    adequate, response
        Whether dose and duration were adequate, and whether the patient responded.
    augmentation, optimisation
        Whether it was augmented, and its dose optimised.
    ect
        Whether it was electroconvulsive therapy rather than a drug.
    bilateral
        Whether that was bilateral.
    """

    drug: str | None
    group: str | None
    weeks: float | None
    adequate: bool | None
    response: bool | None
    augmentation: bool | None
    optimisation: bool | None
    ect: bool | None
    bilateral: bool | None


@dataclass(frozen=True)
class _History:
    """What a patient's trials add up to, in one of the ways in which they could be completed."""

    drugs: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    failed: int = 0
    failed_long: int = 0  # of at least six weeks
    shortest: float = 0.0  # weeks of failed trials
    longest: float = 0.0
    augmentations: int = 0
    optimisations: int = 0
    ect: bool = False
    failed_ect: bool = False

    def items(self) -> Iterator[dict[str, float | None]]:
        """Give every item that a system may ask for; twice where the weeks are not known."""
        counted = {
            "failed_antidepressants": len(self.drugs),
            "failed_trials": self.failed,
            "failed_trials_of_six_weeks": self.failed_long,
            "failed_classes": len(self.groups),
            "failed_tca": "TCA" in self.groups,
            "failed_maoi": "MAOI" in self.groups,
            "failed_ect": self.failed_ect,
            "augmentation": self.augmentations > 0,
            "augmentations": self.augmentations,
            "optimisations": self.optimisations,
            "ect": self.ect,
        }
        for weeks in {self.shortest, self.longest}:
            yield {**{name: float(value) for name, value in counted.items()}, "failed_weeks": weeks}


def count_trials(trials: Sequence[TreatmentTrial], where: str) -> list[dict[str, float | None]]:
    """Count what a patient's trials add up to, in every way in which their missing cells could be completed.

    A trial failed if it was adequate and there was no response; where either is missing it may have failed or not.
    Electroconvulsive therapy is no antidepressant. A drug that is not named may be any of the patient's others, or
    another.

    Parameters
    ----------
    trials
        The patient's trials.
    where
        The patient, for messages.

    Returns
    -------
    list of dict
        Items by name, one dict a possible history.

    Raises
    ------
    BadInput
        When there are too many possible histories.

    Examples
    --------
    >>> known = {"weeks": 8.0, "augmentation": False, "optimisation": False, "ect": False, "bilateral": None}
    >>> one = TreatmentTrial("sertraline", "SSRI", adequate=True, response=False, **known)
    >>> other = TreatmentTrial("imipramine", "TCA", adequate=True, response=None, **known)
    >>> sorted({items["failed_trials"] for items in count_trials([one, other], "p1")})
    [1.0, 2.0]
    """
    named = {trial.drug for trial in trials if trial.drug is not None}
    named |= {f"unnamed {k}" for k, trial in enumerate(trials) if trial.drug is None}
    histories = {_History()}
    for trial in trials:
        ways = list(_completions(trial, sorted(named)))
        histories = {_add(history, way, trial.weeks) for history in histories for way in ways}
        if len(histories) > _MOST:
            empty = sum(None in (t.drug, t.adequate, t.response, t.augmentation, t.ect) for t in trials)
            raise BadInput(
                f"{where} has {empty} treatment trials with missing cells, which are more histories than can be "
                "followed; fill some of them in, or leave this patient out"
            )
    return [items for history in histories for items in history.items()]


@dataclass(frozen=True)
class _Completed:
    """One way in which a trial could be completed, as far as it matters."""

    drug: str
    group: str
    failed: bool
    augmented: bool
    optimised: bool
    ect: bool
    bilateral: bool


def _completions(trial: TreatmentTrial, named: Sequence[str]) -> Iterator[_Completed]:
    """Every way in which a trial could be completed; what does not matter is left out, so that ways are few."""
    either = (False, True)
    failed: tuple[bool, ...] = either
    if trial.adequate is False or trial.response is True:
        failed = (False,)
    elif trial.adequate and trial.response is False:
        failed = (True,)
    known = [
        either if value is None else (value,)
        for value in (trial.augmentation, trial.optimisation, trial.ect, trial.bilateral)
    ]
    for has_failed, augmented, optimised, ect, bilateral in itertools.product(failed, *known):
        counts = has_failed and not ect  # as a failed antidepressant
        drugs = named if counts and trial.drug is None else (trial.drug or "",)
        groups = _GROUPS if counts and trial.group is None else (trial.group or "",)
        for drug, group in itertools.product(drugs, groups):
            yield _Completed(drug, group, has_failed, augmented, optimised, ect, ect and bilateral)


def _add(history: _History, way: _Completed, weeks: float | None) -> _History:
    """Add one trial to a history."""
    if way.ect:
        return _History(
            **{
                **history.__dict__,
                "ect": True,
                "failed_ect": history.failed_ect or (way.failed and way.bilateral),
                "augmentations": history.augmentations + way.augmented,
                "optimisations": history.optimisations + way.optimised,
            }
        )
    return _History(
        drugs=history.drugs | ({way.drug} if way.failed else set()),
        groups=history.groups | ({way.group} if way.failed else set()),
        failed=history.failed + way.failed,
        failed_long=history.failed_long + (way.failed and (weeks is None or weeks >= _SHORTEST)),
        shortest=history.shortest + (weeks or 0.0) * way.failed,
        longest=history.longest + ((inf if weeks is None else weeks) if way.failed else 0.0),
        augmentations=history.augmentations + way.augmented,
        optimisations=history.optimisations + way.optimised,
        ect=history.ect,
        failed_ect=history.failed_ect,
    )


def read_class(cell: str | None, where: str) -> str | None:
    """Read the major class of an antidepressant.

    Parameters
    ----------
    cell
        What is written; None where nothing is.
    where
        Column and row, for messages.

    Returns
    -------
    str or None
        ``"SSRI"``, ``"SNRI"``, ``"TCA"``, ``"MAOI"`` or ``"other"``.

    Raises
    ------
    BadInput
        When it is another word.

    Examples
    --------
    >>> read_class("tricyclic", "column 'class', row 1")
    'TCA'
    """
    if cell is None:
        return None
    if cell.casefold() not in CLASSES:
        raise BadInput(
            f"{where} is '{cell}', which is not a major class here; {did_you_mean(cell, CLASSES.values())}, or 'other'"
        )
    return CLASSES[cell.casefold()]


def failed_trials_named(items: Mapping[str, float | None], system: str) -> dict[str, float | None]:
    """Give a history's items under the names of a system, whose ``failed_trials`` may need six weeks.

    Parameters
    ----------
    items
        As :func:`count_trials` returns them.
    system
        The system's name.

    Returns
    -------
    dict
        The items by name.
    """
    named = dict(items)
    if system == "mgh":
        named["failed_trials"] = items["failed_trials_of_six_weeks"]
    return named
