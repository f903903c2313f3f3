"""Correlation: a censored biomarker and a continuous score."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column, as_frame, provenance, read_columns
from bayesdep.models.model import Check, Forest, estimand
from bayesdep.models.parts.people import is_detected, read_people, recorded, rows_of_people, share_below
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.scale import check_scale, priors_of, scale_of
from bayesdep.models.parts.settings import check_settings, column, column_fields
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.roc import normal_nodes

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """A biomarker, of which some values lie beyond their detection limits, and a score, such as a change in symptoms.

    The generative model, for subject i with log concentration x_i::

        score_i ~ N(c + score_mean, score_sd)
        x_i | score_i ~ N(m + rho marker_sd (score_i - c - score_mean) / score_sd, marker_sd sqrt(1 - rho^2))

    with ``m = centre + marker_mean`` and ``c = score_centre``: a bivariate normal. Where x was not detected, the
    probability of its lying beyond (or between) its limits takes the place of the density. ``centre`` is a fixed
    number, the mean of detected logs and log limits.

    Default priors: ``rho ~ Uniform(-1, 1)``, ``marker_mean ~ N(0, 2.5)`` around the centre and ``marker_sd ~ N+(2)``,
    on natural logs. ``score_mean ~ N(0, 5)`` and ``score_sd ~ N+(2)`` are multiples of ``scale``, the score's own sd,
    the first around ``score_centre``, a fixed number: the score's mean, or 0 where a prior in the score's units is
    given. The score was seen in everybody, so the data leave little of these two to their priors, and the correlation
    has no unit.

    Parameters
    ----------
    scale
        What the default priors of the score are multiples of, in its units; None for its sd.
    units
        Units of the score.
    beyond_limit
        What to do with an unflagged number beyond its own limit: ``"refuse"``, or ``"censor"`` it there.
    flag_codes
        What codes of the flag column mean, such as ``{"1" = "left", "2" = "right"}``.
    priors
        Priors by parameter that replace the defaults; those of the score are in its units.
    score, subject, value, plate, unit, censored, lod, lloq, uloq
        Names of the table's columns; those from ``plate`` on may be left out.

    Raises
    ------
    BadInput
        When settings contradict each other, or a prior is missing or impossible.

    Examples
    --------
    >>> Correlation(score="madrs_change").priors["score_sd"]
    HalfNormal(sigma=2) times scale
    """

    family: ClassVar[str] = "correlation"
    primary_estimands: ClassVar[tuple[str, ...]] = ("correlation",)
    target_accept: ClassVar[float] = 0.9

    scale: float | None = None
    units: str = "points"
    beyond_limit: Literal["refuse", "censor"] = "refuse"
    flag_codes: Mapping[str, str] | None = None
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    score: str = column("score", "score")
    subject: str = column("subject", "person")
    value: str = column("concentration", "concentration")
    plate: str | None = column(None, "assay plate")
    unit: str | None = column(None, "unit of the concentration")
    censored: str | None = column(None, "flag of values beyond a limit")
    lod: str | None = column(None, "limit of detection")
    lloq: str | None = column(None, "lower limit of quantification")
    uloq: str | None = column(None, "upper limit of quantification")

    def __post_init__(self) -> None:
        check_settings(self)
        check_scale(self.scale)
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        lower, upper = self.priors["rho"].scipy.support()
        if lower < -1 or upper > 1:
            raise BadInput(
                f"priors.rho: {self.priors['rho']} reaches outside -1 to 1, where a correlation lives; "
                "use a Uniform or a Beta within"
            )

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors."""
        return {
            "rho": Slot(Prior("Uniform", lower=-1, upper=1), "real", "the correlation", "correlation"),
            "marker_mean": Slot(
                Prior("Normal", mu=0, sigma=2.5), "real", "the mean log concentration less the centre", "log"
            ),
            "marker_sd": Slot(Prior("HalfNormal", sigma=2), "positive", "the sd of log concentrations", "log"),
            "score_mean": Slot(Prior("Normal", mu=0, sigma=5, times_scale=True), "real", "the mean score", self.units),
            "score_sd": Slot(
                Prior("HalfNormal", sigma=2, times_scale=True), "positive", "the sd of scores", self.units
            ),
        }

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        return "subject"

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the correlation, also Pearson's with non-detects at their limit."""

        def crude(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
            r = np.corrcoef(recorded(data)[:, 0], data["score"].values)[0, 1]
            return np.array([r]), np.array([(1 - r**2) / np.sqrt(max(data.sizes["subject"] - 1, 1))])

        return Forest(("correlation",), None, None, crude)

    @property
    def words(self) -> str:
        """The model in words."""
        return (
            "Log concentration and score are bivariate normal between people; a value beyond a detection limit enters "
            "as the probability of lying there, given the person's score."
        )

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        return [
            "score[i] ~ Normal(score_centre + score_mean, score_sd)",
            "log_concentration[i] ~ Normal(centre + marker_mean + rho marker_sd (score[i] - score_centre - score_mean) "
            "/ score_sd, marker_sd sqrt(1 - rho^2)), censored at its limits",
            *(f"{name} ~ {prior}" for name, prior in self.priors.items()),
        ]

    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per subject into pairs of log concentration and score.

        Parameters
        ----------
        table
            A dataframe.

        Returns
        -------
        xarray.Dataset
            As :func:`~bayesdep.models.parts.people.read_people` returns it, with ``score`` (subject).

        Raises
        ------
        BadInput
            Naming the column and row.
        """
        frame = as_frame(table)
        what = column_fields(self)
        columns = {word: getattr(self, word) for word in what} | {"analyte": None}
        data, person = read_people(frame, columns, what, flag_codes=self.flag_codes, beyond_limit=self.beyond_limit)
        people = rows_of_people(frame, {self.score: what["score"]}, person)
        score = read_columns(people, {"score": Column(self.score, "number", what["score"])})["score"]
        data.attrs["notes"] = provenance(frame)["notes"]  # with those of the scores
        if np.ptp(score) == 0:
            raise BadInput(
                f"column '{self.score}' ({what['score']}) is {score[0]:g} in everybody, so nothing goes with it; "
                "check which rows are kept"
            )
        everybody = np.zeros(len(score), dtype=int)
        where = f"column '{self.score}' ({what['score']})"
        around = float(score.mean()) if self.priors["score_mean"].times_scale else 0.0
        about = {"units": self.units}
        return data.assign(
            score=("subject", score, about),
            score_centre=((), around, about),
            scale=((), scale_of(score, everybody, stated=self.scale, where=where), about),
        )

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            Observed ``score`` and ``log_concentration`` (subject), the latter given the former.
        """
        import pymc as pm
        import pytensor.tensor as pt

        from bayesdep.models.parts.censored_variables import CensoredNormal

        kind, half_width = _kinds(data)
        with pm.Model(coords={"subject": data["subject"].values}) as model:
            given = {
                name: prior.rv(name, in_widths=name == "score_sd") for name, prior in priors_of(self, data).items()
            }
            seen = pm.Data("score_data", data["score"].values, dims="subject")
            score_mean = pm.Data("score_centre", float(data["score_centre"])) + given["score_mean"]
            pm.Normal("score", score_mean, given["score_sd"], observed=seen, dims="subject")
            rho, sd = given["rho"], given["marker_sd"]
            centre = pm.Data("centre", float(data["centre"].values[0]))
            distance = (seen - score_mean) / given["score_sd"]
            CensoredNormal(
                "log_concentration",
                centre + given["marker_mean"] + rho * sd * distance,
                sd * pt.sqrt((1 - rho) * (1 + rho)),
                pm.Data("kind", kind, dims="subject"),
                pm.Data("half_width", half_width, dims="subject"),
                observed=pm.Data("recorded", recorded(data)[:, 0], dims="subject"),
                dims="subject",
            )
        return model

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Derive the correlation and the line of the score on the concentration.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``correlation``, ``slope`` (per log unit), ``slope_per_doubling`` and ``variance_explained``.
        """
        rho = posterior["rho"]
        slope = rho * posterior["score_sd"] / posterior["marker_sd"]
        per = f"{self.units} per"
        return xr.Dataset(
            {
                "correlation": estimand(rho, "correlation of log concentration and score", "correlation"),
                "slope": estimand(slope, "expected difference in score per log unit", f"{per} log unit"),
                "slope_per_doubling": estimand(
                    slope * np.log(2),
                    "expected difference in score per doubling of the concentration",
                    f"{per} doubling",
                ),
                "variance_explained": estimand(
                    rho**2, "share of the score's variance that goes with the log concentration", "proportion"
                ),
            }
        )

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Score every subject: the log density of the pair, or of the score and the probability of the non-detect.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, subject).
        """
        names = ("rho", "marker_mean", "marker_sd", "score_mean", "score_sd")
        rho, mean, sd, score_mean, score_sd = (posterior[name].values[..., None] for name in names)
        distance = (data["score"].values - float(data["score_centre"]) - score_mean) / score_sd
        expected = float(data["centre"].values[0]) + mean + rho * sd * distance
        spread = sd * np.sqrt((1 - rho) * (1 + rho))
        lower, upper = data["log_lower"].values[:, 0], data["log_upper"].values[:, 0]
        detected = is_detected(data)[:, 0]
        scored = -(distance**2) / 2 - np.log(score_sd) - np.log(2 * np.pi) / 2
        for i in range(data.sizes["subject"]):
            m, s = expected[..., i], spread[..., 0]
            if detected[i]:
                z = (lower[i] - m) / s
                scored[..., i] += -(z**2) / 2 - np.log(s) - np.log(2 * np.pi) / 2
            else:
                _, log_weight = normal_nodes((lower[i] - m) / s, (upper[i] - m) / s)
                scored[..., i] += special.logsumexp(log_weight, axis=-1)
        coords = {"chain": posterior["chain"], "draw": posterior["draw"], "subject": data["subject"]}
        return xr.DataArray(scored, coords, ("chain", "draw", "subject"))

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the statistics that this model could get wrong.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            The correlation among the detected and the share below the limit, of replicated concentrations of people
            who keep their scores; mean and sd of replicated scores.
        """
        score, limits = data["score"].values, data

        def pearson(x: np.ndarray) -> np.ndarray:
            lod, uloq = limits["log_lod"].values[:, 0], limits["log_uloq"].values[:, 0]
            within = (~((x <= lod) | (x >= uloq))).astype(float)
            n = np.maximum(within.sum(axis=-1, keepdims=True), 1)
            a, b = ((v - (within * v).sum(axis=-1, keepdims=True) / n) * within for v in (x, score))
            size = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
            return (a * b).sum(axis=-1) / np.maximum(size, 1e-300)

        found = [Check("correlation among the detected", "log_concentration", pearson, "correlation")]
        if np.isfinite(data["log_lod"].values).any():
            found.append(
                Check(
                    "share below the limit",
                    "log_concentration",
                    lambda x: share_below(x[..., None], limits),
                    "probability",
                )
            )
        return [
            *found,
            Check("mean score", "score", lambda y: y.mean(axis=-1), self.units),
            Check("sd of the score", "score", lambda y: y.std(axis=-1, ddof=1), self.units),
        ]


def _kinds(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Whether each value is detected, below, above or between limits (0 to 3), and half the width between them."""
    lower, upper = data["log_lower"].values[:, 0], data["log_upper"].values[:, 0]
    kind = np.select([lower == upper, np.isinf(lower), np.isinf(upper)], [0.0, 1.0, 2.0], 3.0)
    with np.errstate(invalid="ignore"):  # the width of an open interval is not used
        return kind, np.where(kind == 3, (upper - lower) / 2, 1.0)
