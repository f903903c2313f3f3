"""The tables of a plan and their keys, each with its meaning, its default and what it may be."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bayesdep.inference.numbers import LEAST, MOST

_Text = Annotated[str, StringConstraints(min_length=1, strict=True)]
_Whole = Annotated[int, Field(strict=True)]
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Codes = tuple[_Text | _Number | _Whole, ...]


def _said(meaning: str, default: Any = ...) -> Any:
    """A key with its meaning, which editors show."""
    return Field(default, description=meaning)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Study(_Table):
    """What the study is called and what it asks."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", strict=True)] = _said(
        "Name of the study: letters, digits, '_', '.' and '-'; its results go to a folder of that name."
    )
    title: _Text = _said("Title of the report.")
    question: str = _said("The question in one sentence; it stands at the head of the report.", "")
    primary: tuple[Any, ...] = _said(
        "What comes first in the report: estimands by name, 'mu' or 'difference[drug, 12]', or tables of estimand and "
        "at; by default the model's own.",
        (),
    )  # checked against the estimands
    by_default: Annotated[bool, Field(strict=True)] = _said(
        "Whether bayesdep reproduce runs the plan without --all.", True
    )
    expects_warning: str = _said("The warning on the model that is expected of this plan, and why, if any.", "")


class Data(_Table):
    """The table, and which of its rows are analysed."""

    source: _Text = _said(
        "The table: a .csv or .parquet file (relative to the plan's folder), 'published:NAME' (bayesdep datasets), "
        "'simulate:NAME', or 'path' for a file that is named when the plan is run (--data)."
    )
    expects: _Text | None = _said("Of source = 'path': what table is to be given.", None)
    seed: Annotated[_Whole, Field(ge=LEAST["seed"], le=MOST["seed"])] | None = _said("Of a simulation: its seed.", None)
    keep: Any = _said(
        "Rows to analyse: the values that columns must have, { arm = ['drug', 'placebo'], week = 12 }, or a condition "
        "in quotes, 'age >= 18 and crp > 5'.",
        {},
    )  # a table or a condition, checked by refuse_unclear
    require: tuple[_Text, ...] = _said("Columns that must have a value; rows without one are left out.", ())
    missing: _Codes | dict[str, _Codes] | None = _said(
        "Codes that stand for a missing value, ['999'], in all columns or by column; [] where none is suspected.", None
    )
    labels_meant: tuple[_Text, ...] = _said(
        "Labels of a single person that are right, although they look like misspellings of another.", ()
    )
    limits: _Text | None = _said("A file of detection limits by analyte or plate, joined to the table.", None)
    columns: dict[str, _Text] = _said("The table's name for each column that the model reads.", {})


class Sampling(_Table):
    """How the posterior is drawn."""

    draws: Annotated[_Whole, Field(ge=LEAST["draws"], le=MOST["draws"])] = _said("Draws per chain.", 1000)
    tune: Annotated[_Whole, Field(ge=LEAST["tune"], le=MOST["tune"])] = _said("Tuning draws per chain.", 1000)
    chains: Annotated[_Whole, Field(ge=LEAST["chains"], le=MOST["chains"])] = _said("Chains.", 4)
    seed: Annotated[_Whole, Field(ge=LEAST["seed"], le=MOST["seed"])] = _said("Same seed, same draws.", 1)
    sampler: Literal["nutpie", "pymc", "exact"] | None = _said(
        "Instead of the model's own choice: exact where the posterior is known, else nutpie.", None
    )
    target_accept: Annotated[_Number, Field(gt=0.5, lt=1)] | None = _said(
        "Acceptance rate that the sampler aims at, instead of the model's own; nearer to 1 for divergences.", None
    )
    max_tree_depth: Annotated[_Whole, Field(ge=5, le=15)] | None = _said("Depth of the sampler's trees at most.", None)


class Published(_Table):
    """A published number, to be set beside the posterior."""

    estimand: _Text = _said("The estimand that it is of.")
    source: _Text = _said("Where it is printed.")
    at: dict[str, _Text] = _said("Which of the estimand's values, { visit = '12' }.", {})
    value: _Number | None = _said("The number.", None)
    lower: _Number | None = _said("Lower end of its interval.", None)
    upper: _Number | None = _said("Upper end of its interval.", None)
    direction: Literal["above", "below", "none"] | None = _said(
        "Where only that is published: above or below no effect, or none of that size ([[rope]]).", None
    )
    p: Annotated[_Number, Field(gt=0, le=1)] | None = _said("Its P value.", None)
    statistic: Literal["median", "mean"] = _said("What of the posterior it is set beside.", "median")
    units: str = _said("Its units, where they are not the estimand's.", "")
    scale: str = _said("Its scale, where it cannot be compared.", "")
    note: str = _said("What a reader must know of it.", "")


class Rope(_Table):
    """A region of practical equivalence: values that are too small to matter, stated before the data."""

    estimand: _Text = _said("The estimand that it is of.")
    reason: _Text = _said("Why smaller values do not matter, with its source.")
    at: dict[str, _Text] = _said("Which of the estimand's values; a dim left out stands for all of its labels.", {})
    margin: _Number | None = _said("Half the region's width around no effect (0), in the estimand's units.", None)
    lower: _Number | None = _said("Lower end, where it is not symmetric around 0.", None)
    upper: _Number | None = _said("Upper end, where it is not symmetric around 0.", None)
    level: _Number = _said("Probability from which an effect counts as present or absent.", 0.95)


class Sensitivity(_Table):
    """Other priors under which the analysis is repeated, side by side with its own."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$", strict=True)] = _said(
        "What a reader calls these priors: letters, digits, '_', '.' and '-'; a file is called so."
    )
    why: _Text = _said("Why somebody may hold them.")
    priors: dict[str, Any] = _said("Priors by parameter, as in [priors]; the others stay as they are.")


class WrittenPlan(_Table):
    """A plan of bayesdep: the pre-registration, the run and the audit trail in one file."""

    study: Study = _said("What the study is called and what it asks.")
    data: Data = _said("The table, and which of its rows are analysed.")
    model: dict[str, Any] = _said("The model's family and its settings (bayesdep explain FAMILY).")
    priors: dict[str, Any] = _said("Priors by parameter that replace the defaults, in the outcome's units.", {})
    sampling: Sampling = _said("How the posterior is drawn.", Sampling())
    published: tuple[Published, ...] = _said("Published numbers, to be set beside the posterior.", ())
    rope: tuple[Rope, ...] = _said("Regions of practical equivalence.", ())
    sensitivity: tuple[Sensitivity, ...] = _said("Other priors under which the analysis is repeated.", ())


TABLES: dict[str, type[BaseModel]] = {
    "study": Study, "data": Data, "sampling": Sampling, "published": Published, "rope": Rope,
    "sensitivity": Sensitivity,
}  # fmt: skip
