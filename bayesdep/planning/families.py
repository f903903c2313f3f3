"""For each family, how its plan would read for a table: which column is what, and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.labels import control_of, words_of
from bayesdep.planning.columns import Columns

_UNITS = {"hamd": "HAM-D points", "ham_d": "HAM-D points", "hdrs": "HAM-D points", "hrsd": "HRSD points",
          "madrs": "MADRS points", "bdi": "BDI points", "qids": "QIDS points", "phq9": "PHQ-9 points",
          "panss": "PANSS points", "improvement": "% improvement"}  # fmt: skip
_MEASURES = {"difference": (), "standardised-difference": ("smd", "g", "d", "hedges"),
             "log-odds-ratio": ("or", "logor", "lnor"), "log-risk-ratio": ("rr", "logrr", "lnrr"),
             "risk-difference": ("rd",)}  # fmt: skip
_BETTER = ("remission", "remitted", "recovered", "well", "healthy", "response", "responder", "responded", "better",
           "improved", "partial response", "mild", "moderate", "same", "unchanged", "no response", "neither", "none",
           "non-responder", "ill", "worse", "severe", "relapse", "dead", "death")  # fmt: skip
_ROMAN = {"0": 0, "i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
_HIGHEST, _ITEMS = 4, 5  # of a depression scale: the highest score of an item, and the fewest items
_LIMITS = ("unit", "plate", "censored", "lod", "lloq", "uloq")


@dataclass
class Draft:
    """How a plan of one family would read for a table.

    Parameters
    ----------
    family
        The family.
    columns
        The table's name for each of the family's words.
    settings
        Settings of the model that differ from their defaults, or have none.
    keep, require
        Rows to analyse, and columns that must have a value.
    why
        What was found in the table, as clauses.
    asks
        What the table does not tell, and a person must look at: a sentence by key.
    others
        Columns that could enter the model as well: moderators, covariates.
    """

    family: str
    columns: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)
    keep: dict[str, Any] = field(default_factory=dict)
    require: list[str] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    asks: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def compare(self, word: str, column: str, table: Columns, key: str = "reference") -> None:
        """Set a column of arms, groups or treatments, and which of them the others are compared with."""
        self.columns[word] = column
        self.choose(key, table.levels(column), f"The {word} that the others are compared with")

    def choose(self, key: str, labels: Sequence[str], what: str) -> None:
        """Set a label that others are compared with: the control where one is called so, else the first."""
        control = control_of(labels)
        self.settings[key] = labels[0] if control is None else control
        if control is None:
            self.asks[key] = f"{what}: the table does not say which; the first of {_listed(labels)} stands here."


def _listed(labels: Sequence[str], most: int = 6) -> str:
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(f"'{label}'" for label in labels[:most]) + more


def _several(labels: Sequence[str]) -> str:
    return f"{len(labels)} labels ({_listed(labels)})"


# People


def _person(table: Columns) -> str | None:
    """The column of people: called so, and with more than a few different labels."""
    name = table.find("subject")
    return name if name is not None and len(table.levels(name)) > 2 else None


def _time(table: Columns, person: str, but: Sequence[str | None] = ()) -> str | None:
    """The column of planned times: it varies within people and has the fewest labels of those called like times."""
    names = [n for n in table.names if n not in but and table.find("time", [n]) and table.varies_within(n, person)]
    names = [n for n in names if table.times(n) is not None]
    return min(names, key=lambda n: (len(table.levels(n)), names.index(n)), default=None)


def _outcome(table: Columns, person: str, but: Sequence[str | None]) -> str | None:
    """The column of a score that changes within people: called like one, or the only column of numbers that does."""
    varying = [n for n in table.numbers if n not in but and table.varies_within(n, person)]
    called = [n for n in varying if table.find("outcome", [n])] or varying
    whole = [n for n in called if _empty(table, n) == min(_empty(table, one) for one in called)]
    return table.find("outcome", whole) or next(iter(whole), None)


def _empty(table: Columns, *names: str) -> int:
    """How many rows lack a value in some columns."""
    return int(table.frame[list(names)].isna().any(axis=1).sum())


def _baseline(table: Columns, person: str, outcome: str, but: Sequence[str | None]) -> str | None:
    """The column of the outcome at baseline: the same in all of a person's rows, and called so."""
    constant = [n for n in table.numbers if n not in (*but, outcome) and not table.varies_within(n, person)]
    called = [n for n in constant if set(words_of(n)) & {"baseline", "base", "bl", "pre"}]
    ours = [n for n in called if set(words_of(n)) & set(words_of(outcome))]
    return next(iter([*ours, *called]), None)


def _remaining(table: Columns, draft: Draft, person: str) -> list[str]:
    """Columns that are the same in all of a person's rows and are not used yet."""
    used = {*draft.columns.values(), *draft.keep}
    return [n for n in table.names if n not in used and n != person and not table.varies_within(n, person)]


def _units(draft: Draft, outcome: str) -> None:
    """Name the outcome's units where its column's name says them."""
    for word, units in _UNITS.items():
        if f"_{word}_" in f"_{'_'.join(words_of(outcome))}_":
            draft.settings["units"] = units


def _limits(table: Columns, value: str) -> dict[str, str]:
    """The columns of units, plates, flags and limits beside a column of concentrations."""
    return {word: name for word in _LIMITS if (name := table.find(word, but=[value])) is not None}


def trial(table: Columns) -> Draft | None:
    """A score at visits, in people randomised to arms."""
    person = _person(table)
    if person is None or (arm := _arm(table, person)) is None:
        return None
    visit = _time(table, person, (arm,))
    outcome = None if visit is None else _outcome(table, person, (arm, visit, *_like_times(table)))
    if visit is None or outcome is None:
        return None
    draft = Draft("trial", {"outcome": outcome, "subject": person, "arm": arm, "visit": visit})
    draft.compare("arm", arm, table)
    _units(draft, outcome)
    baseline = _baseline(table, person, outcome, (arm, visit))
    times = table.times(visit) or []
    if baseline is None:
        draft.settings["baseline"] = False
        draft.asks["baseline"] = "No column is called baseline; name it in [data.columns] if there is one."
    else:
        draft.columns["baseline"] = baseline
        first = table.frame[table.frame[visit].astype(str) == str(table.value(visit, times[0]))]
        same = (first[outcome] - first[baseline]).abs().max()
        if len(first) and same <= 1e-9:  # the baseline's own rows are no outcome
            draft.keep[visit] = [table.value(visit, one) for one in times[1:]]
    draft.why += [f"'{person}' names people with several rows", f"'{arm}' has {_several(table.levels(arm))}",
                  f"'{visit}' has {len(times)} times",
                  f"'{outcome}' is a number that changes within people"]  # fmt: skip
    draft.others = _remaining(table, draft, person)
    return draft


def _like_times(table: Columns) -> list[str]:
    return [n for n in table.numbers if table.find("time", [n])]


def _arm(table: Columns, person: str, word: str = "arm") -> str | None:
    """The column of arms or groups: a few labels, the same in all of a person's rows."""
    few = [n for n in table.few(table.names) if n != person and not table.varies_within(n, person)]
    return table.find(word, few)


def trajectories(table: Columns) -> Draft | None:
    """A score and markers over time in the same people, or a growth curve."""
    person = _person(table)
    if person is None:
        return None
    arm, value = _arm(table, person), _concentrations(table)
    time = _time(table, person, (arm, value))
    but = (arm, value, time, *_like_times(table), *_limits(table, value or "").values())
    outcome = None if time is None else _outcome(table, person, but)
    if time is None or outcome is None:
        return None
    draft = Draft("trajectories", {"outcome": outcome, "subject": person, "time": time})
    if arm is None:
        draft.settings["arm"] = False
    else:
        draft.compare("arm", arm, table)
    _units(draft, outcome)
    draft.why += [f"'{person}' names people with several rows", f"'{time}' has {len(table.levels(time))} times",
                  f"'{outcome}' is a number that changes within people"]  # fmt: skip
    if value is not None:
        draft.columns |= {"value": value, **_limits(table, value)}
        analyte = table.find("analyte")
        if analyte is not None:
            draft.columns["analyte"] = analyte
        draft.settings["association"] = ["value"]
        draft.why.append(f"'{value}' holds concentrations of a marker in the same people")
    draft.others = _remaining(table, draft, person)
    return draft


def crossover(table: Columns) -> Draft | None:
    """Each person has every treatment, in a period of its own."""
    person, period = _person(table), table.find("period")
    if person is None or period is None:
        return None
    few = [n for n in table.few(table.names) if n not in (person, period) and table.varies_within(n, person)]
    treatment = table.find("treatment", [n for n in few if n not in table.numbers] or few)
    day = table.find("day", but=[period])
    outcome = _outcome(table, person, (period, treatment, day))
    if treatment is None or outcome is None or day is None:
        return None
    columns = {"outcome": outcome, "subject": person, "treatment": treatment, "period": period, "day": day}
    draft = Draft("crossover", columns)
    draft.compare("treatment", treatment, table)
    baseline = _baseline(table, person, outcome, (period, treatment, day))
    if baseline is not None:
        draft.columns["baseline"] = baseline
    _units(draft, outcome)
    draft.why += [f"people of '{person}' have several treatments of '{treatment}' in periods of '{period}'",
                  f"'{outcome}' is a number"]  # fmt: skip
    return draft


def patient_meta(table: Columns) -> Draft | None:
    """Patients of several trials."""
    person, study = _person(table), table.find("study")
    if person is None or study is None or len(table.levels(study)) < 2 or study == table.find("analyte"):
        return None
    arm = _arm(table, person)
    if arm is None or len(table.levels(arm)) != 2 or table.varies_within(study, person):
        return None
    time = _time(table, person, (arm, study)) or _words_of_time(table, person, (arm, study))
    but = (arm, study, time, *_like_times(table))
    outcome = _outcome(table, person, but) or table.find("outcome", [n for n in table.numbers if n not in but])
    if outcome is None or time is None:
        return None
    draft = Draft("patient-meta", {"outcome": outcome, "study": study, "subject": person, "arm": arm, "time": time})
    draft.choose("reference", table.levels(arm), "The arm that the other is compared with")
    levels = table.times(time) or table.levels(time)
    draft.settings["times"] = levels[:2]
    if table.times(time) is None or len(levels) > 2:
        draft.asks["times"] = f"One time or two of {_listed(levels)}, in their order."
    baseline = _baseline(table, person, outcome, but)
    if baseline is not None and not table.blanks(baseline):
        draft.columns["baseline"] = baseline
    _units(draft, outcome)
    draft.why += [f"'{study}' has {len(table.levels(study))} studies, and '{person}' names their patients",
                  f"'{arm}' has {_several(table.levels(arm))}", f"'{outcome}' is a number"]  # fmt: skip
    draft.others = [n for n in _remaining(table, draft, person) if n in table.numbers and not table.blanks(n)]
    return draft


def _words_of_time(table: Columns, person: str, but: Sequence[str | None]) -> str | None:
    few = [n for n in table.few(table.names, 1) if n not in but]
    varying = [n for n in few if table.varies_within(n, person)]
    return table.find("time", varying) or table.find("time", [n for n in few if len(table.levels(n)) == 1])


# Concentrations


def _concentrations(table: Columns) -> str | None:
    """The column of concentrations: called so; numbers, or text with limits such as '<0.7'."""
    name = table.find("value")
    if name is None:
        return None
    shares = [any(c.isdigit() for c in label) for label in table.levels(name)[:50]]
    return name if name in table.numbers or sum(shares) > len(shares) / 2 else None


def cytokines(table: Columns) -> Draft | None:
    """Concentrations of analytes in people, groups and times."""
    value, person = _concentrations(table), _person(table)
    if value is None or person is None:
        return None
    draft = Draft("cytokines", {"value": value, "subject": person, **_limits(table, value)})
    analyte, group = table.find("analyte"), _arm(table, person, "group")
    if analyte is not None:
        draft.columns["analyte"] = analyte
        draft.why.append(f"'{analyte}' has {len(table.levels(analyte))} analytes")
    draft.why.append(f"'{value}' holds concentrations")
    if group is not None:
        draft.compare("group", group, table)
        draft.why.append(f"'{group}' has {_several(table.levels(group))}")
    time = _time(table, person, (group, analyte, *draft.columns.values()))
    if time is not None:
        draft.columns["time"] = time
        draft.settings["group_by_time"] = group is not None and _meet(table, group, time)
        draft.why.append(f"'{time}' has {len(table.levels(time))} times")
    draft.others = _remaining(table, draft, person)
    return draft


def _meet(table: Columns, group: str, time: str) -> bool:
    """Whether every group was seen at every time."""
    seen = table.frame[[group, time]].dropna().drop_duplicates()
    return len(seen) == len(table.levels(group)) * len(table.levels(time))


def _one_sample(table: Columns, draft: Draft, person: str) -> None:
    """Keep the first time where people have several, as their outcome is one."""
    time = _time(table, person)
    if time is not None:
        first = (table.times(time) or [])[0]
        draft.keep[time] = table.value(time, first)
        draft.asks["keep"] = f"People have several times; the first of '{time}' is kept."


def response(table: Columns) -> Draft | None:
    """Concentrations as predictors of an outcome with two values."""
    value, person = _concentrations(table), _person(table)
    if value is None or person is None:
        return None
    two = [n for n in table.few(table.names, 2, 2) if n != person and not table.varies_within(n, person)]
    outcome = table.find("responder", two)
    if outcome is None:
        return None
    draft = Draft("response", {"outcome": outcome, "subject": person, "value": value, **_limits(table, value)})
    analyte = table.find("analyte")
    if analyte is not None:
        draft.columns["analyte"] = analyte
    if analyte is None or len(table.levels(analyte)) == 1:
        draft.settings["predicts_when"] = "above"
        draft.asks["predicts_when"] = "Whether values above or below a cutoff predict the outcome: your hypothesis."
    labels = table.levels(outcome)
    if not set(labels) <= {"0", "1"} and not pd.api.types.is_bool_dtype(table.frame[outcome].dropna().infer_objects()):
        yes = [label for label in labels if label.lower() in ("yes", "true", "y", *_BETTER[:7])]
        draft.settings["event"] = yes[0] if yes else labels[0]
        draft.asks["event"] = f"The label of {_listed(labels)} that counts as the event."
    _one_sample(table, draft, person)
    draft.why += [f"'{value}' holds concentrations", f"'{outcome}' has two values, one for each of '{person}'"]
    draft.others = _remaining(table, draft, person)
    return draft


def correlation(table: Columns) -> Draft | None:
    """One concentration and one score of each person."""
    value, person = _concentrations(table), _person(table)
    if value is None or person is None:
        return None
    but = {value, person, *_limits(table, value).values()}
    once = [n for n in table.numbers if n not in but and not table.varies_within(n, person)]
    score = table.find("outcome", [n for n in once if len(table.levels(n)) > 2])
    if score is None:
        return None
    draft = Draft("correlation", {"score": score, "subject": person, "value": value, **_limits(table, value)})
    analyte = table.find("analyte")
    if analyte is not None and len(table.levels(analyte)) > 1:
        draft.keep[analyte] = table.value(analyte, table.levels(analyte)[0])
    _one_sample(table, draft, person)
    if analyte is not None and analyte in draft.keep:
        draft.asks["keep"] = f"One analyte and one time of each person: the first of '{analyte}' stands here."
    _units(draft, score)
    draft.why += [f"'{value}' holds concentrations", f"'{score}' is a number, one for each of '{person}'"]
    return draft


# Categories


def _in_order(labels: Sequence[str]) -> tuple[list[str], bool]:
    """Labels from the best to the worst, and whether their names say so."""
    place = {word: i for i, word in enumerate(_BETTER)}

    def key(label: str) -> float:
        word = " ".join(label.lower().split())
        if word in place:
            return float(place[word])
        bare = word.removeprefix("stage ").strip()
        if bare in _ROMAN:
            return len(_BETTER) + _ROMAN[bare]
        return float(bare) + 100 if bare.replace(".", "", 1).isdigit() else np.inf

    known = all(np.isfinite(key(label)) for label in labels)
    return (sorted(labels, key=key) if known else list(labels)), known


def _states(table: Columns, person: str, but: Sequence[str | None]) -> str | None:
    """The column of categories that change within people."""
    few = [n for n in table.few(table.names, 2, 9) if n not in but and table.varies_within(n, person)]
    few = [n for n in few if n not in table.numbers or n in table.counts]
    return table.find("state", few) or table.find("outcome", few) or table.find("responder", few)


def _categories(draft: Draft, key: str, labels: Sequence[str]) -> None:
    ordered, known = _in_order(labels)
    draft.settings[key] = ordered
    said = "their names say so" if known else "this is only their order in the table"
    draft.asks[key] = f"From the best to the worst: {said}, so look whether it is right."


def transitions(table: Columns) -> Draft | None:
    """States of people at several times, or counts of people by state before and after."""
    before, after, n = table.find("before"), table.find("after"), table.find("n")
    if before is not None and after is not None and n is not None:
        return _published_transitions(table, before, after, n)
    person = _person(table)
    arm = None if person is None else _arm(table, person)
    visit = None if person is None else _time(table, person, (arm,))
    state = None if person is None or visit is None else _states(table, person, (arm, visit))
    if person is None or visit is None or state is None:
        return None
    draft = Draft("transitions", {"state": state, "subject": person, "visit": visit})
    if arm is not None:
        draft.compare("arm", arm, table)
    _categories(draft, "states", table.levels(state))
    draft.why += [f"'{state}' has {_several(table.levels(state))}, which change within people of '{person}'",
                  f"'{visit}' has {len(table.levels(visit))} times"]  # fmt: skip
    return draft


def _published_transitions(table: Columns, before: str, after: str, n: str) -> Draft:
    share = table.find("share", table.numbers, but=[n])
    draft = Draft("transitions", {"before": before, "after": after, "n": n})
    draft.settings["input"] = "counts" if share is None else "shares"
    if share is not None:
        draft.columns["share"] = share
    arm = table.find("arm", but=[before, after])
    if arm is not None and len(table.levels(arm)) > 1:
        draft.compare("arm", arm, table)
    states = [one for label in [*table.levels(before), *table.levels(after)] for one in label.split(" | ")]
    _categories(draft, "states", list(dict.fromkeys(states)))
    draft.why.append(f"'{before}' and '{after}' are states, and '{n}' counts people")
    return draft


def ordinal(table: Columns) -> Draft | None:
    """Ordered categories of people, or counts of people by category."""
    person = _person(table)
    if person is None:
        return _counted_categories(table)
    arm = _arm(table, person)
    visit = _time(table, person, (arm,))
    few = [n for n in table.few(table.names, 3, 9) if n not in (person, arm, visit)]
    state = _states(table, person, (arm, visit)) or table.find("state", few) or table.find("outcome", few)
    if state is None:
        return None
    draft = Draft("ordinal", {"outcome": state, "subject": person})
    if visit is not None:
        draft.columns["visit"] = visit
    if arm is not None:
        draft.compare("arm", arm, table)
    _categories(draft, "categories", table.levels(state))
    draft.why.append(f"'{state}' has {_several(table.levels(state))}")
    draft.others = _remaining(table, draft, person)
    return draft


def items(table: Columns) -> Draft | None:
    """A scale item by item, a column an item, in people at visits."""
    person = _person(table)
    if person is None or (arm := _arm(table, person)) is None or (visit := _time(table, person, (arm,))) is None:
        return None
    highest: dict[str, int] = {}
    for name in table.numbers:
        scores = table.frame[name].dropna().to_numpy(dtype=float)
        is_score = len(scores) > 0 and bool((np.isin(scores, range(_HIGHEST + 1))).all()) and scores.max() > 0
        if is_score and name not in (person, arm, visit) and table.varies_within(name, person):
            highest[name] = int(scores.max())
    if len(highest) < _ITEMS:
        return None
    draft = Draft("items", {"subject": person, "arm": arm, "visit": visit}, {"items": highest})
    draft.compare("arm", arm, table)
    draft.asks["items"] = "the highest possible score of each item; the largest in the table stands here."
    draft.why.append(f"{len(highest)} columns hold scores from 0 to at most {_HIGHEST} that change within people")
    draft.others = [n for n in _remaining(table, draft, person) if n not in highest]
    return draft


def _counted_categories(table: Columns) -> Draft | None:
    count = table.find("count", table.counts)
    few = [n for n in table.few(table.names, 3, 9) if n != count]
    state = table.find("outcome", few) or table.find("state", few)
    if count is None or state is None:
        return None
    draft = Draft("ordinal", {"outcome": state, "count": count})
    arm = table.find("arm", table.few(table.names), but=[state, count])
    if arm is not None:
        draft.compare("arm", arm, table)
    _categories(draft, "categories", table.levels(state))
    draft.why.append(f"'{state}' has {_several(table.levels(state))}, and '{count}' counts people")
    return draft


# Counts


def counts(table: Columns) -> Draft | None:
    """Events and people by arm, in subgroups or not."""
    arm = table.find("arm", table.few(table.names))
    n = table.find("n", table.counts)
    events = table.find("events", table.counts, but=[n])
    if arm is None or n is None or events is None or _person(table) is not None or table.find("study"):
        return None
    draft = Draft("counts", {"arm": arm, "events": events, "n": n})
    draft.compare("arm", arm, table, "control")
    others = [name for name in table.names if name not in (arm, n, events) and name not in table.numbers]
    subgroup = table.find("subgroup", others) or next(iter(table.few(others)), None)
    if subgroup is None:
        return None
    draft.columns["subgroup"] = subgroup
    draft.why += [f"'{arm}' has {_several(table.levels(arm))}", f"'{events}' counts events among '{n}' people"]
    return draft


def screen(table: Columns) -> Draft | None:
    """Two rows: how many with and without a condition test positive."""
    n = table.find("n", table.counts)
    labels = [name for name in table.names if name not in table.numbers and len(table.levels(name)) == 2]
    left = [name for name in table.counts if name != n]
    if len(table) != 2 or n is None or not labels or not left or table.find("se", table.numbers):
        return None
    group, positives = table.find("group", labels) or labels[0], table.find("positives", left) or left[0]
    draft = Draft("screen", {"group": group, "positives": positives, "n": n})
    levels = table.levels(group)
    control = control_of(levels) or next((x for x in levels if x.lower().startswith(("non", "no ", "not "))), None)
    draft.settings["condition"] = next(x for x in levels if x != control) if control else levels[0]
    draft.asks["condition"] = "Those whom the test is to find."
    draft.why += [f"'{group}' has two labels and a row each", f"'{positives}' counts positives among '{n}' people"]
    return draft


def stepwise(table: Columns) -> Draft | None:
    """Who entered each step of treatment, and who remitted there."""
    entered = table.find("entered", table.counts)
    remitted = table.find("remitted", table.counts, but=[entered])
    step = table.find("step", but=[entered, remitted])
    if step is None or entered is None or remitted is None or _person(table) is not None:
        return None
    draft = Draft("stepwise", {"step": step, "entered": entered, "remitted": remitted})
    arm = table.find("arm", but=[step])
    if arm is not None and table.repeats(step):
        draft.columns["arm"] = arm
    most = [name for name in table.counts if name.endswith("at_most")]
    if most:
        draft.columns["remitted_at_most"] = most[0]
    draft.why.append(f"'{remitted}' counts those who remitted among '{entered}' who entered '{step}'")
    return draft


# Studies


def meta(table: Columns) -> Draft | None:
    """Studies with an effect and its standard error, or with what both follow from."""
    words = [n for n in table.names if n not in table.numbers and not table.blanks(n)]
    own = [n for n in words if len(table.levels(n)) == len(table)]
    study = table.find("study", own) or table.find("study", words) or next(iter(own), None)
    if study is None or (_person(table) is not None and table.find("subject") != study):
        return None
    forms = (_from_arms, _from_estimates, _from_p_values, _from_rows_of_arms)
    drafts = [draft for form in forms if (draft := form(table, study)) is not None]
    if not drafts:
        return None
    draft = min(drafts, key=lambda one: _empty(table, *one.columns.values()))  # what most of the studies have
    if "analyte" in words_of(study):
        draft.settings["unit"] = "analyte"
    draft.why.insert(0, f"'{study}' has {len(table.levels(study))} labels of studies")
    draft.others = [n for n in table.numbers if n not in draft.columns.values() and not table.blanks(n)]
    return draft


def small_studies(table: Columns) -> Draft | None:
    """Studies, where publication may have depended on the results."""
    draft = meta(table)
    if draft is None or draft.settings.get("input", "estimates") not in ("estimates", "counts", "means"):
        return None
    effect = draft.columns.get("effect")
    below = effect is not None and float(table.frame[effect].mean()) < 0
    draft.settings["favours"] = "negative" if below else "positive"
    draft.asks["favours"] = "The direction of effects that are published more readily."
    draft.family = "small-studies"
    draft.settings.pop("likelihood", None)
    draft.others = []
    return draft


def _two_arms(table: Columns) -> tuple[dict[str, str], str, str] | None:
    """The columns of people of two arms by the arms' words, the treated arm's word and the control's."""
    people = {_arm_word(n): n for n in table.counts if _is_n(n) and _arm_word(n)}
    if len(people) != 2:
        return None
    control = control_of(list(people)) or list(people)[1]
    return people, next(word for word in people if word != control), control


def _from_arms(table: Columns, study: str) -> Draft | None:
    """Two arms a row: columns that share an arm's word, such as n_vaccinated and tb_vaccinated."""
    if (arms := _two_arms(table)) is None:
        return None
    people, treated, control = arms
    found = {word: _of_arm(table, word, people[word]) for word in (treated, control)}
    forms: dict[str, tuple[str, ...]] = {"means": ("mean", "sd"), "moments": ("mean", "sem"), "counts": ("events",)}
    complete = [form for form, parts in forms.items() if all(part in found[word] for word in found for part in parts)]
    if not complete:
        return None
    form, parts = complete[0], forms[complete[0]]
    columns = {"study": study}
    for side, word in (("treated", treated), ("control", control)):
        columns |= {f"{part}_{side}": found[word][part] for part in parts} | {f"n_{side}": people[word]}
    measure = {"means": "standardised-difference", "moments": "log-geometric-mean-ratio", "counts": "log-odds-ratio"}
    draft = Draft("meta", columns, {"measure": measure[form], "input": form})
    if control_of(list(people)) is None:
        draft.asks["n_control"] = f"Which arm is the control: here it is '{control}', and '{treated}' is the other."
    if form == "counts" and _has_zeros(table, found, people):
        draft.settings["likelihood"] = "binomial"  # no log odds ratio has a standard error there
    if form == "moments":
        draft.asks["input"] = "Means and standard errors of values that are log-normal, such as concentrations."
    draft.why.append(f"two arms, '{treated}' and '{control}', each with {' and '.join(parts)} and people")
    return draft


def _has_zeros(table: Columns, found: dict[str, dict[str, str]], people: dict[str, str]) -> bool:
    """Whether in some arm nobody, or everybody, had the event."""
    pairs = [(table.frame[found[word]["events"]], table.frame[people[word]]) for word in found]
    return any(bool(((events == 0) | (events == n)).any()) for events, n in pairs)


def _arm_word(name: str) -> str:
    """The arm that a column of people names: ``"vaccinated"`` of ``"n_vaccinated"``, ``"1"`` of ``"n1i"``."""
    words = words_of(name)
    if len(words) == 1:
        return words[0][1:2] if words[0][:1] == "n" and words[0][1:2] in ("1", "2") else ""
    return "_".join(word for word in words if word not in ("n", "total", "size", "number", "people"))


def _is_n(name: str) -> bool:
    words = words_of(name)
    return "n" in words or "total" in words or (len(words) == 1 and words[0] in ("n1", "n2", "n1i", "n2i"))


def _of_arm(table: Columns, arm: str, people: str) -> dict[str, str]:
    """The columns of one arm beside its people: mean, sd, sem, events."""
    found: dict[str, str] = {}
    for name in table.numbers:
        words = words_of(name)
        if name == people or not (arm in "_".join(words) if len(arm) > 1 else name.rstrip("i").endswith(arm)):
            continue
        stem = words[0].rstrip("i").rstrip("12") if len(words) == 1 else ""
        if {"sem", "se"} & set(words):
            found.setdefault("sem", name)
        elif "sd" in words or stem == "sd":
            found.setdefault("sd", name)
        elif "mean" in words or stem in ("m", "mean"):
            found.setdefault("mean", name)
        elif name in table.counts and not _is_n(name):
            found.setdefault("events", name)
    return found


def _from_estimates(table: Columns, study: str) -> Draft | None:
    se = table.find("se", table.numbers)
    effect = table.find("effect", table.numbers, but=[se]) if se is not None else None
    if se is None or effect is None:
        return None
    words = set(words_of(effect))
    named = next((m for m, others in _MEASURES.items() if words & set(others)), None)
    draft = Draft("meta", {"study": study, "effect": effect, "se": se}, {"measure": named or "difference"})
    if named is None:
        draft.asks["measure"] = (
            f"What '{effect}' is: its name does not say it, so here it is a difference in raw units."
        )
        largest = float(table.frame[effect].abs().max())
        draft.settings |= {"units": "points", "scale": float(f"{largest or 1.0:.2g}")}
        _units(draft, effect)
        draft.asks["units"] = "Units of the effect."
        draft.asks["scale"] = (
            "Default priors are multiples of a typical sd of the outcome among people treated alike, which the table "
            "does not tell: write it. The largest effect of the table stands here."
        )
    draft.why.append(f"'{effect}' is an effect and '{se}' its standard error")
    return draft


def _from_p_values(table: Columns, study: str) -> Draft | None:
    arms, p = _two_arms(table), table.find("p_value", table.numbers)
    direction = None if p is None else table.find("effect", table.numbers, but=[p])
    if p is None or direction is None or arms is None:
        return None
    people, treated, control = arms
    columns = {"study": study, "p_value": p, "direction": direction, "n_treated": people[treated],
               "n_control": people[control]}  # fmt: skip
    draft = Draft("meta", columns, {"measure": "standardised-difference", "input": "p-value"})
    draft.why.append(f"'{p}' is a P value and '{direction}' the difference whose sign it has")
    return draft


def _from_rows_of_arms(table: Columns, study: str) -> Draft | None:
    n = table.find("n", table.counts)
    events = table.find("events", table.counts, but=[n])
    arm = table.find("arm", [x for x in table.few(table.names) if x != study])
    if n is None or events is None:
        return None
    columns = {"study": study, "events": events, "n": n}
    if arm is None:
        return Draft("meta", columns, {"measure": "log-odds", "input": "events"},
                     why=[f"'{events}' counts events among '{n}' people"])  # fmt: skip
    draft = Draft("meta", {**columns, "arm": arm}, {"measure": "log-odds-ratio", "input": "arms"})
    draft.compare("arm", arm, table)
    draft.why.append(f"'{arm}' has {_several(table.levels(arm))}, a row each")
    return draft


# In the order in which they are suggested: the more a family asks of a table, the earlier.
DRAFTS: dict[str, Callable[[Columns], Draft | None]] = {
    "screen": screen,
    "stepwise": stepwise,
    "counts": counts,
    "crossover": crossover,
    "patient-meta": patient_meta,
    "cytokines": cytokines,
    "trial": trial,
    "trajectories": trajectories,
    "transitions": transitions,
    "items": items,
    "ordinal": ordinal,
    "response": response,
    "correlation": correlation,
    "meta": meta,
    "small-studies": small_studies,
}
