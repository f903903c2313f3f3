"""What a reader returns: the tidy table, how it was read, and the settings of a model that takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bayesdep.data.cell_origins import CELL
from bayesdep.data.errors import BadInput, setting
from bayesdep.data.html_text import paragraph, piece, preformatted, rows_of_cells
from bayesdep.data.labels import as_label, control_of
from bayesdep.data.readers.files import Opened
from bayesdep.data.readers.grids import kind_of
from bayesdep.data.readers.layout import quoted

_WORDS = {
    "cytokines": ("subject", "group", "time", "plate", "analyte", "unit", "censored", "lod", "lloq", "uloq"),
    "trial": ("subject", "arm", "visit", "outcome", "baseline", "day"),
}
_LEVELS = {"group": 2, "time": 2, "plate": 2, "analyte": 2}  # a factor of fewer levels says nothing


@dataclass(frozen=True, repr=False)
class ReadTable:
    """A table read from a laboratory's or a clinic's file.

    Printed, or shown in a notebook, it says what was read and how. It shows no sample and no cell: those are in
    ``table``, and in messages about them.

    Parameters
    ----------
    table
        The tidy table, a row per measurement or visit. Column ``read_from`` says where each was read:
        ``"sheet 'Plate 1', cell F17"``.
    family
        The family of models that takes it: ``"cytokines"`` or ``"trial"``.
    layout
        The layout of the file, in words.
    notes
        What was found and decided while reading, one sentence each.
    is_verified
        Whether the reader of this layout was tested on files of a form that is documented.
    source
        Where that form is documented; "" for a plain sheet.
    settings
        What a model must know beside the columns' names.

    Examples
    --------
    >>> import pandas as pd
    >>> import bayesdep as bd
    >>> sheet = pd.DataFrame({"Patient": ["P1", "P2"], "IL-6 (pg/mL)": ["<0,64", "2,1"], "Age": [31, 40]})
    >>> read = bd.read_panel(sheet)
    >>> read.family, len(read.table)
    ('cytokines', 2)
    """

    table: pd.DataFrame
    family: str
    layout: str
    notes: tuple[str, ...] = ()
    is_verified: bool = True
    source: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def model_settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings of the model that takes the table.

        Parameters
        ----------
        **more
            Other settings, such as ``reference``, the group or arm to compare with; these take precedence. A column is
            left out with None, as in ``plate=None``.

        Returns
        -------
        dict
            To be used as ``bd.Cytokines(**panel.model_settings(reference="HC"))``.

        Raises
        ------
        BadInput
            When there are groups or arms and none is named as the reference.

        Examples
        --------
        >>> table = pd.DataFrame({"subject": ["P1"], "analyte": ["CRP"], "concentration": [1.2]})
        >>> ReadTable(table, "cytokines", "wide").model_settings()
        {'value': 'concentration', 'subject': 'subject'}
        """
        settings: dict[str, Any] = {"value": "concentration"} if self.family == "cytokines" else {}
        for word in _WORDS[self.family]:
            if word in self.table and len(self.levels(word)) >= _LEVELS.get(word, 1):
                settings[word] = word
        if self.family == "trial" and "baseline" not in self.table:
            settings["baseline"] = None
        factor = self.factor
        settings |= dict(self.settings) | more
        settings = {name: value for name, value in settings.items() if value is not None or name == "baseline"}
        if settings.get(factor) is not None and "reference" not in settings:
            levels = self.levels(factor)
            raise BadInput(
                f"{factor}s are compared with one of them, and none is named; add "
                f"{setting('reference', self._likely_reference)}, or "
                f"another of {quoted(levels)}"
            )
        return settings

    @property
    def _likely_reference(self) -> str:
        """The level that names a control, or else the first."""
        levels = self.levels(self.factor)
        return control_of(levels) or levels[0]

    @property
    def factor(self) -> str:
        """The column whose levels are compared: groups of a panel, arms of a trial."""
        return "arm" if self.family == "trial" else "group"

    def levels(self, column: str) -> list[str]:
        """Return the different labels of a column, in the table's order."""
        return [as_label(cell) for cell in self.table[column].dropna().unique()]

    @property
    def synthetic(self) -> bool:
        """Whether the file says that its data are synthetic."""
        return bool(self.table.attrs.get("synthetic", False))

    def facts(self) -> list[tuple[str, str]]:
        """Return what was read, as pairs of a word and a text; no label of a person is in it."""
        table = self.table
        checked = (
            "" if self.is_verified else "; UNVERIFIED: no documented file of this form was available to test it on"
        )
        lines = [("file", str(table.attrs.get("source", "")) + (" (synthetic data)" if self.synthetic else ""))]
        lines.append(("layout", self.layout + checked))
        rows = "measurements" if self.family == "cytokines" else "outcomes"
        counts = f"{len(table):,} {rows} of {table['subject'].nunique():,} people"
        if "sample" in table and table["sample"].nunique() != table["subject"].nunique():
            counts += f" in {table['sample'].nunique():,} samples"
        lines.append(("rows", counts))
        for word in ("group", "arm", "time", "visit", "plate"):
            if word in table:
                people = table.groupby(word, sort=False)["subject"].nunique()
                listed = ", ".join(f"{as_label(name)} ({count})" for name, count in list(people.items())[:12])
                more = f" and {len(people) - 12} more" if len(people) > 12 else ""
                lines.append((f"{word}s (people)", listed + more))
        lines += [("limits", ", ".join(w for w in ("lod", "lloq", "uloq") if w in table))] if "lod" in table else []
        shown = {CELL, "origin", *_WORDS[self.family], "concentration", "sample", "well", "visit"}
        covariates = [str(name) for name in table.columns if name not in shown]
        return lines + ([("covariates", ", ".join(covariates))] if covariates else [])

    def analytes(self) -> pd.DataFrame:
        """Count measurements by analyte.

        Returns
        -------
        pandas.DataFrame
            ``analyte``, ``n``, ``beyond_limit`` (values given as beyond a limit, by text or flag) and ``unit``.
        """
        table = self.table
        beyond = table["concentration"].map(lambda cell: kind_of(cell) == "bound").to_numpy(dtype=bool, copy=True)
        if "censored" in table:
            beyond |= table["censored"].isin(["left", "right"]).to_numpy()
        if self.settings.get("beyond_limit") == "censor" and "lod" in table:
            beyond |= (pd.to_numeric(table["concentration"], errors="coerce") < table["lod"]).to_numpy()
        counted = table.assign(beyond_limit=beyond).groupby("analyte", sort=False)["beyond_limit"].agg(["size", "sum"])
        counted = counted.rename(columns={"size": "n", "sum": "beyond_limit"}).reset_index()
        units = table.groupby("analyte", sort=False)["unit"].first().to_numpy() if "unit" in table else ""
        return counted.assign(unit=units)

    def _next(self) -> str:
        factor = self.factor
        model = "bd.Trial" if self.family == "trial" else "bd.Cytokines"
        has = factor in self.table and len(self.levels(factor)) > 1
        reference = f"reference={self._likely_reference!r}" if has else ""
        return f"{model}(**read.model_settings({reference}))"

    def lines(self) -> list[str]:
        """What was read and how, line by line.

        Returns
        -------
        list of str
            Facts, analytes with how many of their values lie beyond a limit, and notes; no sample and no cell.
        """
        lines = [f"{word + ':':<17} {text}" for word, text in self.facts() if text]
        if self.family == "cytokines":
            lines.append(f"{'analytes:':<17} {'n':>6} {'beyond limit':>13}  unit")
            for name, n, beyond, unit in self.analytes().itertuples(index=False):
                lines.append(f"  {name:<15} {n:>6} {beyond:>13}  {unit}")
        return lines + [f"note: {note}" for note in self.notes]

    def __str__(self) -> str:
        return "\n".join([*self.lines(), f"next: model = {self._next()}; fit = bd.fit(model, read.table, seed=1)"])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        parts = [rows_of_cells("", ["", "As read"], [pair for pair in self.facts() if pair[1]])]
        if self.family == "cytokines":
            counted = self.analytes()
            parts.append(rows_of_cells("", list(counted.columns), counted.astype(str).to_numpy().tolist()))
        return piece(
            *parts, *(paragraph(f"Note: {note}") for note in self.notes), preformatted(f"model = {self._next()}")
        )


def with_origin(frame: pd.DataFrame, opened: Sequence[Opened]) -> pd.DataFrame:
    """Return a table that says which files it is of, and in a column of its own if they are synthetic.

    Parameters
    ----------
    frame
        The tidy table.
    opened
        Its files.

    Returns
    -------
    pandas.DataFrame
        With ``attrs`` of their names, the first one's hash and whether they say that their data are synthetic.
    """
    synthetic, names = any(one.is_synthetic for one in opened), ", ".join(one.name for one in opened)
    frame = frame.assign(origin="synthetic, as the file says") if synthetic else frame.copy()
    frame.attrs = {
        "title": names, "citation": "", "source": names, "synthetic": synthetic,
        "sha256": opened[0].sha256, "notes": [],
    }  # fmt: skip
    return frame
