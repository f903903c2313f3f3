"""What the columns of a table may be, by their names and their cells."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.data.labels import as_label, words_of
from bayesdep.data.tables import as_frame, is_blank
from bayesdep.data.times import order_of_column, order_of_times

# Names that columns have for a model's word, the usual ones first. A name is compared in lower case; one of several
# words ("subject_id") counts where no other column is called so alone.
NAMES: dict[str, tuple[str, ...]] = {
    "subject": ("subject", "patient", "participant", "id", "pid", "person", "usubjid", "subjid", "patients", "code"),
    "arm": ("arm", "treatment", "trt", "group", "drug", "condition", "randomised", "allocation", "armcd", "trt01p",
            "trt01a", "trtp", "trta", "actarm", "gruppe", "randomized", "randomisation", "intervention"),
    "group": ("group", "diagnosis", "cohort", "arm", "cases", "dx", "condition"),
    "treatment": ("treatment", "drug", "trt", "condition", "arm", "trtp", "trta"),
    "time": ("visit", "week", "timepoint", "month", "day", "time", "hour", "avisit", "avisitn", "visitnum",
             "year", "occasion", "zeitpunkt"),
    "day": ("day", "days"),
    "period": ("period", "phase", "sequence_period"),
    "study": ("study", "trial", "author", "studlab", "slab", "analyte", "studyid"),
    "effect": ("effect", "yi", "te", "estimate", "smd", "hedges_g", "g", "d", "md", "difference", "diff", "log_or",
               "logor", "lnor", "log_rr", "logrr", "lnrr", "log_hr", "rd", "mean_difference", "beta"),
    "se": ("se", "sei", "sete", "std_error", "standard_error", "stderr", "sem"),
    "events": ("events", "event", "responders", "remitters", "cases", "deaths", "affected", "remitted", "x", "ai"),
    "n": ("n", "people", "total", "patients", "size", "number", "count", "ni"),
    "positives": ("positives", "positive", "test_positive", "below", "above", "tp"),
    "subgroup": ("subgroup", "stratum", "site", "sex", "stratification"),
    "step": ("step", "level", "stage"),
    "entered": ("entered", "n", "people", "started", "at_risk"),
    "remitted": ("remitted", "remitters", "remission", "events"),
    "outcome": ("outcome", "score", "hamd", "ham_d", "hdrs", "hrsd", "madrs", "bdi", "qids", "phq9", "phq", "gaf",
                "panss", "cgi", "ymrs", "total", "improvement", "change", "y", "aval"),
    "baseline": ("baseline", "base", "bl"),
    "value": ("concentration", "conc", "pg_ml", "value", "result", "obs_conc", "level", "npx"),
    "analyte": ("analyte", "marker", "cytokine", "biomarker", "protein", "assay"),
    "state": ("state", "stage", "status", "category", "severity"),
    "responder": ("responder", "response", "remission", "remitter", "relapse", "event", "responded"),
    "p_value": ("p_value", "p", "pvalue", "pval"),
    "censored": ("censored", "flag", "detected", "qualifier", "oor"),
    "lod": ("lod", "llod", "detection_limit", "limit"),
    "lloq": ("lloq", "loq"),
    "uloq": ("uloq",),
    "unit": ("unit", "units"),
    "plate": ("plate", "batch", "assay_plate"),
    "before": ("before", "from"),
    "after": ("after", "to"),
    "share": ("share", "percent", "proportion"),
    "count": ("count", "n", "people", "freq"),
    "analyte_family": ("analyte_family", "family", "class"),
    "cluster": ("cluster",),
    "design": ("design",),
}  # fmt: skip
MOST_LEVELS = 12  # of a column whose labels are arms, groups, visits or states


class Columns:
    """The columns of a table, asked what they may be.

    Parameters
    ----------
    table
        A dataframe.
    """

    def __init__(self, table: Any) -> None:
        self.frame: pd.DataFrame = as_frame(table)
        self.names = [str(name) for name in self.frame.columns if str(name) != "origin"]
        self._levels: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def numbers(self) -> list[str]:
        """Names of the columns that hold numbers."""
        return [name for name in self.names if self._is_number(self.frame[name])]

    @staticmethod
    def _is_number(cells: pd.Series) -> bool:
        return bool(pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells))

    @cached_property
    def counts(self) -> list[str]:
        """Names of the columns of whole numbers of at least zero."""
        return [name for name in self.numbers if self._is_count(self.frame[name].dropna().to_numpy(dtype=float))]

    @staticmethod
    def _is_count(cells: np.ndarray) -> bool:
        return bool(len(cells) and (cells >= 0).all() and (cells == np.round(cells)).all())

    def levels(self, name: str) -> list[str]:
        """Return the different labels of a column, in their order of appearance."""
        if name not in self._levels:
            cells = self.frame[name]
            self._levels[name] = list(dict.fromkeys(as_label(v) for v in cells[~is_blank(cells)]))
        return self._levels[name]

    def few(self, names: Iterable[str], least: int = 2, most: int = MOST_LEVELS) -> list[str]:
        """Return those of some columns that have a few different labels."""
        return [name for name in names if least <= len(self.levels(name)) <= most]

    def find(self, word: str, among: Iterable[str] | None = None, *, but: Sequence[str | None] = ()) -> str | None:
        """Return the column that is called like a model's word, among some; None where none is."""
        free = [name for name in (self.names if among is None else among) if name not in but]
        joined = {name: "_".join(words_of(name)) for name in free}
        for usual in NAMES[word]:
            for name in free:
                if joined[name] == usual:
                    return name
        for usual in NAMES[word]:
            for name in free:
                if usual in words_of(name) and len(usual) > 1:
                    return name
        return None

    def varies_within(self, name: str, person: str) -> bool:
        """Tell whether somebody has different values in a column."""
        if name == person:
            return False
        filled = self.frame[[person, name]].dropna()
        return bool(filled.groupby(person, observed=True)[name].nunique().gt(1).any())

    def repeats(self, *names: str) -> bool:
        """Tell whether a combination of labels has several rows."""
        return bool(self.frame[list(names)].dropna().duplicated().any())

    def times(self, name: str) -> list[str] | None:
        """Return the labels of a column in the order of time; None where they have none."""
        try:
            return list(order_of_times(self.levels(name), order=order_of_column(self.frame, name)).labels)
        except BadInput:
            return None

    def value(self, name: str, label: str) -> Any:
        """Return a label as a plan writes it: a number where the column has numbers."""
        if name not in self.numbers:
            return label
        number = float(label)
        return int(number) if number.is_integer() else number

    def blanks(self, name: str) -> bool:
        """Tell whether a column has empty cells."""
        return bool(is_blank(self.frame[name]).any())
