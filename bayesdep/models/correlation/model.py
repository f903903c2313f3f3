"""Correlation: a censored biomarker and a continuous score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.correlation import checks, estimands, scores
from bayesdep.models.correlation.data import prepare
from bayesdep.models.correlation.observations import observations
from bayesdep.models.correlation.replicates import replicate
from bayesdep.models.correlation.settings import CorrelationSettings
from bayesdep.models.correlation.tables import tables as printed_tables
from bayesdep.models.model import Check, Forest, OwnPrior, reads
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.models.parts.people import recorded
from bayesdep.models.parts.scale import priors_of

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Correlation(CorrelationSettings):
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
    given. The score is known of everybody, so the data leave little of these two to their priors, and the correlation
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

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the correlation, also Pearson's with non-detects at their limit."""
        return Forest(("correlation",), None, None, estimands.pearson)

    @reads
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
        return prepare(self, table)

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
        prior = priors_of(self, data)
        with pm.Model(coords={"subject": data["subject"].values}) as model:
            rho = prior["rho"].rv("rho")
            marker_mean, marker_sd = (prior[name].rv(name) for name in ("marker_mean", "marker_sd"))
            score_mean = prior["score_mean"].rv("score_mean")
            score_sd = prior["score_sd"].rv("score_sd", in_widths=True)
            score = pm.Data("score_data", data["score"].values, dims="subject")
            expected_score = pm.Data("score_centre", float(data["score_centre"])) + score_mean
            pm.Normal("score", expected_score, score_sd, observed=score, dims="subject")
            centre = pm.Data("centre", float(data["centre"].values[0]))
            CensoredNormal(
                "log_concentration",
                centre + marker_mean + rho * marker_sd * ((score - expected_score) / score_sd),
                marker_sd * pt.sqrt((1 - rho) * (1 + rho)),
                pm.Data("kind", kind, dims="subject"),
                pm.Data("half_width", half_width, dims="subject"),
                observed=pm.Data("recorded", recorded(data)[:, 0], dims="subject"),
                dims="subject",
            )
        return model

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Put drawn pairs in the place of the observed ones: what lies below a limit is known to be below it.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.
        drawn
            One draw of every variable of :meth:`build`.
        rng
            Random numbers.

        Returns
        -------
        xarray.Dataset
            Everything else as in ``data``.
        """
        return replicate(data, drawn, rng)

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
        return estimands.estimands(posterior, units=self.units)

    def observations(self, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
        """Give the distribution of every single observation given the parameters and its unit's earlier ones.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        dict of Observations
            As :func:`bayesdep.models.correlation.observations.observations` returns it.
        """
        return observations(posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Return the log density of each subject's pair, or of the score and the probability of the non-detect.

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
        return scores.log_likelihood(posterior, data)

    def own_prior(self, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
        """Return the prior of an estimand that is a parameter of its own, or why there is none.

        Parameters
        ----------
        name, at
            The estimand and its coordinates.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        OwnPrior or str
            A clause where there is none.
        """
        return estimands.own_prior(self, name, at, data)

    def tables(self, data: xr.Dataset) -> Mapping[str, Layout]:
        """Declare the tables that a paper prints of its fits.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        mapping of Layout
            By name, the main one ``"main"``.
        """
        return printed_tables(self, data)

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the test quantities for predictive checks.

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
        return checks.checks(data, units=self.units)


def _kinds(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Whether each value is detected, below, above or between limits (0 to 3), and half the width between them."""
    lower, upper = data["log_lower"].values[:, 0], data["log_upper"].values[:, 0]
    kind = np.select([lower == upper, np.isinf(lower), np.isinf(upper)], [0.0, 1.0, 2.0], 3.0)
    with np.errstate(invalid="ignore"):  # the width of an open interval is not used
        return kind, np.where(kind == 3, (upper - lower) / 2, 1.0)
