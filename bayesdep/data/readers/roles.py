"""What each column of a sheet is: people, groups, plates, times, analytes, covariates."""

import re
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from bayesdep.data.errors import BadInput, did_you_mean, setting
from bayesdep.data.labels import alike
from bayesdep.data.readers.grids import is_unmeasured, kind_of
from bayesdep.data.readers.layout import Found, quoted

# Names that mean one thing, as labels are compared: without case, spaces, points, dashes and underscores.
_NAMES = {
    "subject": "subject subjectid subjid subjectno subjectnumber patient patientid patid patientno patientnumber "
    "participant participantid person personid proband probandid record recordid studyid id pid subjectcode "
    "patientcode patienten patientennummer probandennummer usubjid case caseid mrn",
    "sample": "sample sampleid samplename samplenumber sampleno sampleidentifier specimen specimenid probe probenid "
    "probennummer description tube tubeid barcode aliquot unknown",
    "group": "group groups studygroup diagnosis dx diagnose cohort gruppe arm condition status patientgroup "
    "diagnosticgroup clinicalgroup",
    "arm": "arm treatment trt trtp trt01p treatmentarm treatmentgroup group allocation randomisation "
    "randomization "  # no spelling check
    "therapy drug gruppe",
    "time": "time timepoint visit visitno visitnumber visitname week day month session zeitpunkt zeit collection "
    "avisit visite",
    "visit": "visit visitno visitnumber visitname avisit avisitn time timepoint week day session zeitpunkt visite",
    "plate": "plate plateid plateno platenumber platename platenr platte batch batchid assayplate run runid assayrun",
    "well": "well wellid wells location position wellposition platewell",
    "dilution": "dilution dilutionfactor verdunnung dilfactor",
    "unit": "unit units einheit concentrationunit",
    "analyte": "analyte assay assayname cytokine marker biomarker protein target parameter analyt zytokin test "
    "testname",
    "value": "value concentration conc result concentrations obsconc observedconcentration calcconcentration "
    "concentrationpgml finalconcentration finalconc meanconc calcconcmean messwert konzentration wert",
    "outcome": "outcome score aval total totalscore value",
    "baseline": "baseline base bl baselinescore",
    "day_actual": "actualday studyday ady",
    "lod": "lod llod limitofdetection detectionlimit lowerlimitofdetection",
    "lloq": "lloq loq lowerlimitofquantification limitofquantification",
    "uloq": "uloq upperlimitofquantification ulod upperlimit",
    "censored": "censored belowlod detectionrange flag nondetect",
}
NAMES: dict[str, frozenset[str]] = {word: frozenset(names.split()) for word, names in _NAMES.items()}
_COVARIATES = frozenset(
    {
        "age", "ageyears", "age(years)", "sex", "gender", "bmi", "height", "weight", "waist", "alter", "geschlecht",
        "smoker", "smoking", "education", "yearsofeducation", "ethnicity", "race", "site", "centre", "center",
        "storagetime", "freezethaw", "medication", "hba1c", "severity", "duration", "onset", "episodes", "score",
        "hamd", "hamd17", "hdrs", "hrsd", "madrs", "bdi", "bdiii", "phq9", "qids", "panss", "ymrs", "gaf", "cgi",
    }
)  # fmt: skip
# Never measurements, and private or of no use in an analysis: named in the notes, not kept.
_IGNORED = frozenset(
    {
        "comment", "comments", "note", "notes", "remark", "remarks", "dob", "birthdate", "dateofbirth", "name",
        "surname", "firstname", "initials", "row", "no", "nr", "number", "index", "date", "sampledate", "samplingdate",
        "datum", "operator", "volume", "kommentar", "bemerkung",
    }
)  # fmt: skip
_ANALYTE = re.compile(
    r"(?:hu(?:man)? ?|s|soluble )?(?:il-?\d+\w*(?: ?\(?p\d\d\)?)?|il-?\d+ ?r\w*|tnf\w*(?:[- ]?\w+)?|ifn-?.{0,6}|"
    r"(?:hs-?)?crp|mcp-?\d.*|mip-?\d.*|rantes|ip-?10|eotaxin.*|(?:gm?|m)-?csf|vegf.*|[bfh]?-?fgf.*|pdgf.*|egf|hgf|ngf|bdnf|tgf.*|"
    r"cc?x?3?cl-?\d+.*|mdc|tarc|gro.*|itac|i-tac|fractalkine|flt-?3l?.*|scd40l|scd163|st2|sil.*|icam.*|vcam.*|saa|"
    r"leptin|adiponectin|resistin|ferritin|cortisol|procalcitonin|mif|trail|lif|scf|ykl-?40|nfl|gfap|s100b|"
    r"fibrinogen|e-?selectin|p-?selectin|mmp-?\d+|neopterin|kynurenine|tryptophan|interleukin.*|interferon.*)",
    re.IGNORECASE,
)


_NO_ANALYTES = _IGNORED | NAMES["subject"] | NAMES["sample"] | NAMES["well"] | NAMES["dilution"]


def key(name: str) -> str:
    """Return a column's name as it is compared: without case, spaces, points, dashes and underscores."""
    return re.sub(r"[\s._\-:/#°\\]+", "", alike(name))


def pick(
    found: Found, role: str, stated: str | None, what: str, *, argument: str | None = None, taken: Collection[str] = ()
) -> str | None:
    """Find the column of a role by its name.

    Parameters
    ----------
    found
        The sheet's table.
    role
        The role, a word of ``NAMES``.
    stated
        The column as the user names it.
    what
        What the column holds, for messages.
    argument
        The setting that names it; by default the role.
    taken
        Columns that have another role already.

    Returns
    -------
    str or None
        The column; None where no column has a name of that meaning.

    Raises
    ------
    BadInput
        When the stated column is not in the sheet, or two columns could be meant.
    """
    argument = argument or role
    named = [name for name in found.names if name]
    if stated is not None:
        return stated_column(found, stated, what, argument)
    columns = [name for name in named if key(name) in NAMES[role] and name not in taken]
    if len(columns) > 1:
        raise BadInput(
            f"{found.grid.title}: {quoted(columns)} could each be the column of the {what}; say which with "
            f"{setting(argument, columns[0])}"
        )
    return columns[0] if columns else None


def stated_column(found: Found, stated: str, what: str, argument: str) -> str:
    """Return the column that the user names, with or without its unit, in any case."""
    named = [name for name in found.names if name]
    if stated in named:
        return stated
    close = [name for name in named if key(name) == key(stated)]
    if len(close) == 1:
        return close[0]
    raise BadInput(
        f"{setting(argument, stated)} ({what}) is no column of {found.grid.title}; {did_you_mean(stated, named)}"
    )


def choose_analytes(
    found: Found, stated: Sequence[str] | str | None, covariates: Sequence[str], taken: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find the columns of measurements of a wide sheet, and its covariates.

    A column of numbers is an analyte if its header or its row of units has a unit, if it has the name of one, or if it
    holds a value beyond a limit. It is a covariate if it has the name of one (age, sex, BMI, ...).

    Parameters
    ----------
    found
        The sheet's table.
    stated
        Names of the analytes, or patterns such as ``"IL*"``; None to find them.
    covariates
        Covariates as the user names them.
    taken
        Columns that have a role.

    Returns
    -------
    analytes, covariates : tuple of str
        Names of columns, in the sheet's order.

    Raises
    ------
    BadInput
        When a name or pattern is of no column, or columns of numbers are neither.
    """
    covariates = [stated_column(found, name, "covariate", "covariates") for name in covariates]
    free = [n for n in found.names if n and n not in taken and n not in covariates and key(n) not in _NO_ANALYTES]
    if stated is not None:
        patterns = [stated] if isinstance(stated, str) else list(stated)
        analytes = _matching(found, free, patterns)
        return analytes, tuple(
            c for c in (*covariates, *(name for name in free if is_covariate(name))) if c not in analytes
        )
    numeric = [name for name in free if _holds_numbers(found, name)]
    analytes = tuple(name for name in numeric if not is_covariate(name) and _is_analyte(found, name))
    unclear = [name for name in numeric if name not in analytes and not is_covariate(name)]
    if unclear:
        have = f"; read as analytes so far: {quoted(analytes)}" if analytes else ""
        raise BadInput(
            f"{found.grid.title}: {quoted(unclear)} hold{'s' if len(unclear) == 1 else ''} numbers and could be "
            f"analytes or covariates{have}; name the analytes, as in "
            f"{setting('analytes', ['IL*', 'TNF'])}, or the others with "
            f"{setting('covariates', unclear[:1])}"
        )
    if not analytes:
        raise BadInput(
            f"{found.grid.title} has no column that is known as an analyte; name them, as in "
            f"{setting('analytes', ['IL*', 'TNF'])}"
        )
    rest = [name for name in free if name not in analytes and is_covariate(name)]
    return analytes, tuple(dict.fromkeys([*covariates, *rest]))


def _matching(found: Found, free: Sequence[str], patterns: Iterable[str]) -> tuple[str, ...]:
    chosen: set[str] = set()
    for pattern in patterns:
        plain = str(pattern).casefold()
        hits = [n for n in free if n.casefold() == plain or key(n) == key(plain) or fnmatchcase(n.casefold(), plain)]
        if not hits:
            raise BadInput(
                f"{setting('analytes', [pattern])} names no column of {found.grid.title}; "
                f"{did_you_mean(str(pattern), free)}"
            )
        chosen.update(hits)
    return tuple(name for name in free if name in chosen)


def _holds_numbers(found: Found, name: str) -> bool:
    """Whether at least half of what a column holds is numbers or bounds, and it holds something."""
    cells = [cell for cell in found.cells(name) if not is_unmeasured(cell)]
    kinds = [kind_of(cell) for cell in cells]
    return bool(cells) and 2 * sum(kind in ("number", "bound", "odd") for kind in kinds) >= len(kinds)


def is_covariate(name: str) -> bool:
    """Tell whether a column has the name of a known covariate, such as age or BMI."""
    return key(name) in _COVARIATES


def _is_analyte(found: Found, name: str) -> bool:
    return (
        bool(found.units[found.column(name)])
        or _ANALYTE.fullmatch(re.sub(r" \(\d+\)$", "", name)) is not None
        or any(kind_of(cell) == "bound" for cell in found.cells(name))
    )


def only_column_of_labels(found: Found, taken: Collection[str]) -> str | None:
    """Return the only column of texts that has no role yet and differs in every row, if there is one."""
    columns = []
    for name in found.names:
        if not name or name in taken or is_covariate(name):
            continue
        cells = found.cells(name)
        if all(kind_of(cell) == "text" for cell in cells) and len({str(cell) for cell in cells}) == len(cells):
            columns.append(name)
    return columns[0] if len(columns) == 1 else None
