"""Crossover: patients who have every treatment in turn, one a period, each patient their own control."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import as_frame
from bayesdep.models.parts.crossover import estimands as crossover_estimands
from bayesdep.models.parts.crossover.design import code_design, pairs_of, refuse_unknowable
from bayesdep.models.parts.crossover.periods import read_periods
from bayesdep.models.parts.priors import Prior, Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column, column_fields
from bayesdep.models.story import Check, Forest

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """A randomised crossover trial: each patient has each treatment in a period of its own, seen on one day or more.

    The generative story, for patient i, period p and day d after the treatment was given, outcomes less their overall
    mean::

        y_ipd = day_mean_d + period_effect_d q_p + treatment_effect_d t_ip + baseline_slope_d b_i + carry_over_d s_ip
                + patient_id + residual_ipd
        patient_i ~ MVN(0, A)      residual_ip ~ MVN(0, B)      A = D R D with the patient sds, B with the residual sds

    q, t and s are indicators of period, treatment and the treatment before, less their shares in a complete design:
    plus and minus one half where there are two; s is zero in the first period. b is the baseline less its mean. What a
    patient's periods share is integrated out in closed form; periods and days that are missing at random integrate out
    too, and nothing is imputed to fit.

    With ``days = "joint"`` both correlation matrices R are unstructured, ``LKJ(lkj)``. Two of them, because outcomes on
    two days can go together for two reasons: the patient is always the more ill (A), or the treatment worked in this
    patient, or it was a bad month (B: as nobody has a treatment twice, a patient's own response to it cannot be told
    from the period's). One random effect per period instead would be the special case in which all covariances within B
    are equal and positive; for two days that saves nothing. A patient's missing day then leans on the other days: if
    patients who were well on day 2 were lost before day 10, the difference on day 10 takes that into account, and is
    not that of day 10 on its own. ``days = "apart"`` leaves both R at the identity: each day is then analysed as if it
    were the only one.

    *Carry-over* is left out unless asked for. With two treatments and two periods, what the first treatment leaves over
    in the second period, an interaction of treatment and period, and a difference between those randomised to one order
    and the other are one and the same contrast, between patients; so the data can say little about it, the test for it
    has hardly any power, and to choose the analysis by its outcome does harm (Freeman 1989,
    doi:10.1002/sim.4780081202). With ``carry_over = true`` and a flat prior the difference rests on the first period
    alone, as in a parallel trial; a narrower prior says how much can be left after the washout, and the width of the
    difference then says what that costs. Only the treatment just before counts.

    The baseline is one number per patient, from before the first treatment. It takes up variance between patients and
    hardly moves a difference within them. Baselines of each period are refused: as covariates beside random patient
    effects they bias the difference (Kenward and Roger 2010, doi:10.1093/biostatistics/kxp046).

    Default priors, in points of a scale like MADRS's (0 to 60): ``day_mean ~ N(0, 10)``, ``period_effect ~ N(0, 5)``,
    ``treatment_effect ~ N(0, 10)`` (95% within 20 points either way), ``carry_over ~ N(0, 2.5)``, ``baseline_slope ~
    N(0, 1)``, ``patient_sd`` and ``residual_sd ~ N+(7)`` (95% below 14 points).

    Parameters
    ----------
    reference
        The treatment the others are compared with.
    days
        Whether days are correlated, ``"joint"``, or as good as separate trials, ``"apart"``.
    carry_over
        Whether the treatment before may have left something over.
    before
        What the column of treatments says in rows from before the first treatment: their outcome is the baseline then.
    better
        Whether ``"lower"`` or ``"higher"`` outcomes are better.
    margin
        Smallest difference that matters to patients, in points.
    units
        Units of the outcome.
    lkj
        Shape of the LKJ priors of the correlations between days; 1 is uniform.
    priors
        Priors by parameter that replace the defaults.
    outcome, subject, treatment, period, day, baseline
        Names of the table's columns. ``day`` may be None where there is one time only; ``baseline`` may be left out.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> Crossover(reference="placebo", outcome="madrs").priors["treatment_effect"]
    Normal(mu=0, sigma=10)
    """

    family: ClassVar[str] = "crossover"
    primary_estimands: ClassVar[tuple[str, ...]] = ("mean_difference", "difference")
    left_out: ClassVar[str] = "subject"
    target_accept: ClassVar[float] = 0.9

    reference: str
    days: Literal["joint", "apart"] = "joint"
    carry_over: bool = False
    before: str | None = None
    better: Literal["lower", "higher"] = "lower"
    margin: float = 3.0
    units: str = "points"
    lkj: float = 2.0
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    outcome: str = column("outcome", "outcome")
    subject: str = column("subject", "patient")
    treatment: str = column("treatment", "treatment")
    period: str = column("period", "period, as a number")
    day: str | None = column("day", "days since the treatment was given")
    baseline: str | None = column(None, "outcome before the first treatment")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.before is not None and self.baseline is not None:
            raise BadInput(
                f"before = '{self.before}' and baseline = '{self.baseline}' both say where the baseline is; leave out "
                "one of them"
            )
        if self.before is not None and self.before == self.reference:
            raise BadInput(f"before = '{self.before}' is the reference too; before names rows without a treatment")
        if not self.margin > 0:
            raise BadInput(f"margin = {self.margin}, but a number of points above zero is needed")
        if not self.lkj > 0:
            raise BadInput(f"lkj = {self.lkj}, but a number above zero is needed")
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    @property
    def has_baseline(self) -> bool:
        """Whether outcomes are adjusted for the baseline."""
        return self.baseline is not None or self.before is not None

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: only those of the terms that the settings switch on."""
        points = self.units
        found = {
            "day_mean": Slot(
                Prior("Normal", mu=0, sigma=10), "real", "the mean on a day less the overall mean", points
            ),
            "period_effect": Slot(
                Prior("Normal", mu=0, sigma=5), "real", "the difference of a later period from the first", points
            ),
            "treatment_effect": Slot(
                Prior("Normal", mu=0, sigma=10), "real", "the difference between treatments", points
            ),
        }
        if self.carry_over:
            found["carry_over"] = Slot(
                Prior("Normal", mu=0, sigma=2.5), "real", "what is left over in the next period", points
            )
        if self.has_baseline:
            found["baseline_slope"] = Slot(
                Prior("Normal", mu=0, sigma=1), "real", "the difference per point at baseline", "points per point"
            )
        spread = Prior("HalfNormal", sigma=7)
        found["patient_sd"] = Slot(spread, "positive", "the sd between patients", points)
        found["residual_sd"] = Slot(spread, "positive", "the sd within patients", points)
        return found

    @property
    def words(self) -> str:
        """The story in words."""
        parts = ["period and treatment", *(["baseline"] if self.has_baseline else [])]
        parts += ["what the treatment before left over"] if self.carry_over else []
        days = (
            "Outcomes on several days go together, as a patient's own level and as one period's deviations from it"
            if self.days == "joint"
            else "Days are analysed as if each were the only one"
        )
        return (
            f"Each patient has the treatments in turn. Outcomes are normal around means by {', '.join(parts)} plus the "
            f"patient's own level, so that treatments are compared within patients. {days}. Missed periods and days "
            "are integrated out, as missing at random."
        )

    @property
    def formula(self) -> list[str]:
        """The story as the lines of a model formula."""
        mean = "day_mean[d] + period_effect[., d] q[p, .] + treatment_effect[., d] t[i, p, .]"
        mean += " + carry_over[., d] t[i, p - 1, .]" if self.carry_over else ""
        mean += " + baseline_slope[d] b[i]" if self.has_baseline else ""
        joint = self.days == "joint"
        spread = "MVN(0, D R D), D {0}_sd, R ~ LKJ({1:g})" if joint else "Normal(0, {0}_sd[d])"
        at = "." if joint else "d"
        return [
            "y[i, p, d] = mean[i, p, d] + patient[i, d] + residual[i, p, d], where an outcome was observed",
            f"mean[i, p, d] = {mean}",
            f"patient[i, {at}] ~ {spread.format('patient', self.lkj)}, integrated out",
            f"residual[i, p, {at}] ~ {spread.format('residual', self.lkj)}",
            *(f"{name} ~ {prior}" for name, prior in self.priors.items()),
        ]

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the difference on every day, also as the mean of patients' own differences."""
        return Forest(("difference",), None, None, crossover_estimands.crude_differences)

    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per patient, period and day into patients by periods by days.

        Parameters
        ----------
        table
            A dataframe. An outcome without a row, or with an empty cell, is missing.

        Returns
        -------
        xarray.Dataset
            As :func:`~bayesdep.models.parts.crossover.periods.read_periods` returns it, with the codes of
            :func:`~bayesdep.models.parts.crossover.design.code_design`.

        Raises
        ------
        BadInput
            Naming column, row and remedy.
        """
        frame = as_frame(table)
        meanings = column_fields(self)
        columns = {word: getattr(self, word) for word in meanings}
        read = read_periods(frame, columns, meanings, reference=self.reference, before=self.before, units=self.units)
        data = code_design(read, carry_over=self.carry_over)
        refuse_unknowable(data, joint=self.days == "joint")
        return data

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            With ``patient_correlation`` and ``residual_correlation`` (pair) where several days are joint, and the
            observed ``outcome_by_period`` (subject, period, day).
        """
        import pymc as pm

        from bayesdep.models.parts.crossover.nested import Nested

        prior, sizes = self.priors, data.sizes
        coords = {str(d): data[d].values for d in ("subject", "period", "later", "day", "comparison")}
        with pm.Model(coords=coords) as model:
            day_mean = prior["day_mean"].rv("day_mean", dims="day")
            period_effect = prior["period_effect"].rv("period_effect", dims=("later", "day"))
            treatment_effect = prior["treatment_effect"].rv("treatment_effect", dims=("comparison", "day"))
            by_period = pm.Data("period_code", data["period_code"].values, dims=("period", "later"))
            dims = ("subject", "period", "comparison")
            by_treatment = pm.Data("treatment_code", data["treatment_code"].values, dims=dims)
            mean = (
                pm.Data("centre", float(data["centre"]))
                + day_mean
                + _sum_of_products(by_period, period_effect, sizes["later"])
                + _sum_of_products(by_treatment, treatment_effect, sizes["comparison"])
            )
            if self.carry_over:
                left = prior["carry_over"].rv("carry_over", dims=("comparison", "day"))
                by_last = pm.Data("carry_code", data["carry_code"].values, dims=dims)
                mean = mean + _sum_of_products(by_last, left, sizes["comparison"])
            if self.has_baseline:
                slope = prior["baseline_slope"].rv("baseline_slope", dims="day")
                baseline = pm.Data("baseline", data["baseline"].values, dims="subject")
                mean = mean + baseline[:, None, None] * slope
            if self._correlated(data):
                model.add_coord("pair", pairs_of(data))
            roots = [self._root(name, data) for name in ("patient", "residual")]
            outcome = data["outcome"].values
            seen, dims = ~np.isnan(outcome), ("subject", "period", "day")
            Nested(
                "outcome_by_period",
                mean,
                *roots,
                pm.Data("seen", seen.astype(float), dims=dims),
                observed=pm.Data("outcome", np.where(seen, outcome, 0.0), dims=dims),
                dims=dims,
            )
        return model

    def _correlated(self, data: xr.Dataset) -> bool:
        return self.days == "joint" and data.sizes["day"] > 1

    def _root(self, name: str, data: xr.Dataset) -> Any:
        """The lower-triangular root of a covariance over days, from its sds and correlations."""
        import pymc as pm
        import pytensor.tensor as pt

        from bayesdep.models.parts.covariance import vine_root

        days = data.sizes["day"]
        sd = self.priors[f"{name}_sd"].rv(f"{name}_sd", dims="day")
        if not self._correlated(data):
            return np.eye(days) * sd[:, None]
        rows, columns = np.tril_indices(days, -1)
        # partial correlations given the days before, each a scaled Beta: LKJ by its vine, as in Trial
        shape = self.lkj + (days - 2 - columns) / 2
        share = pm.Beta(f"{name}_partial_share", shape, shape, dims="pair")
        root = vine_root(pt.set_subtensor(pt.eye(days)[rows, columns], 2 * share - 1))
        pm.Deterministic(f"{name}_correlation", (root[rows] * root[columns]).sum(axis=1), dims="pair")
        return sd[:, None] * root

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Derive what the trial asks.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``difference`` (comparison, day), ``mean_difference`` (comparison; days weigh the same),
            ``standardised_difference`` (over the total sd; baseline held fixed where there is one), ``beyond_margin``,
            ``period_effect`` (later, day), ``patient_sd``, ``residual_sd``, ``total_sd`` and ``intraclass_correlation``
            (day); with carry-over ``carry_over`` (comparison, day); with joint days ``patient_correlation`` and
            ``residual_correlation`` (pair).
        """
        return crossover_estimands.estimands(self, posterior)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Score every patient by the multivariate normal density of the outcomes that were observed.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, subject); a patient's own level is integrated out.
        """
        return crossover_estimands.log_likelihood(self, posterior, data)

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the statistics that could embarrass the story.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            On the first and the last day: mean and sd by treatment and period, the correlation of a patient's periods,
            and the difference of a later period's mean from the first's, all among the outcomes that were observed.
        """
        return crossover_estimands.checks(self, data)


def _sum_of_products(codes: Any, effects: Any, count: int) -> Any:
    """``codes @ effects`` for a few codes, written out: numba takes half a minute to compile a matrix product."""
    return sum(codes[..., k, None] * effects[k] for k in range(count))
