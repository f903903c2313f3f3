"""SmallStudies: a meta-analysis with publication bias, which may depend on the results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.model import Check, ExactPosterior, Forest, OwnPrior, reads
from bayesdep.models.parts.paper import Layout
from bayesdep.models.parts.replicates import put
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.small_studies import checks, estimands, exact, wording
from bayesdep.models.small_studies.averaging import ModelAverage
from bayesdep.models.small_studies.data import prepare
from bayesdep.models.small_studies.settings import BIASES, SmallStudiesSettings
from bayesdep.models.small_studies.tables import tables as printed_tables
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.types import Tensor

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class SmallStudies(SmallStudiesSettings):
    """Random-effects meta-analysis with publication bias, alone or averaged over what may be present.

    The generative model, for study k, d = 1 or -1 the favoured direction::

        true effects   theta_k ~ N(mu, tau)
        estimates      y_k ~ N(theta_k + bias_k, se_k)
        absent         bias_k = 0, all estimates are published
        selection      bias_k = 0; an estimate whose one-sided P value (of d y_k / se_k) lies beyond the j-th step is
                       published share_j times as often as one just below it        share_j ~ Beta(1, 1)
        pet            bias_k = d pet se_k          pet ~ HalfCauchy(1)
        peese          bias_k = d peese se_k^2      peese ~ HalfCauchy(5)

    Averaged (``"average"``): the pooled effect is zero or not, the spread is zero or not (even odds each), and bias is
    absent (1/2), selection (1/4), PET or PEESE (1/8 each); models are weighed by their marginal likelihoods, as in
    robust Bayesian meta-analysis (Maier, Bartos and Wagenmakers 2023, doi:10.1037/met0000405). The posterior is known
    without sampling, by the trapezoidal rule over at most four parameters.

    Priors of ``mu`` and ``tau`` are those of :class:`Meta`. A PEESE slope has the unit one over the effect's. For a raw
    difference all are multiples of ``scale`` (PEESE: of one over it), and there is no default where that is not known.

    Parameters
    ----------
    measure, input, units, scale, unit, control_risk
        As in :class:`Meta`; the likelihood is Gaussian.
    favours
        Whether ``"positive"`` or ``"negative"`` effects are published more readily.
    pooled_effect, spread
        ``"present"``, ``"absent"`` (zero), or ``"average"`` over both.
    bias
        ``"absent"``, ``"selection"``, ``"pet"``, ``"peese"``, or ``"average"`` over all four.
    steps
        One-sided P values at which publication may become less likely, ascending.
    priors
        Priors by parameter (``mu``, ``tau``, ``share``, ``pet``, ``peese``) that replace the defaults.
    study, effect, se, events_treated, n_treated, events_control, n_control, mean_treated, sd_treated, mean_control, \
    sd_control, control_group
        Names of the table's columns.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is missing or impossible.

    Examples
    --------
    >>> import bayesdep as bd
    >>> model = SmallStudies(measure="log-risk-ratio", input="counts", favours="negative", study="trial",
    ...     events_treated="tb_vaccinated", n_treated="n_vaccinated", events_control="tb_control",
    ...     n_control="n_control", bias="pet")
    >>> exact = model.exact(model.prepare(bd.load("bcg_colditz1994")))
    >>> round(exact.marginals["mu", ()].mean, 2)
    -0.5
    """

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: each unit crude and shrunken, the pooled effect and the prediction."""
        return Forest(("theta",), "mu", "theta_new", lambda data: (data["effect"].values, data["se"].values),
                      self.is_log)  # fmt: skip

    @property
    def words(self) -> str:
        """The model in words."""
        return wording.words_of(self)

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        return wording.formula_of(self)

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per study into effects.

        Parameters
        ----------
        table
            A dataframe with the columns that ``input`` needs.

        Returns
        -------
        xarray.Dataset
            As :meth:`Meta.prepare` returns it, with dims ``step`` and ``component`` for what is estimated.

        Raises
        ------
        BadInput
            Naming the column and row.
        """
        return prepare(self, table)

    def averaged(self, data: xr.Dataset) -> ModelAverage:
        """Return the posterior over the models, and of the parameters of each.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        ModelAverage
            Log marginal likelihoods, probabilities, inclusion Bayes factors, marginals.
        """
        return exact.average_models(self, data)

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            With ``mu``, ``tau``, ``share``, ``pet`` and ``peese`` as far as present; where models are averaged
            ``mu_if_present`` and ``tau_if_present``, of which ``mu`` and ``tau`` are zero in some models, and which is
            true (``has_effect``, ``has_spread``, ``kind``), which no gradient can sample: such a posterior is
            drawn exactly.
        """
        import pymc as pm
        import pytensor.tensor as pt

        from bayesdep.models.small_studies.selected import Selected

        unit_dim, priors = self.unit, priors_of(self, data)
        with pm.Model(coords={d: data[d].values for d in (unit_dim, "step")}) as model:
            y = pm.Data("effect_data", data["effect"].values, dims=unit_dim)
            se = pm.Data("se_data", data["se"].values, dims=unit_dim)
            sign = pm.Data("sign", self.sign)
            has_effect, has_spread = _is_present("effect", self.pooled_effect), _is_present("spread", self.spread)
            unit = pm.Data("unit", np.median(data["se"].values))
            mu = self._or_zero("mu", has_effect, priors, unit)
            tau = self._or_zero("tau", has_spread, priors, unit)
            has_bias = self._biases()
            bias = self._shift(priors, has_bias, se, sign, unit)
            sd = pt.sqrt(se**2 + tau**2)
            if "share" in priors:
                share = 1 + has_bias["selection"] * (priors["share"].rv("share", dims="step") - 1)
                cut = se[:, None] * pm.Data("cut", special.ndtri(1 - np.array(self.steps)), dims="step")
                share = pt.specify_shape(share, (len(self.steps),))
                Selected("effect", mu + bias, sd, cut, share, sign, observed=y, dims=unit_dim)
                weight = pt.stack([share[: j + 1].prod() for j in range(len(self.steps))])
                pm.Deterministic("weight", weight, dims="step")
            else:
                pm.Normal("effect", mu + bias, sd, observed=y, dims=unit_dim)
            shrink = tau**2 / (tau**2 + se**2)
            pm.Normal("theta", mu + shrink * (y - bias - mu), pt.sqrt(shrink) * se, dims=unit_dim)
            pm.Normal("theta_new", mu, tau)
        return model

    def _or_zero(self, name: str, present: Tensor, priors: Mapping[str, Prior], unit: Tensor) -> Tensor:
        """A parameter where it is in all models; zero where it is in none, and in those models that lack it."""
        import pymc as pm
        import pytensor.tensor as pt

        from bayesdep.models.parts.coordinates import in_multiples

        if name not in priors:
            return pm.Deterministic(name, pt.zeros(()))
        variable = in_multiples(priors[name], self.variables.get(name, name), unit)
        return pm.Deterministic(name, present * variable) if name in self.variables else variable

    def _biases(self) -> dict[str, Tensor]:
        """One for the bias that is present, zero for the others; drawn where models are averaged."""
        import pymc as pm
        import pytensor.tensor as pt

        if self.bias != "average":
            return {name: float(name == self.bias) for name in BIASES}
        kind = pm.Categorical("kind", p=np.array(list(BIASES.values())))
        return {name: pt.eq(kind, i) * 1.0 for i, name in enumerate(BIASES)}

    def _shift(
        self, priors: Mapping[str, Prior], has_bias: Mapping[str, Tensor], se: Tensor, sign: Tensor, unit: Tensor
    ) -> Tensor:
        """By how much published effects are shifted: in proportion to the standard error (PET) or its square."""
        import pytensor.tensor as pt

        from bayesdep.models.parts.coordinates import in_multiples

        shift = pt.zeros_like(se)
        for name, power in (("pet", 1), ("peese", 2)):
            if name in priors:  # a slope's unit: none, or one over the effect's
                slope = in_multiples(priors[name], name, unit ** (1 - power))
                shift = shift + sign * has_bias[name] * slope * se**power
        return shift

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Put drawn estimates in the place of the published ones.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.
        drawn
            One draw of every variable of :meth:`build`.
        rng
            Not needed here.

        Returns
        -------
        xarray.Dataset
            Everything else as in ``data``.
        """
        return put(data, effect=drawn["effect"].values)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive the pooled effect, the spread, what is published, and what the models' probabilities are.

        Parameters
        ----------
        posterior
            Draws of the parameters, ``theta`` and ``theta_new``.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``mu`` and ``tau`` (zero where absent), ``theta``, ``theta_new``, those that :meth:`Meta.estimands` makes of
            log ratios; ``weight`` (step), the relative probability of publication; ``inclusion_probability`` and
            ``inclusion_bayes_factor`` (component), computed, not drawn.
        """
        return estimands.estimands(self, posterior, data)

    def exact(self, data: xr.Dataset) -> ExactPosterior:
        """Return the posterior by the trapezoidal rule.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        ExactPosterior
            Marginals of ``mu`` and ``tau``; what else is reported comes from the draws.
        """
        return exact.exact(self, data)

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
        """Name the test quantities for posterior predictive checks.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Those of :meth:`Meta.checks`, the share of results below the first step, and the correlation of effects
            with standard errors.
        """
        return checks.checks(self, data)


def _is_present(name: str, state: str) -> Tensor:
    """One where it is in all models, zero where it is in none, and a variable where models are averaged."""
    import pymc as pm

    return pm.Bernoulli(f"has_{name}", 0.5) if state == "average" else {"present": 1.0, "absent": 0.0}[state]
