"""Crossover: patients who have every treatment in turn, one a period, each patient their own control."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import as_frame
from bayesdep.models.crossover import estimands as crossover_estimands
from bayesdep.models.crossover.data import read_periods
from bayesdep.models.crossover.design import code_design, pairs_of, refuse_unknowable, within_cells
from bayesdep.models.model import Check, Forest
from bayesdep.models.parts.contrasts import contrast_root, contrasts, refuse_without_correlation, shared_root
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.scale import check_scale, priors_of, scale_of
from bayesdep.models.parts.settings import check_settings, column, column_fields
from bayesdep.numerics.distributions import Prior

if TYPE_CHECKING:
    import pymc as pm


BETWEEN_DAYS = 0.75  # prior correlation of an effect on two days


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """A randomised crossover trial: each patient has each treatment in a period of its own, seen on one day or more.

    The generative model, for patient i, period p and day d after the treatment was given, outcomes less their overall
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

    Default priors are multiples of ``scale``, the sd of outcomes within treatment, period and day, so that they mean
    the same in any unit: ``treatment_effect ~ N(0, 1.5)`` (95% within three such sds either way, which holds all but
    the largest effects of any treatment; it takes 2% off an effect known to a fifth of an sd), ``period_effect ~ N(0,
    0.75)`` (half of that: the same people, with time), ``carry_over ~ N(0, 0.3)``, ``day_mean ~ N(0, 1.5)``,
    ``patient_sd`` and ``residual_sd ~ N+(1)`` (together they make up the scale); ``baseline_slope ~ N(0, 1)`` times the
    scale over the baseline's sd. With half and double these widths ketamine's differences in the NIMH trial are in
    docs/crossover_priors.md.

    With joint days, effects of treatments, periods and carry-over correlate 3/4 between days a priori: an overall
    effect and deviations from it of half the spread. So the mean over days has nearly the prior of one day, whatever
    their number. Of three or more treatments, differences from the reference correlate 1/2, so that none of the
    treatments has a prior of its own.

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
        Smallest difference that matters to patients, in the outcome's units; None if it is not asked for.
    scale
        What default priors are multiples of, in the outcome's units; None for the sd of outcomes within treatment,
        period and day.
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
    Normal(mu=0, sigma=1.5) times scale
    """

    family: ClassVar[str] = "crossover"
    figures: ClassVar[tuple[str, ...]] = ("pairs",)
    primary_estimands: ClassVar[tuple[str, ...]] = ("mean_difference", "difference")
    left_out: ClassVar[str] = "subject"
    target_accept: ClassVar[float] = 0.9

    reference: str
    days: Literal["joint", "apart"] = "joint"
    carry_over: bool = False
    before: str | None = None
    better: Literal["lower", "higher"] = "lower"
    margin: float | None = None
    scale: float | None = None
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
        check_scale(self.scale)
        if self.margin is not None and not self.margin > 0:
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
                _width("Normal", mu=0, sigma=1.5), "real", "the mean on a day less the overall mean", points
            ),
            "period_effect": Slot(
                _width("Normal", mu=0, sigma=0.75), "real", "the difference of a later period from the first", points
            ),
            "treatment_effect": Slot(
                _width("Normal", mu=0, sigma=1.5), "real", "the difference between treatments", points
            ),
        }
        if self.carry_over:
            found["carry_over"] = Slot(
                _width("Normal", mu=0, sigma=0.3), "real", "what is left over in the next period", points
            )
        if self.has_baseline:
            found["baseline_slope"] = Slot(
                _width("Normal", mu=0, sigma=1),
                "real",
                "the difference per unit of the baseline",
                f"{points} per unit of the baseline",
                per="baseline_sd",
            )
        spread = _width("HalfNormal", sigma=1)
        found["patient_sd"] = Slot(spread, "positive", "the sd between patients", points)
        found["residual_sd"] = Slot(spread, "positive", "the sd within patients", points)
        return found

    @property
    def words(self) -> str:
        """The model in words."""
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
        """The model as the lines of a model formula."""
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
            As :func:`~bayesdep.models.crossover.data.read_periods` returns it, with the codes of
            :func:`~bayesdep.models.crossover.design.code_design`.

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
        self._refuse_priors(data)
        where = f"column '{self.outcome}' ({meanings['outcome']})"
        scale = scale_of(*within_cells(data), stated=self.scale, where=where)
        return data.assign(scale=((), scale, {"units": self.units}))

    def _refuse_priors(self, data: xr.Dataset) -> None:
        for name, roots in self._roots(data).items():
            count = int(np.prod([len(root) for root in roots]))
            if any(len(root) > 1 and (root != np.eye(len(root))).any() for root in roots):
                of = f"{count} differences between treatments, periods or days"
                refuse_without_correlation(self.priors[name], name, count, of)

    def _roots(self, data: xr.Dataset) -> dict[str, list[np.ndarray]]:
        """How effects go together: roots of their correlations along their dims."""
        days = data.sizes["day"]
        by_day = shared_root(days, BETWEEN_DAYS) if self._correlated(data) else np.eye(days)
        of = {"treatment_effect": "comparison", "period_effect": "later"}
        of |= {"carry_over": "comparison"} if self.carry_over else {}
        return {name: [contrast_root(data.sizes[dim]), by_day] for name, dim in of.items()}

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

        from bayesdep.models.crossover.nested import Nested

        prior, sizes, roots_of = priors_of(self, data), data.sizes, self._roots(data)
        coords = {str(d): data[d].values for d in ("subject", "period", "later", "day", "comparison")}
        with pm.Model(coords=coords) as model:
            day_mean = prior["day_mean"].rv("day_mean", dims="day")
            drawn = {
                name: contrasts(
                    prior[name], name, dims=("later" if name == "period_effect" else "comparison", "day"), roots=roots
                )
                for name, roots in roots_of.items()
            }
            period_effect, treatment_effect = drawn["period_effect"], drawn["treatment_effect"]
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
                left = drawn["carry_over"]
                by_last = pm.Data("carry_code", data["carry_code"].values, dims=dims)
                mean = mean + _sum_of_products(by_last, left, sizes["comparison"])
            if self.has_baseline:
                slope = prior["baseline_slope"].rv("baseline_slope", dims="day")
                baseline = pm.Data("baseline", data["baseline"].values, dims="subject")
                mean = mean + baseline[:, None, None] * slope
            if self._correlated(data):
                model.add_coord("pair", pairs_of(data))
            roots = [self._root(name, data, prior) for name in ("patient", "residual")]
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

    def _root(self, name: str, data: xr.Dataset, prior: Mapping[str, Prior]) -> Any:
        """The lower-triangular root of a covariance over days, from its sds and correlations."""
        import pymc as pm
        import pytensor.tensor as pt

        from bayesdep.numerics.covariance import vine_root

        days = data.sizes["day"]
        sd = prior[f"{name}_sd"].rv(f"{name}_sd", dims="day", in_widths=True)
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
            ``standardised_difference`` (over the total sd; baseline held fixed where there is one), ``beyond_margin``
            where a margin is set,
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
        """Name the statistics that the model could get wrong.

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


def _width(dist: str, **parameters: float) -> Prior:
    return Prior(dist, times_scale=True, **parameters)


def _sum_of_products(codes: Any, effects: Any, count: int) -> Any:
    """``codes @ effects`` for a few codes, written out: numba takes half a minute to compile a matrix product."""
    return sum(codes[..., k, None] * effects[k] for k in range(count))
