"""Trial: a continuous outcome over visits, by arm, with a moderator measured at baseline."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import as_frame
from bayesdep.models.parts import trial_estimands
from bayesdep.models.parts.moderator import Form, read_moderator
from bayesdep.models.parts.priors import Prior, Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column, column_fields
from bayesdep.models.parts.trial_estimands import apart, pairs_of
from bayesdep.models.parts.visits import read_visits
from bayesdep.models.story import Check, Forest

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A randomised trial: a continuous outcome at several visits, some missed; a mixed model for repeated measures.

    The generative story, for patient i and visit j, outcomes less their overall mean::

        y_i ~ MVN(mean_i, D R D)          D the residual sds, R their correlation; missed visits integrate out
        mean_ij = visit_mean_j + baseline_slope_j b_i + arm_effect_j a_i + x_i' covariate_effect
                  + sum_k (moderator_effect_kj + arm_by_moderator_kj a_i) m_ik

    b is the baseline less its mean, a the arm's indicator less the share of patients in the arm, m the terms of the
    moderator: the standardised moderator or its log l, and with ``"log-quadratic"`` its square. R is unstructured
    (``LKJ(lkj)``), Toeplitz, compound symmetry, first-order autoregressive by visits (``"ar1"``) or by days
    (``"spatial-power"``, ``rho ** gap``). A visit that is missing at random is never imputed to fit.

    Default priors, in points of a scale like HAM-D's: ``visit_mean ~ N(0, 10)``, ``baseline_slope ~ N(0, 0.5)``,
    ``arm_effect ~ N(0, 5)``, moderator effects ``N(0, 2.5)`` per sd, covariates ``N(0, 2.5)`` per sd, residual sd
    ``N+(7)``, ``rho ~ Beta(2, 2)``; Toeplitz partial autocorrelations are ``2 Beta(2, 2) - 1``.

    Parameters
    ----------
    reference
        The arm the others are compared with.
    covariance
        Correlation of a patient's visits.
    heterogeneous
        Whether each visit has a residual sd of its own; an unstructured covariance always has.
    moderator_form
        How the moderator enters: ``"linear"``, ``"log"`` or ``"log-quadratic"``.
    at
        Values of the moderator at which differences are reported.
    covariates
        Formula of patients' covariates, such as ``"age + sex"``.
    better
        Whether ``"lower"`` or ``"higher"`` outcomes are better.
    margin
        Smallest difference that matters to patients, in points.
    units
        Units of the outcome.
    lkj
        Shape of the LKJ prior of an unstructured correlation; 1 is uniform.
    priors
        Priors by parameter that replace the defaults.
    outcome, subject, arm, visit, baseline, day, moderator
        Names of the table's columns; ``day`` and ``moderator`` may be left out.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> Trial(reference="placebo", covariance="ar1").priors["rho"]
    Beta(alpha=2, beta=2)
    """

    family: ClassVar[str] = "trial"
    left_out: ClassVar[str] = "subject"

    reference: str
    covariance: Literal["unstructured", "toeplitz", "compound-symmetry", "ar1", "spatial-power"] = "unstructured"
    heterogeneous: bool = True
    moderator_form: Form = "log"
    at: Sequence[float] = ()
    covariates: str | None = None
    better: Literal["lower", "higher"] = "lower"
    margin: float = 3.0
    units: str = "points"
    lkj: float = 2.0
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    outcome: str = column("outcome", "outcome")
    subject: str = column("subject", "patient")
    arm: str = column("arm", "arm")
    visit: str = column("visit", "visit, as a number")
    baseline: str = column("baseline", "outcome at baseline")
    day: str | None = column(None, "days since randomisation")
    moderator: str | None = column(None, "moderator at baseline")

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "at", tuple(float(x) for x in self.at))
        if self.at and self.moderator is None:
            raise BadInput("at needs a moderator; name its column in moderator, or leave at out")
        if self.moderator is not None and self.moderator_form != "linear" and any(x <= 0 for x in self.at):
            raise BadInput(
                f"at = {list(self.at)}, but a value above zero is needed where the moderator enters as a log"
            )
        if self.covariance == "unstructured" and not self.heterogeneous:
            raise BadInput(
                "heterogeneous = false contradicts covariance = 'unstructured'; use 'toeplitz', or leave it out"
            )
        if not self.margin > 0:
            raise BadInput(f"margin = {self.margin}, but a number of points above zero is needed")
        if not self.lkj > 0:
            raise BadInput(f"lkj = {self.lkj}, but a number above zero is needed")
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    @property
    def target_accept(self) -> float:
        """How careful the sampler must be: a root in which hidden visits lean on correlations has narrow places."""
        return 0.9 if self.covariance in ("unstructured", "toeplitz") else 0.8

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: only those of the terms that the settings switch on."""
        points = self.units
        found = {
            "visit_mean": Slot(
                Prior("Normal", mu=0, sigma=10), "real", "the mean at a visit less the overall mean", points
            ),
            "baseline_slope": Slot(
                Prior("Normal", mu=0, sigma=0.5), "real", "the difference per point at baseline", "points per point"
            ),
            "arm_effect": Slot(Prior("Normal", mu=0, sigma=5), "real", "the difference between arms", points),
        }
        per = f"{points} per sd"
        if self.moderator is not None:
            wide = Prior("Normal", mu=0, sigma=2.5)
            found["moderator_effect"] = Slot(wide, "real", "the difference by moderator", per)
            found["arm_by_moderator"] = Slot(wide, "real", "the change of the arms' difference by moderator", per)
        if self.covariates is not None:
            found["covariate_effect"] = Slot(Prior("Normal", mu=0, sigma=2.5), "real", "a covariate's effect", per)
        found["residual_sd"] = Slot(Prior("HalfNormal", sigma=7), "positive", "the residual sd", points)
        if self.covariance in ("ar1", "spatial-power", "compound-symmetry"):
            found["rho"] = Slot(Prior("Beta", alpha=2, beta=2), "unit", "the correlation", "correlation")
        if self.covariance == "toeplitz":
            found["partial_share"] = Slot(
                Prior("Beta", alpha=2, beta=2), "unit", "a partial autocorrelation plus one, halved", "share"
            )
        return found

    @property
    def words(self) -> str:
        """The story in words."""
        how = {
            "unstructured": "an unstructured correlation",
            "toeplitz": "a correlation by the number of visits between (Toeplitz)",
            "compound-symmetry": "one correlation (compound symmetry)",
            "ar1": "a correlation that decays from visit to visit (AR(1))",
            "spatial-power": "a correlation that decays with the days between (spatial power)",
        }[self.covariance]
        arms = "differences between arms" if self.moderator is None else f"differences between arms by {self.moderator}"
        return (
            f"Outcomes of a patient are jointly normal, with {how}; means are adjusted for baseline, {arms} are every "
            "visit's own. Missed visits are integrated out, as missing at random."
        )

    @property
    def formula(self) -> list[str]:
        """The story as the lines of a model formula."""
        mean = "visit_mean[j] + baseline_slope[j] b[i] + arm_effect[j] a[i]"
        if self.moderator is not None:
            mean += " + (moderator_effect[., j] + arm_by_moderator[., j] a[i]) m[i, .]"
        if self.covariates is not None:
            mean += f" + covariate_effect x[i]  ({self.covariates})"
        return [
            "y[i, .] ~ MVN(mean[i, .], D R D), over the visits that were observed",
            f"mean[i, j] = {mean}",
            f"R {self.covariance}" + (f" ~ LKJ({self.lkj:g})" if self.covariance == "unstructured" else ""),
            *(f"{name} ~ {prior}" for name, prior in self.priors.items()),
        ]

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the arms' difference at every visit, also as means of the observed."""
        return Forest(("difference",), None, None, trial_estimands.crude_differences)

    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per patient and visit into patients by visits.

        Parameters
        ----------
        table
            A dataframe. A visit without a row, or with an empty outcome, was missed.

        Returns
        -------
        xarray.Dataset
            As :func:`~bayesdep.models.parts.visits.read_visits` returns it, with what
            :func:`~bayesdep.models.parts.moderator.read_moderator` adds, ``arm_code`` (subject, comparison) and dim
            ``comparison``, the arms but the reference.

        Raises
        ------
        BadInput
            Naming column, row and remedy.
        """
        frame = as_frame(table)
        meanings = column_fields(self)
        columns = {word: getattr(self, word) for word in meanings}
        data, patients = read_visits(
            frame, columns, meanings, reference=self.reference, formula=self.covariates, units=self.units
        )
        if data.sizes["visit"] < 2:
            raise BadInput(f"column '{self.visit}': there is only one visit; a trial over visits needs at least two")
        if self.covariance in ("unstructured", "toeplitz"):
            trial_estimands.refuse_unknown_correlations(data, self.covariance)
        if self.moderator is not None:
            found = read_moderator(patients, self.moderator, meanings["moderator"], self.moderator_form)
            data = data.merge(found, combine_attrs="override")
        indicator = np.eye(data.sizes["arm"])[data["arm_of"].values, 1:]
        data = data.assign_coords(comparison=data["arm"].values[1:])
        return data.assign(
            arm_code=(("subject", "comparison"), indicator - indicator.mean(axis=0)),
            centre=((), float(np.nanmean(data["outcome"].values))),
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
            With ``correlation_by_pair`` (unstructured), ``correlation_by_lag`` (Toeplitz) or ``rho``, and the observed
            ``outcome_by_visit`` (subject, visit).
        """
        import pymc as pm

        prior = self.priors
        coords = {str(d): data[d].values for d in ("subject", "visit", "comparison", "covariate")}
        if self.moderator is not None:
            coords["term"] = data["term"].values
        with pm.Model(coords=coords) as model:
            visit_mean = prior["visit_mean"].rv("visit_mean", dims="visit")
            baseline_slope = prior["baseline_slope"].rv("baseline_slope", dims="visit")
            arm_effect = prior["arm_effect"].rv("arm_effect", dims=("comparison", "visit"))
            baseline = pm.Data("baseline", data["baseline"].values, dims="subject")
            arm = pm.Data("arm_code", data["arm_code"].values, dims=("subject", "comparison"))
            centre = pm.Data("centre", float(data["centre"]))
            mean = (
                centre
                + visit_mean
                + baseline[:, None] * baseline_slope
                + _sum_of_products(arm, arm_effect, data.sizes["comparison"])
            )
            if self.moderator is not None:
                moderator_effect = prior["moderator_effect"].rv("moderator_effect", dims=("term", "visit"))
                both = prior["arm_by_moderator"].rv("arm_by_moderator", dims=("comparison", "term", "visit"))
                terms = pm.Data("moderator_terms", data["moderator_terms"].values, dims=("subject", "term"))
                mean = mean + _sum_of_products(terms, moderator_effect, data.sizes["term"])
                for k in range(data.sizes["comparison"]):
                    mean = mean + arm[:, k, None] * _sum_of_products(terms, both[k], data.sizes["term"])
            if self.covariates is not None:
                effect = prior["covariate_effect"].rv("covariate_effect", dims="covariate")
                x = pm.Data("covariates", data["covariates"].values, dims=("subject", "covariate"))
                mean = mean + _sum_of_products(x, effect[:, None], data.sizes["covariate"])
            sd = prior["residual_sd"].rv("residual_sd", dims="visit" if self.heterogeneous else None)
            self._observe(model, data, mean, sd)
        return model

    def _observe(self, model: "pm.Model", data: xr.Dataset, mean: Any, sd: Any) -> None:
        """Let the outcomes be correlated as the settings say."""
        import pymc as pm
        import pytensor.tensor as pt

        from bayesdep.models.parts import covariance

        visits = data.sizes["visit"]
        outcome = data["outcome"].values
        observed = ~np.isnan(outcome)
        seen = pm.Data("seen", observed.astype(float), dims=("subject", "visit"))
        how = {"observed": pm.Data("outcome", np.where(observed, outcome, 0.0), dims=("subject", "visit"))}
        sds = pt.broadcast_to(sd, (visits,))
        name, dims = "outcome_by_visit", ("subject", "visit")
        if self.covariance == "compound-symmetry":
            rho = self.priors["rho"].rv("rho")
            covariance.Exchangeable(name, mean, sds, rho, seen, dims=dims, **how)
            return
        if self.covariance in ("ar1", "spatial-power"):
            rho = self.priors["rho"].rv("rho")
            is_ar1 = self.covariance == "ar1"
            day = np.broadcast_to(np.arange(visits), observed.shape) if is_ar1 else data["day"].values
            place = np.where(observed, np.arange(visits), -1)
            previous = np.hstack([np.full((len(place), 1), -1), np.maximum.accumulate(place, axis=1)[:, :-1]])
            given = (
                pm.Data("previous", previous.astype(float), dims=dims),
                pm.Data("day", day.astype(float), dims=dims),
            )
            covariance.Serial(name, mean, sds, rho, seen, *given, dims=dims, **how)
            return
        if self.covariance == "unstructured":
            rows, columns = np.tril_indices(visits, -1)
            model.add_coord("pair", pairs_of(data))
            shape = self.lkj + (visits - 2 - columns) / 2
            share = pm.Beta("partial_share", shape, shape, dims="pair")
            root = covariance.vine_root(pt.set_subtensor(pt.eye(visits)[rows, columns], 2 * share - 1))
            pm.Deterministic("correlation_by_pair", (root[rows] * root[columns]).sum(axis=1), dims="pair")
        else:
            model.add_coord("lag", [str(k) for k in range(1, visits)])
            share = self.priors["partial_share"].rv("partial_share", dims="lag")
            by_lag = covariance.toeplitz_correlations(pt.specify_shape(2 * share - 1, (visits - 1,)))
            pm.Deterministic("correlation_by_lag", by_lag[1:], dims="lag")
            root = covariance.cholesky(by_lag[apart(visits)], visits)
        # a missed visit that an observed one follows
        hidden = ~observed & (np.maximum.accumulate(observed[:, ::-1], axis=1)[:, ::-1])
        z: Any = pt.zeros(observed.shape)
        if hidden.any():
            names = [f"{data['subject'].values[i]} / {data['visit'].values[j]}" for i, j in np.argwhere(hidden)]
            model.add_coord("missed", names)
            where = pm.Data("missed_at", np.flatnonzero(hidden), dims="missed")
            latent = pm.Normal("missed_latent", dims="missed")
            z = pt.set_subtensor(z.ravel()[where], latent).reshape(observed.shape)
        covariance.RegressionOnThePast(name, mean, sds, root, seen, z, dims=dims, **how)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive what the trial asks; see :mod:`bayesdep.models.parts.trial_estimands` for each.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``difference`` (comparison, visit), ``mean_difference`` (comparison), ``standardised_difference``,
            ``beyond_margin``, ``residual_sd`` and ``correlation``; with a moderator also ``difference_at`` (comparison,
            moderator_value, visit), ``difference_along`` (comparison, grid; at the last visit), ``crossover`` and
            ``crosses``.
        """
        return trial_estimands.estimands(self, posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Score every patient by the multivariate normal density of the visits that were observed.

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
        return trial_estimands.log_likelihood(self, posterior, data)

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the statistics that could embarrass the story.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Mean and sd at the first and the last visit by arm, the correlations of neighbouring visits and of the first
            with the last, all among the visits that were observed.
        """
        return trial_estimands.checks(self, data)


def _sum_of_products(columns: Any, effects: Any, count: int) -> Any:
    """``columns @ effects`` for a few columns, written out: numba takes half a minute to compile a matrix product."""
    return sum(columns[:, k, None] * effects[k] for k in range(count))
