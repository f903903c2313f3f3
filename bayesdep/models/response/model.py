"""Response: one or many censored biomarkers as predictors of a binary outcome."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import as_frame, provenance
from bayesdep.models.model import Check, Forest
from bayesdep.models.parts.covariates import columns_of, read_covariates, refuse_covariates_of
from bayesdep.models.parts.people import (
    is_detected,
    largest_detected,
    read_people,
    recorded,
    rows_of_people,
    share_below,
    visible_share,
)
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column, column_fields
from bayesdep.models.response import estimands as response_estimands
from bayesdep.models.response.outcome import read_outcome
from bayesdep.models.response.slopes import slope_lines, slope_slots, slopes
from bayesdep.numerics.distributions import Prior

if TYPE_CHECKING:
    import pymc as pm

_WHICH_SIDE = (
    "predicts_when is missing: say whether a value 'below' or 'above' a cutoff predicts the outcome, as "
    "predicts_when = 'below' or 'above'; which side it is belongs to the question, not to the data"
)


@dataclass(frozen=True, kw_only=True)
class Response:
    """Biomarkers, of which some lie beyond their detection limits, as predictors of a binary outcome.

    The generative model, for subject i and analyte k, on natural logs::

        outcome_i ~ Bernoulli(logit^-1(intercept + sum_k slope_k x_ik + z_i' covariate_slope))
        x_ik ~ N(marker_mean_k, marker_sd_k),   x_ik = (log concentration_ik - centre_k) / scale_k

    x is observed where detected; elsewhere it is a parameter, known to lie below, above or between its limits. The
    density of such a value is that of the normal itself, not of a normal truncated to the interval: that a value was
    below its limit is information about ``marker_mean`` and ``marker_sd``. ``centre_k`` is a fixed number, the mean of
    the analyte's detected logs and log limits, so that ``intercept`` is the log odds at a typical concentration.
    ``scale_k`` is fixed too: the standard deviation of the analyte's logs by maximum likelihood, non-detects included.
    So slopes are per standard deviation, and neither the unit of a concentration nor how widely it spreads between
    people changes what the priors say. z are the covariates, standardised over the people at hand.

    Default priors: ``intercept ~ N(0, 1.5)`` (95% of response rates between 5% and 95%); ``slope ~ t_4(0, 2.5)`` per
    standard deviation; ``covariate_slope ~ N(0, 1)`` per sd; ``marker_mean ~ N(0, 2.5)`` and ``marker_sd ~ N+(2)``, in
    standard deviations. An area under the curve of 0.98 is a slope of about 7, one of 0.86 about 2: the default
    leaves both nearly as they are, where N(0, 1) made 0.90 of 0.98 (docs/response_prior.md).

    With several analytes their slopes may be drawn together, ``effects = "normal"`` or ``"student"``::

        slope_k = slope_sd raw_k,   raw_k ~ N(0, 1) or t_4,   slope_sd ~ N+(1)

    or have the regularised ``"horseshoe"`` (Piironen and Vehtari 2017, doi:10.1214/17-EJS1337SI)::

        slope_k ~ N(0, tau_k^2 c^2 local_k^2 / (c^2 + tau_k^2 local_k^2)),   1 / c^2 = slab_precision ~ Gamma(2, 8)
        tau_k = global_scale p0 / (p - p0) se_k,   se_k = 1 / sqrt(n m (1 - m) seen_k),   local_k ~ C+(1)

    for p analytes of which p0 = ``expected_nonzero`` matter, and ``log(global_scale) ~ N(0, 0.5)``: twenty slopes say
    little of how many matter, so it is taken as known within a factor. ``se_k`` is the standard error that the design
    gives the slope: from the Fisher information of a standardised predictor in a logistic regression of n people of
    whom a share m respond, and ``seen_k``, the share of the analyte's variance that its limits leave visible. So an
    analyte that is mostly not detected is not held to be known as well as the others. The slab is Student's t with 4
    degrees of freedom and scale 2. Intervals of pooled slopes are right on average over analytes, not for the few that
    differ most.

    The accuracy of a test is that in the population the model describes: markers are normal, covariates those of the
    people at hand. It is not the accuracy counted in the sample the cutoff may have been chosen on.

    Parameters
    ----------
    event
        Label of the outcome that counts as 1; not needed for 0/1 or true/false.
    effects
        How slopes of several analytes go together: not at all (``"none"``: each has its own prior), ``"normal"``,
        ``"student"``, or the ``"horseshoe"``.
    expected_nonzero
        For the horseshoe: how many analytes are expected to matter.
    covariates
        Formula of the covariates, such as ``"age + sex + bmi"``.
    cutoff
        A cutoff in concentration units, whose accuracy is then estimated; for a single analyte.
    predicts_when
        Whether a value ``"below"`` or ``"above"`` a cutoff predicts the outcome: needed for a single analyte, as an
        area under the curve of 0.87 one way is 0.13 the other.
    scale
        What slopes and the marker's priors are per, on natural logs; None for each analyte's own standard deviation.
    beyond_limit
        What to do with an unflagged number beyond its own limit: ``"refuse"``, or ``"censor"`` it there.
    flag_codes
        What codes of the flag column mean, such as ``{"1" = "left", "2" = "right"}``.
    priors
        Priors by parameter that replace the defaults.
    outcome, subject, value, analyte, plate, unit, censored, lod, lloq, uloq
        Names of the table's columns; those from ``analyte`` on may be left out.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> Response(outcome="responder", cutoff=34, predicts_when="below").priors["slope"]
    StudentT(nu=4, mu=0, sigma=2.5)
    """

    family: ClassVar[str] = "response"
    figures: ClassVar[tuple[str, ...]] = ("roc",)
    primary_estimands: ClassVar[tuple[str, ...]] = ("slope", "auc")
    target_accept: ClassVar[float] = 0.95  # the horseshoe has narrow necks, and one analyte costs little anyway

    event: str | None = None
    effects: Literal["none", "normal", "student", "horseshoe"] = "none"
    expected_nonzero: float | None = None
    covariates: str | None = None
    cutoff: float | None = None
    predicts_when: Literal["below", "above"] | None = None
    scale: float | None = None
    beyond_limit: Literal["refuse", "censor"] = "refuse"
    flag_codes: Mapping[str, str] | None = None
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    outcome: str = column("responder", "outcome, yes or no")
    subject: str = column("subject", "person")
    value: str = column("concentration", "concentration")
    analyte: str | None = column(None, "analyte")
    plate: str | None = column(None, "assay plate")
    unit: str | None = column(None, "unit of the concentration")
    censored: str | None = column(None, "flag of values beyond a limit")
    lod: str | None = column(None, "limit of detection")
    lloq: str | None = column(None, "lower limit of quantification")
    uloq: str | None = column(None, "upper limit of quantification")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.cutoff is not None and not 0 < self.cutoff < np.inf:
            raise BadInput(f"cutoff = {self.cutoff}, but a concentration above zero is needed, as measured, not logged")
        if self.scale is not None and not 0 < self.scale < np.inf:
            raise BadInput(f"scale = {self.scale}, but a number above zero is needed, on natural logs")
        if self.analyte is None and self.predicts_when is None:
            raise BadInput(_WHICH_SIDE)
        if self.effects != "none" and self.analyte is None:
            raise BadInput(
                f"effects = '{self.effects}' needs several analytes; name their column in analyte, or use 'none'"
            )
        if self.effects == "horseshoe":
            if self.expected_nonzero is None:
                raise BadInput("expected_nonzero is missing; say how many analytes are expected to matter, such as 3")
            if not self.expected_nonzero > 0:
                raise BadInput(f"expected_nonzero = {self.expected_nonzero}, but a number above zero is needed")
        elif self.expected_nonzero is not None:
            raise BadInput("expected_nonzero is the horseshoe's; set effects = 'horseshoe', or leave it out")
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: only those of the parts that the settings switch on."""
        slots = {"intercept": Slot(Prior("Normal", mu=0, sigma=1.5), "real", "the log odds at the centre", "log odds")}
        slots |= slope_slots(self.effects)
        if self.covariates is not None:
            slots["covariate_slope"] = Slot(
                Prior("Normal", mu=0, sigma=1), "real", "the effect of a covariate", "log odds per sd"
            )
        slots["marker_mean"] = Slot(
            Prior("Normal", mu=0, sigma=2.5), "real", "the mean log concentration less the centre", "sd"
        )
        slots["marker_sd"] = Slot(Prior("HalfNormal", sigma=2), "positive", "the sd of log concentrations", "sd")
        return slots

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        return "subject"

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the log odds ratio per log unit of each analyte, on its own and in the model."""
        return Forest(("slope",), None, None, response_estimands.crude_slopes, is_log=True)

    @property
    def words(self) -> str:
        """The model in words."""
        text = "The log odds of the outcome are linear in the log concentration" + ("s" if self.analyte else "")
        text += f" and in covariates ({self.covariates})" if self.covariates else ""
        text += ", which are normal between people; a value beyond a detection limit is a parameter known to lie there."
        if self.effects == "horseshoe":
            text += f" Of the analytes about {self.expected_nonzero:g} are expected to matter (regularised horseshoe)."
        return text

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        extra = " + covariates[i]' covariate_slope" if self.covariates else ""
        lines = [
            f"outcome[i] ~ Bernoulli(invlogit(intercept + sum_k slope[k] x[i, k]{extra}))",
            "x[i, k] = (log concentration[i, k] - centre[k]) / scale[k]",
            "x[i, k] ~ Normal(marker_mean[k], marker_sd[k]), latent beyond its limits",
        ]
        lines += slope_lines(self.effects, self.expected_nonzero)
        return lines + [f"{name} ~ {prior}" for name, prior in self.priors.items()]

    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per subject and analyte into people.

        Parameters
        ----------
        table
            A dataframe; the outcome and the covariates are the same in all rows of a subject.

        Returns
        -------
        xarray.Dataset
            As :func:`~bayesdep.models.parts.people.read_people` returns it, with ``outcome`` (subject), ``covariates``
            (subject, covariate) and ``covariate_sd``; ``log_sd`` (analyte) is what slopes are per, and ``slope_se``
            (analyte) the standard error that the design gives a slope.

        Raises
        ------
        BadInput
            Naming the column and row.
        """
        frame = as_frame(table)
        what = column_fields(self)
        columns = {word: getattr(self, word) for word in what}
        data, person = read_people(frame, columns, what, flag_codes=self.flag_codes, beyond_limit=self.beyond_limit)
        if data.sizes["analyte"] > 1 and self.cutoff is not None:
            raise BadInput(
                f"cutoff = {self.cutoff:g} is for a single analyte, but there are {data.sizes['analyte']}; "
                "keep one ([data.keep]) or leave the cutoff out"
            )
        if data.sizes["analyte"] == 1 and self.predicts_when is None:
            raise BadInput(_WHICH_SIDE)
        if self.effects != "none" and data.sizes["analyte"] == 1:
            raise BadInput(
                f"effects = '{self.effects}', but there is one analyte, '{data['analyte'].values[0]}'; use "
                "effects = 'none'"
            )
        if self.expected_nonzero is not None and self.expected_nonzero >= data.sizes["analyte"]:
            raise BadInput(
                f"expected_nonzero = {self.expected_nonzero:g}, but there are {data.sizes['analyte']} analytes; "
                "a smaller number is needed, or effects = 'student'"
            )
        played = {getattr(self, w): what[w] for w in ("subject", "value", "analyte", "outcome")}
        refuse_covariates_of(self.covariates, played, list(frame.columns))
        used = columns_of(self.covariates, list(frame.columns))
        people = rows_of_people(frame, {self.outcome: what["outcome"]} | dict.fromkeys(used, "covariate"), person)
        covariates = read_covariates(people, self.covariates)
        outcome = read_outcome(people, self.outcome, what["outcome"], self.event)
        information = outcome.size * outcome.mean() * (1 - outcome.mean()) * visible_share(data)
        if self.scale is not None:
            information = information * (data["log_sd"].values / self.scale) ** 2
            data["log_sd"] = data["log_sd"].copy(data=np.full(data.sizes["analyte"], float(self.scale)))
        data.attrs["notes"] = provenance(frame)["notes"]  # with those of people's columns
        return data.assign(
            slope_se=("analyte", 1 / np.sqrt(information)),
            outcome=("subject", outcome),
            covariates=(("subject", "covariate"), covariates.values),
            covariate_sd=("covariate", covariates.sds),
        ).assign_coords(covariate=np.array(covariates.names, dtype=str))

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            Observed ``outcome`` (subject) and ``log_concentration`` (subject, analyte); values beyond a limit, at
            which the latter holds the limit and is not scored, are the parameters ``beyond`` (non_detect).
        """
        import pymc as pm
        import pytensor.tensor as pt

        from bayesdep.models.parts.censored_variables import INSIDE, DetectedNormal, NormalInside

        prior, cells = self.priors, ("subject", "analyte")
        detected = is_detected(data)
        who, which = np.nonzero(~detected)
        names = np.char.add(np.char.add(data["subject"].values[who], " / "), data["analyte"].values[which])
        coords = {d: data[d].values for d in ("subject", "analyte", "covariate")} | {"non_detect": names}
        with pm.Model(coords=coords) as model:
            centre, scale = (pm.Data(name, data[name].values, dims="analyte") for name in ("centre", "log_sd"))
            log_odds = prior["intercept"].rv("intercept")
            slope = slopes(self, data) / scale
            mean = centre + scale * prior["marker_mean"].rv("marker_mean", dims="analyte")
            sd = scale * prior["marker_sd"].rv("marker_sd", dims="analyte")
            known = pm.Data("recorded", recorded(data), dims=cells)
            counted = pm.Data("is_detected", detected.astype(float), dims=cells)
            x = known
            if len(who):
                of = pm.Data("analyte_of", which, dims="non_detect")
                ends = [
                    pm.Data(f"beyond_{w}", data[f"log_{w}"].values[who, which], dims="non_detect")
                    for w in ("lower", "upper")
                ]
                beyond = NormalInside("beyond", mean[of], sd[of], *ends, default_transform=INSIDE, dims="non_detect")
                place = np.zeros(detected.shape, dtype="int64")
                place[who, which] = np.arange(len(who))
                latent = beyond[pm.Data("place", place.ravel())].reshape(known.shape)
                x = pt.switch(counted > 0, known, latent)
            DetectedNormal("log_concentration", mean, sd, counted, observed=known, dims=cells)
            log_odds = log_odds + ((x - centre) * slope).sum(axis=1)
            if data.sizes["covariate"]:
                z = pm.Data("covariates", data["covariates"].values, dims=("subject", "covariate"))
                log_odds += (z * prior["covariate_slope"].rv("covariate_slope", dims="covariate")).sum(axis=1)
            observed = pm.Data("outcome_data", data["outcome"].values, dims="subject")
            pm.Bernoulli("outcome", logit_p=log_odds, observed=observed, dims="subject")
        return model

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive odds ratios and the accuracy of the marker in the population.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``odds_ratio_per_doubling``, ``slope`` (per natural log) and ``odds_ratio_per_sd`` (analyte);
            ``covariate_odds_ratio`` (covariate), per unit of the formula's column; ``auc``. For one analyte also
            ``roc`` (false_positive_rate), the sensitivity along the curve; ``best_cutoff`` and ``youden``; and with a
            cutoff its ``sensitivity``, ``specificity``, ``likelihood_ratio_positive`` and
            ``likelihood_ratio_negative``.
        """
        return response_estimands.derive(posterior, data, cutoff=self.cutoff, below=self.predicts_when == "below")

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Score every subject: the log density of concentrations and outcome, non-detects integrated out.

        Parameters
        ----------
        posterior
            Draws of the parameters; those of the latent values are not used.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, subject). One non-detect is integrated out by quadrature, several by the characteristic
            function of their sum, which is all of them that the outcome sees.
        """
        return response_estimands.log_likelihood(posterior, data)

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the statistics that this model could get wrong.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Replicated outcomes of people who keep their concentrations: how many respond, among non-detects too, and
            how responders differ from others (non-detects at their limit; over several analytes the root mean square).
            Replicated concentrations: the share below the limit and the largest within limits.
        """
        detected = is_detected(data)
        several = data.sizes["analyte"] > 1
        unit = "sd" if several else "log"
        logs = recorded(data) / (data["log_sd"].values if several else 1.0)
        below = np.isinf(data["log_lower"].values)

        def gap(y: np.ndarray) -> np.ndarray:
            yes, no = y[..., None], 1 - y[..., None]
            # a replicate in which all respond, or nobody, has no difference
            first, second = ((w * logs).sum(axis=-2) / np.maximum(w.sum(axis=-2), 1) for w in (yes, no))
            apart = np.where((yes.sum(axis=-2) > 0) & (no.sum(axis=-2) > 0), first - second, 0.0)
            return np.sqrt((apart**2).mean(axis=-1)) if several else apart[..., 0]

        found = [
            Check("share of responders", "outcome", lambda y: y.mean(axis=-1), "probability"),
            Check("mean log, responders less others", "outcome", gap, unit),
        ]
        if below.any():
            lowest = below.sum(axis=1)
            for name, of in (("responders", 1), ("others", 0)):

                def share(y: np.ndarray, of: int = of) -> np.ndarray:
                    here = y == of
                    return (here * lowest).sum(axis=-1) / np.maximum(here.sum(axis=-1) * below.shape[1], 1)

                found.append(Check(f"share below the limit, {name}", "outcome", share, "probability"))
        if np.isfinite(data["log_lod"].values).any():
            found.append(
                Check("share below the limit", "log_concentration", lambda x: share_below(x, data), "probability")
            )
        if detected.any():
            found.append(
                Check(
                    "largest detected, less the centre",
                    "log_concentration",
                    lambda x: largest_detected(x, data),
                    unit,
                )
            )
        return found
