"""Posterior summaries as sentences that a paper can print: the number, its direction in words, and what is uncertain.

The wording follows from what an estimand says of itself (units, value of no effect, dims) and from what its model says
of the outcome (``better``, ``units``, the reference). Numbers are rounded to the interval's second significant digit,
and not finer than their Monte Carlo error.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from bayesdep.inference.fit import Fit
from bayesdep.inference.primary import Primary, default_primary
from bayesdep.inference.ropes import values_at
from bayesdep.numerics.rounding import MINUS, decimals_of_each, number, probability_in_words
from bayesdep.reporting.estimands import LEVEL, summarise
from bayesdep.reporting.evidence import SURE, rank_evidence
from bayesdep.reporting.sample import plural

_MOST = 6  # values of one estimand that get a sentence each; more are counted by their direction
_NAMED = 5  # of those counted, the ones named
_ORDERED = ("visit", "day", "time", "later", "reported", "marker_reported", "step")  # dims of when
_GROUPS = ("cytokines",)  # families whose arms are groups of people: "in responders", not "on infliximab"
_BEFORE = (
    "difference in the ", "risk difference of ", "difference in ", "ratio of ", "odds ratio of ", "difference ",
)  # fmt: skip
_ARTICLES = ("the ", "a ", "an ")
_POSITIVE = (
    "standard deviation",
    "spread",
    "sd ",
    "share of",
    "residual s",
    "degrees of freedom",
    "typical",
    "total sd",
)
_WORDS = {"part": "moderator", "up_to": "category"}  # dims called otherwise in descriptions
_ALONE = "all"  # the visit, or the arm, of a table that has no other
_OF = ("analyte", "study", "trial", "marker", "covariate", "moderator", "predictor")  # dims of what an estimand is of
_NO_UNIT = ("correlation", "rank", "proportion", "log")


@dataclass(frozen=True)
class Sentence:
    """A primary estimand in words.

    Parameters
    ----------
    estimand
        Its name, with coordinates as tables print them.
    text
        One sentence.
    """

    estimand: str
    text: str


def primary_sentences(fit: Fit) -> tuple[Sentence, ...]:
    """Return a sentence for each primary estimand, those of the plan or else the model's.

    An estimand with more than six values is counted instead: how many of them lie on either side of no effect.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    tuple of Sentence
        At least one.

    Examples
    --------
    >>> import bayesdep as bd
    >>> model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    >>> fit = bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)
    >>> print(primary_sentences(fit.with_primary("sensitivity"))[0].text)
    The probability of a positive test with the condition was 78% (95% credible interval 57% to 92%; probability 0.995
    that it is above 50%).
    """
    stated = fit.primary or default_primary(fit.model, fit.estimands)
    return tuple(sentence for one in stated for sentence in _sentences(fit, one))


def sentences(fit: Fit, *estimands: str | Mapping[str, Any]) -> list[str]:
    """Return the answers in sentences that a paper can print.

    Parameters
    ----------
    fit
        Any fit.
    *estimands
        What to answer, as :meth:`~bayesdep.Fit.with_primary` takes it; the primary estimands where none is named.

    Returns
    -------
    list of str
        A sentence for each value: the posterior median, its direction, the 95% credible interval and the probability of
        that direction. An estimand with more than six values is counted instead: how many of them lie on either side of
        no effect.

    Raises
    ------
    BadInput
        When the fit has no such estimand.

    Examples
    --------
    >>> import bayesdep as bd
    >>> model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    >>> fit = bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)
    >>> print(*bd.sentences(fit, "sensitivity"))
    The probability of a positive test with the condition was 78% (95% credible interval 57% to 92%; probability 0.995
    that it is above 50%).
    """
    asked = fit.with_primary(*estimands) if estimands else fit
    return [sentence.text for sentence in primary_sentences(asked)]


def _sentences(fit: Fit, one: Primary) -> list[Sentence]:
    places = [at for at, draws in values_at(fit.estimands, one.estimand, one.at) if np.isfinite(draws.values).any()]
    if not places:
        return [Sentence(one.estimand, f"The data leave {one.estimand} undefined.")]
    if len(places) > _MOST and _has_sides(fit.estimands[one.estimand].attrs):
        return [_counted(fit, one, len(places))]
    return [sentence_of(fit, one.estimand, dict(at)) for at in places[: 2 * _MOST]]


def _has_sides(attrs: Mapping[Any, Any]) -> bool:
    known = not np.isnan(float(attrs.get("null", 0.0)))
    return known and "reciprocal_of" not in attrs and "probability" not in attrs


def sentence_of(fit: Fit, name: str, at: Mapping[str, str]) -> Sentence:
    """Return one value of an estimand in words.

    Parameters
    ----------
    fit
        Any fit.
    name, at
        The estimand and the labels of all its dims.

    Returns
    -------
    Sentence
        The median, its direction, the 95% credible interval, and the probability of the direction.
    """
    table = summarise(fit)
    rows = table[table["estimand"] == name]
    for dim, label in at.items():
        rows = rows[rows[dim] == label]
    row = rows.iloc[0]
    values = fit.estimands[name].sel({d: at[d] for d in at}).transpose("chain", "draw")
    told = _Told(fit, name, dict(at), row, values)
    label = f"{name}[{', '.join(at.values())}]" if at else name
    return Sentence(label, _WORDING[_kind(told)](told))


@dataclass(frozen=True)
class _Told:
    """What a sentence is made of: one row of the table of estimands, and where it stands in the study."""

    fit: Fit
    name: str
    at: dict[str, str]
    row: Any
    draws: xr.DataArray

    @property
    def attrs(self) -> Mapping[Any, Any]:
        return self.fit.estimands[self.name].attrs

    @property
    def units(self) -> str:
        return str(self.attrs.get("units", ""))

    @property
    def description(self) -> str:
        return str(self.attrs.get("description", self.name))

    @property
    def reference(self) -> str:
        model = self.fit.model
        return str(getattr(model, "reference", None) or getattr(model, "control", None) or "")

    @property
    def better(self) -> str:
        """Which side is better: stated by the model, for differences in its outcome only."""
        return str(getattr(self.fit.model, "better", "")) if self.is_of_outcome else ""

    @property
    def is_of_outcome(self) -> bool:
        """Whether its units are the outcome's."""
        return self.units == getattr(self.fit.model, "units", None)

    @property
    def is_of_another(self) -> bool:
        """Whether it is a difference in something else, which its description names in the singular."""
        return re.match(r"difference in (?!.*(?:means|deviations)\b)", self.description) is not None

    @property
    def ends(self) -> tuple[float, float, float]:
        """The lower end, the median and the upper end; of a log ratio, as ratios."""
        ends = tuple(float(self.row[word]) for word in ("lower", "median", "upper"))
        base = self.base
        return ends if base is None else tuple(base**end for end in ends)  # type: ignore[return-value]  # as many as went in: three

    @property
    def errors(self) -> tuple[float, float, float]:
        """The Monte Carlo errors of the three; 0 where they are known exactly."""
        if self.row["mcse"] == 0:
            return 0.0, 0.0, 0.0
        draws = self.draws.values.astype(float)
        base = self.base
        draws = draws if base is None else base**draws
        found = [
            float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="quantile", prob=prob))
            for prob in ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2)
        ]
        return tuple(error if np.isfinite(error) else 0.0 for error in found)  # type: ignore[return-value]  # as many as went in: three

    @property
    def base(self) -> float | None:
        """The base of a logarithm that is told as a ratio; None of a spread of logarithms, which is no ratio."""
        return None if self.description.startswith(_POSITIVE) else _base(self.units)

    @property
    def null(self) -> float:
        """The value of no effect on the scale that is told; NaN where there is none."""
        return float(self.attrs.get("null", 0.0)) if self.base is None else 1.0

    @property
    def is_ratio(self) -> bool:
        """Whether it is told as a ratio."""
        return self.null == 1

    def numbers(self, factor: float = 1.0) -> tuple[str, str, str]:
        """The lower end, the median and the upper end, rounded as in tables."""
        lower, median, upper = (factor * x for x in self.ends)
        of_lower, of_median, of_upper = (factor * x for x in self.errors)
        digits = decimals_of_each([median, lower, upper], [of_median, of_lower, of_upper], factor * self.null)
        median_as_text, *ends = (number(x, d) for x, d in zip((median, lower, upper), digits, strict=True))
        return ends[0], median_as_text, ends[1]

    def size_of(self, factor: float = 1.0) -> str:
        """The median without its sign."""
        return self.numbers(factor)[1].removeprefix(MINUS)

    def span(self, factor: float = 1.0, unit: str = "") -> str:
        """The interval with its name."""
        lower, _, upper = self.numbers(factor)
        return f"{LEVEL:.0%} credible interval {lower}{unit} to {upper}{unit}"

    def side(self, *, is_above: bool) -> str:
        """The probability of a side of no effect, rounded to its Monte Carlo error."""
        above = float(self.row["prob_gt_null"])
        if np.isnan(above):
            return ""
        return probability_in_words(above if is_above else 1 - above, self.size)

    @property
    def size(self) -> float:
        """The number of independent draws that a probability is worth."""
        if self.row["mcse"] == 0:
            return np.inf
        return float((self.row["sd"] / self.row["mcse"]) ** 2)

    @property
    def when(self) -> str:
        """``" at week 12"``, where it has a visit."""
        words = []
        for dim, label in self.at.items():
            if dim in _ORDERED and dim not in self.within and label != _ALONE:
                column = getattr(self.fit.model, dim, None)
                column = getattr(self.fit.model, "time", None) if dim == "later" or dim.endswith("reported") else column
                word = column if isinstance(column, str) else "time" if dim == "later" else dim
                is_number = re.fullmatch(r"[\d.,]+", label) is not None
                words.append(f" at {word} {label}" if is_number else f" at {label}")
        return "".join(words)

    @property
    def who(self) -> str:
        """``" in patients with crp > 5"``, where it has a subgroup or a value of the moderator."""
        moderator = getattr(self.fit.model, "moderator", None)
        among = f" in patients with {moderator} " if moderator else " in "
        words = {"subgroup": among, "group": among, "moderator_value": f" at {moderator or 'the moderator'} "}
        said = []
        for dim, label in self.at.items():
            if dim in words and dim != self.arm_dim and not (dim in self.within and label in self.plain):
                is_condition = dim != "moderator_value" and not moderator and re.search(r"[<>=]", label) is not None
                start = " in patients with " if is_condition else words[dim]
                everybody = "" if "if all had been" in self.description else " in all patients"
                said.append(everybody if label == _ALONE else f"{start}{label}")
        return "".join(said)

    @property
    def what(self) -> str:
        """Labels of all other dims but arms: an analyte, a state, ..."""
        known = {*_ORDERED, "subgroup", "moderator_value", "comparison", "treatment", "arm", "group", "side"}
        return ", ".join(label for dim, label in self.at.items() if dim not in known and dim not in self.within)

    @property
    def arm_dim(self) -> str:
        """The dim of arms, or of groups where nothing else is one; empty if there is none."""
        return next((dim for dim in ("comparison", "treatment", "arm", "group") if dim in self.at), "")

    @property
    def arm(self) -> str:
        return f"{self.preposition} {self.at[self.arm_dim]}" if self.arm_dim else ""

    @property
    def preposition(self) -> str:
        return "in" if self.fit.model.family in _GROUPS else "on"

    @property
    def outcome(self) -> str:
        """The outcome's name: the scale in front of its points, or its column."""
        units = str(getattr(self.fit.model, "units", ""))
        if units.endswith(" points"):
            return units.removesuffix(" points")
        return f"the outcome ({units})" if units else "the outcome"

    @property
    def than(self) -> str:
        return f" than {self.preposition} {self.reference}" if self.reference and self.is_compared else ""

    @property
    def is_compared(self) -> bool:
        """Whether it is of an arm against the reference."""
        return "comparison" in self.at or "treatment" in self.at

    @property
    def plain(self) -> str:
        """The description without what it is compared with, and with its own labels for "each study", "the arm"."""
        text = self.description.split("; ")[0]
        for word in (", less ", " less ", ", against ", " against "):
            text = text.replace(f"{word}{self.reference}", "") if self.reference else text
        if "side" in self.at:
            text = text.replace("above or below", self.at["side"])
            text = text.replace("it is better", f"{self.at.get('comparison', 'it')} is better")
            text = text.replace("on that side", f"{self.at['side']} that value")
        if "arm" in self.at:
            text = text.replace("if all had been in the arm", f"if all had been {self.arm}")
        moderator = getattr(self.fit.model, "moderator", None) or "the moderator"
        for start in (" at a value of the moderator", " in a subgroup of the moderator", " in a subgroup"):
            text = text.replace(start, "").replace(f" at a value of {moderator}", "")
        for dim in self.within:
            text = re.sub(_called(dim), self.at[dim].replace("\\", r"\\"), text)
        if self.base is not None:
            text = re.sub(r"\blog2? ratio", "ratio", text)
        return text

    @property
    def within(self) -> tuple[str, ...]:
        """Dims whose labels the description has a place for."""
        named = (dim for dim in self.at if dim not in ("arm", "comparison", "treatment"))
        return tuple(d for d in named if re.search(_called(d), self.description))

    @property
    def quantity(self) -> str:
        """What a difference or a ratio is of."""
        return next((self.plain.removeprefix(start) for start in _BEFORE if self.plain.startswith(start)), self.plain)

    @property
    def place(self) -> str:
        """Every label that tells which value it is, as far as the description does not."""
        is_named = any(dim in _OF for dim in self.at if dim not in self.within)
        what = f" of {self.what}" if self.what and is_named else f" ({self.what})" if self.what else ""
        word = "less" if f"less {self.reference}" in self.description else "against"
        versus = f" {word} {self.reference}" if self.than else ""
        arm = f" {self.arm}{versus}" if self.arm else ""
        return what + (arm if arm.strip() not in self.plain else "") + self.who + self.when


def _called(dim: str) -> str:
    """A pattern of how descriptions call one label of a dim: "each study", "a marker's"."""
    word = "(?:analyte|marker)" if dim == "analyte" else _WORDS.get(dim, dim)
    return rf"\b(?:each|a|an|the) {word}\b"


def _base(units: str) -> float | None:
    """The base of a logarithm that is reported as a ratio; None if it is none."""
    if units == "doublings":
        return 2.0
    return math.e if units.startswith("log ") and units.endswith("ratio") else None


def _kind(told: _Told) -> str:
    attrs, units = told.attrs, told.units
    null = float(attrs.get("null", 0.0))
    if "probability" in attrs:
        return "event"
    if "reciprocal_of" in attrs:
        return "number needed"
    of_two = units == "probability" and null == 0 and "difference" in told.name
    if units in ("risk difference", "difference in probability") or of_two:
        return "risk difference"
    if units.endswith("ratio") and told.is_ratio:
        return "odds" if "odds" in units else "ratio"
    if told.base is not None:
        return "ratio"
    if units in ("probability", "share"):
        return "probability"
    if "comparison" in told.at and null == 0 and (told.is_of_outcome or told.is_of_another):
        return "difference"
    return "value"


def _difference(told: _Told) -> str:
    """Difference in the outcome's points between arms."""
    is_above = told.ends[1] > 0
    unit = "points" if told.units.endswith(" points") else told.units
    outcome = told.outcome if told.units.endswith(" points") else "the outcome"
    of = f" ({told.what})" if told.what else ""
    over = re.search(r"mean over \w+", told.description)
    where = f"{outcome}{of}{told.when}" + (f", {over[0]}," if over else "")
    if not told.is_of_outcome:
        is_label = told.quantity.startswith(tuple(told.at.values()))
        where = _closed(f"{told.quantity if is_label else _article(told.quantity)}{of}{told.when}")
    size = told.size_of()
    if not float(size):  # that arms are the same is nothing that a median of zero says
        places = len(size.partition(".")[2])
        size = f"less than {number(10.0**-places, places)}"
    found = f"was {_in_units(size, unit)} {_word(is_above)}{told.than}"
    ends = f"{told.span()}; {_of_side(told, is_above)}"
    return _capital(f"{told.arm}{told.who}, {where} {found} ({ends}).")


def _in_units(size: str, units: str) -> str:
    """A number with its units: 1 point per doubling, 2 points per doubling."""
    of_one = re.sub(r"\b(point|doubling)s\b", r"\1", units, count=1) if size.split()[-1] == "1" else units
    return f"{size} {of_one}"


def _of_side(told: _Told, is_above: bool) -> str:
    """The probability of benefit where the better side is known; else that of the median's side."""
    if told.better in ("lower", "higher"):
        return f"probability of benefit {told.side(is_above=told.better == 'higher')}"
    return f"probability {told.side(is_above=is_above)} that it is {_word(is_above)}"


def _word(is_above: bool) -> str:
    return "higher" if is_above else "lower"


def _ratio(told: _Told) -> str:
    """Ratio of two means, or of risks."""
    is_above = told.ends[1] > 1
    of = told.what or f"the {_without_article(told.quantity).replace('risk ratio', 'risk')}"
    times = told.numbers()[1]
    than = f" as {told.preposition} {told.reference}" if told.reference and told.is_compared else ""
    side = told.side(is_above=is_above)
    ends = f"{told.span()}; probability {side} that it is {_word(is_above)}"
    if not told.arm or not than:
        measure = re.sub(r"^log2? ", "", told.units)
        named = f"{'an' if measure[:1] in 'aeiou' else 'a'} {measure} of {times}"
        is_named = "ratio" in told.plain or told.description.startswith(_POSITIVE) or not measure.endswith(" ratio")
        size = times if is_named else named
        return f"{_capital(_named(told))} was {size} ({_above(told, 1, told.span())})."
    if told.description.startswith("mean over analytes"):
        found = f"concentrations{told.when} were {times} times as high{than} (geometric mean over analytes; {ends})"
        return _capital(f"{told.arm}{told.who}, {found}.")
    return _capital(f"{told.arm}{told.who}, {_closed(of)}{told.when} was {times} times as high{than} ({ends}).")


def _odds(told: _Told) -> str:
    """Odds ratio."""
    is_above = told.ends[1] > 1
    ratio = told.numbers()[1]
    side = f"probability {told.side(is_above=is_above)} that it is {'above' if is_above else 'below'} 1"
    what = re.sub(r"^(?:pooled )?(?:log )?", "", told.plain)
    if "odds ratio" not in what:
        what = f"odds ratio, {what}"
    first = "pooled " if told.description.startswith("pooled") else ""
    return f"{_closed(f'The {first}{what}{told.place}')} was {ratio} ({told.span()}; {side})."


def _risk_difference(told: _Told) -> str:
    """Difference of two probabilities, in percentage points."""
    is_above = told.ends[1] > 0
    size = told.size_of(100)
    of = told.quantity if told.quantity not in ("risk difference", "") else "probability of the event"
    of = re.sub(r"^risk difference\b", "risk", of)
    of = f"{of} ({told.what})" if told.what else of
    arm = f"{told.arm}{told.who}, ".strip(" ") + " " if told.arm or told.who else ""
    side = f"probability {told.side(is_above=is_above)} that it is {_word(is_above)}"
    of = of if re.match(r"(?:the )?(?:probability|share|risk)", of) else f"probability of {of}"
    points = "percentage point" if size == "1" else "percentage points"
    found = f"{size} {points} {_word(is_above)}" if float(size) else f"{size} {points} different"
    return _capital(f"{arm}{_closed(f'{_article(of)}{told.when}')} was {found}{told.than} ({told.span(100)}; {side}).")


def _probability(told: _Told) -> str:
    """A probability or a share."""
    share = told.numbers(100)[1]
    null = float(told.attrs.get("null", 0.0))
    ends = told.span(100, "%")
    if null == 0.5:
        ends += f"; probability {told.side(is_above=True)} that it is above 50%"
    what = told.plain
    if not re.search(r"probability|share|sensitivity|specificity|index|area", what):
        what = f"probability of {what}"
    return f"{_capital(_closed(_article(what) + told.place))} was {share}% ({ends})."


def _event(told: _Told) -> str:
    """A statement that is true or false in each draw."""
    mean, error = float(told.row["mean"]), float(told.row["mcse"])
    p = probability_in_words(mean, mean * (1 - mean) / error**2 if error > 0 else float(told.draws.size))
    place = f"{told.arm}{told.who}{told.when}".strip()
    is_named = bool(told.arm_dim) and told.at[told.arm_dim] in told.plain
    start = f"{place}, " if place and not is_named else ""
    return f"{_capital(start + told.plain)}: probability {p}."


def _number_needed(told: _Told) -> str:
    """One over a risk difference, whose interval may pass through infinity."""
    median = told.row["median"]
    text = number(abs(median), 1) if np.isfinite(median) else "\N{INFINITY}"
    what = "treat" if median > 0 else "harm"
    place = f"{told.arm}{told.who}{told.when}".strip()
    named = re.sub(r" \((?:above|below) 0[^()]*\)|(?<=treat) or harm", "", told.plain.replace(" or harm (below 0)", ""))
    named = named.replace("number needed to treat", f"number needed to {what}", 1)
    named += f", against {told.reference}," if told.reference and told.is_compared else ""
    start = f"{_capital(place)}, the {_lower_first(named)}" if place else f"The {_lower_first(named)}"
    return f"{start} was {text} ({LEVEL:.0%} credible interval: {told.row['interval']})."


def _value(told: _Told) -> str:
    """Anything else: what it is, in its units."""
    size = told.numbers()[1]
    units = "%" if told.units == "%" else _in_units(size, told.units).removeprefix(size)
    is_count = told.description.startswith(f"number of {told.units}")
    units = "" if is_count or told.units in _NO_UNIT or units.endswith("moderator's unit") else units
    ends = _above(told, float(told.attrs.get("null", 0.0)), told.span(unit="%" if units == "%" else ""))
    return f"{_capital(_named(told))} was {size}{units} ({ends})."


def _named(told: _Told) -> str:
    """What a number is of, with every label that tells which value it is."""
    return _closed(_article(told.plain) + told.place)


def _closed(text: str) -> str:
    """A phrase with a comma at its end if one within it opens an apposition: "the effect of A, shrunken, was"."""
    is_open = re.sub(r"\([^()]*\)", "", text).count(", ") % 2 == 1  # two commas close what they open
    return f"{text}," if is_open else text


def _above(told: _Told, null: float, span: str) -> str:
    """The interval, and the probability of the median's side of no effect where both sides are possible."""
    above = float(told.row["prob_gt_null"])
    if np.isnan(null) or np.isnan(above) or not 0 < above < 1 or told.description.startswith(_POSITIVE):
        return span
    is_above = told.ends[1] > null
    side = "above" if is_above else "below"
    return f"{span}; probability {told.side(is_above=is_above)} that it is {side} {null:g}"


_WORDING = {
    "difference": _difference,
    "ratio": _ratio,
    "odds": _odds,
    "risk difference": _risk_difference,
    "probability": _probability,
    "event": _event,
    "number needed": _number_needed,
    "value": _value,
}


def _counted(fit: Fit, one: Primary, count: int) -> Sentence:
    """Many values of one estimand: how many lie on which side, the surest ones by name."""
    table = rank_evidence(fit, one.estimand)
    for dim, label in one.at.items():
        table = table[table[dim] == label]
    attrs = fit.estimands[one.estimand].attrs
    dims = [str(d) for d in fit.estimands[one.estimand].dims if d not in ("chain", "draw") and table[d].nunique() > 1]
    sure = table[table["false_sign_rate"] < 1 - SURE]
    null = float(attrs.get("null", 0.0))
    among = plural(_WORDS.get(dims[0], dims[0])) if len(dims) == 1 else f"values by {' and '.join(dims)}"
    parts: list[str] = []
    for side in ("above", "below"):
        names = [", ".join(str(row[d]) for d in dims) for _, row in sure[sure["side"] == side].iterrows()]
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            of = "" if parts else f" of {count} {among}"
            parts.append(f"{side} {null:g} in {len(names)}{of} ({'; '.join(names[:_NAMED])}{more})")
    found = " and ".join(parts) if parts else f"above or below {null:g} in none of {count} {among}"
    each = ", each" if len(sure) > 1 else ""
    place = ", ".join(one.at.values())
    label = f"{one.estimand}[{place}]" if place else one.estimand
    at = "".join(f" at {at}" if dim in _ORDERED else f" ({at})" for dim, at in one.at.items())
    what = _closed(f"{_article(str(attrs.get('description', one.estimand)))}{at}")
    return Sentence(label, f"{_capital(what)} was {found}{each} with a probability above {SURE}.")


def _article(text: str) -> str:
    return text if text.startswith((*_ARTICLES, "evidence")) else f"the {text}"


def _without_article(text: str) -> str:
    return next((text.removeprefix(a) for a in _ARTICLES if text.startswith(a)), text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def default_note(fit: Fit) -> str:
    """Say where the primary estimands come from, if the plan states none; empty if it does.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    str
        One sentence or none.
    """
    if fit.primary:
        return ""
    names: Sequence[str] = [one.estimand for one in default_primary(fit.model, fit.estimands)]
    return (
        f"No primary estimand was stated before the analysis; shown is what {type(fit.model).__name__} answers first, "
        f"at the last visit where there are several ({', '.join(dict.fromkeys(names))}). A plan states its own: "
        "[study] primary."
    )
