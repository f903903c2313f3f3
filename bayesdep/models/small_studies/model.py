"""SmallStudies: a meta-analysis of results that may have been published for what they found."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.data.errors import BadInput
from bayesdep.models.meta import estimands as meta_estimands
from bayesdep.models.meta.model import Meta
from bayesdep.models.meta.terms import refuse_foreign_priors
from bayesdep.models.model import Check, ExactPosterior, Forest, estimand
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.parts.settings import check_settings, column
from bayesdep.models.small_studies import terms
from bayesdep.models.small_studies.averaging import COMPONENTS, Averaged, average
from bayesdep.models.small_studies.selection import Kind
from bayesdep.numerics.distributions import Prior

if TYPE_CHECKING:
    import pymc as pm

_OF_META = ("measure", "input", "units", "scale", "unit", "control_risk")


@dataclass(frozen=True, kw_only=True)
class SmallStudies:
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

    family: ClassVar[str] = "small-studies"
    figures: ClassVar[tuple[str, ...]] = ("funnel",)
    primary_estimands: ClassVar[tuple[str, ...]] = ("mu",)
    target_accept: ClassVar[float] = 0.95
    exact_by_default: ClassVar[bool] = True

    measure: Literal[
        "difference",
        "standardised-difference",
        "log-odds-ratio",
        "log-risk-ratio",
        "log-geometric-mean-ratio",
        "risk-difference",
    ]
    favours: Literal["positive", "negative"]
    input: Literal["estimates", "counts", "means"] = "estimates"
    pooled_effect: Literal["present", "absent", "average"] = "present"
    spread: Literal["present", "absent", "average"] = "present"
    bias: Literal["absent", "selection", "pet", "peese", "average"] = "selection"
    steps: Sequence[float] = (0.025, 0.05)
    control_risk: float | None = None
    units: str | None = None
    scale: float | None = None
    unit: str = "study"
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    study: str = column("study", "study label")
    effect: str = column("effect", "estimated effect")
    se: str = column("se", "standard error")
    events_treated: str = column("events_treated", "events in the treated arm")
    n_treated: str = column("n_treated", "people in the treated arm")
    events_control: str = column("events_control", "events in the control arm")
    n_control: str = column("n_control", "people in the control arm")
    mean_treated: str = column("mean_treated", "arithmetic mean, treated or patients")
    sd_treated: str = column("sd_treated", "standard deviation, treated or patients")
    mean_control: str = column("mean_control", "arithmetic mean, control")
    sd_control: str = column("sd_control", "standard deviation, control")
    control_group: str | None = column(None, "control group; no two rows may share one")

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "steps", tuple(float(x) for x in self.steps))
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or not 0 < self.steps[0] <= self.steps[-1] < 1:
            raise BadInput(f"steps = {list(self.steps)}, but P values between 0 and 1 in rising order are needed")
        if len(self.steps) > 2 and self.bias in ("selection", "average"):
            raise BadInput(f"steps = {list(self.steps)}: more than two cannot be integrated over; name one or two")
        if self.pooled_effect == self.spread == "absent" and self.bias == "absent":
            raise BadInput(
                "pooled_effect, spread and bias are all 'absent', which leaves nothing to estimate; set at least one "
                "of them to 'average' or 'present'"
            )
        refuse_foreign_priors(self)
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        _ = self.meta  # refuses what it must

    @property
    def meta(self) -> Meta:
        """The same meta-analysis without bias."""
        columns = [f.name for f in dataclasses.fields(self) if "column" in f.metadata]
        given = {name: getattr(self, name) for name in (*_OF_META, *columns)}
        # its own defaults but where it has none: then the priors here, which had to be given
        priors = {name: prior for name, prior in dict(self.priors).items() if name in ("mu", "tau")}
        if self.measure == "difference":
            priors = {"mu": Prior("Normal", mu=0, sigma=1), "tau": Prior("HalfNormal", sigma=1)} | priors
        return Meta(**given, priors=priors)

    @property
    def effect_units(self) -> str:
        """Units of the effect."""
        return self.meta.effect_units

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: only those of the terms that the settings switch on."""
        return terms.slots_of(self)

    @property
    def variables(self) -> dict[str, str]:
        """Names of the parameters that only some of the averaged models have, as far as they are present."""
        states = {"mu": self.pooled_effect, "tau": self.spread}
        return {name: f"{name}_if_present" for name, state in states.items() if state == "average"}

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        return self.unit

    @property
    def sign(self) -> float:
        """The favoured direction."""
        return 1.0 if self.favours == "positive" else -1.0

    @property
    def kinds(self) -> tuple[tuple[Kind, float], ...]:
        """The models averaged, and their prior probabilities."""
        choices = {"present": {True: 1.0}, "absent": {False: 1.0}, "average": {True: 0.5, False: 0.5}}
        biases = terms.BIASES if self.bias == "average" else {self.bias: 1.0}
        return tuple(
            (Kind(effect, spread, bias), p * q * r)
            for effect, p in choices[self.pooled_effect].items()
            for spread, q in choices[self.spread].items()
            for bias, r in biases.items()
        )

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: each unit crude and shrunken, the pooled effect and the prediction."""
        return Forest(("theta",), "mu", "theta_new", lambda data: (data["effect"].values, data["se"].values),
                      self.meta.is_log)  # fmt: skip

    @property
    def words(self) -> str:
        """The model in words."""
        return terms.words_of(self)

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        return terms.formula_of(self)

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
        data = self.meta.prepare(table)
        if "covariance" in data:
            raise BadInput(
                f"column '{self.control_group}': rows share a control group, and which of them is published is then "
                "not independent; put the arms of such a study together into one row, or use family = 'meta'"
            )
        return data.assign_coords(step=[f"P > {p:g}" for p in self.steps], component=self._averaged_components())

    def _averaged_components(self) -> list[str]:
        states = {"effect": self.pooled_effect, "spread": self.spread}
        return [c for c in COMPONENTS if states.get(c, self.bias) == "average"]

    def averaged(self, data: xr.Dataset) -> Averaged:
        """Return the posterior over the models, and of the parameters of each.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        Averaged
            Log marginal likelihoods, probabilities, inclusion Bayes factors, marginals.
        """
        y, se = (tuple(data[w].values.astype(float).tolist()) for w in ("effect", "se"))
        given = priors_of(self, data)
        missing = {"mu": Prior("Normal", mu=0, sigma=1), "tau": Prior("HalfNormal", sigma=1)}
        return average(y, se, self.sign, tuple(self.steps), tuple((missing | given).items()), self.kinds)

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

        from bayesdep.models.parts.coordinates import in_multiples
        from bayesdep.models.small_studies.selected import Selected

        dims, priors = self.unit, priors_of(self, data)
        with pm.Model(coords={d: data[d].values for d in (dims, "step")}) as model:
            y = pm.Data("effect_data", data["effect"].values, dims=dims)
            se = pm.Data("se_data", data["se"].values, dims=dims)
            sign = pm.Data("sign", self.sign)
            switch = {"present": 1.0, "absent": 0.0}
            has = {
                name: pm.Bernoulli(f"has_{name}", 0.5) if state == "average" else switch[state]
                for name, state in (("effect", self.pooled_effect), ("spread", self.spread))
            }
            unit = pm.Data("unit", np.median(data["se"].values))
            names = self.variables

            def zero_or(name: str, present: Any) -> Any:
                """The parameter where it is in all models; zero where it is in none, and in those that lack it."""
                if name not in priors:
                    return pm.Deterministic(name, pt.zeros(()))
                variable = in_multiples(priors[name], names.get(name, name), unit)
                return pm.Deterministic(name, present * variable) if name in names else variable

            mu, tau = zero_or("mu", has["effect"]), zero_or("tau", has["spread"])
            is_kind = {name: float(name == self.bias) for name in terms.BIASES}
            if self.bias == "average":
                kind = pm.Categorical("kind", p=np.array(list(terms.BIASES.values())))
                is_kind = {name: pt.eq(kind, i) * 1.0 for i, name in enumerate(terms.BIASES)}
            shift = pt.zeros_like(se)
            for name, power in (("pet", 1), ("peese", 2)):
                if name in priors:  # a slope's unit: none, or one over the effect's
                    slope = in_multiples(priors[name], name, unit ** (1 - power))
                    shift = shift + sign * is_kind[name] * slope * se**power
            sd = pt.sqrt(se**2 + tau**2)
            if "share" in priors:
                share = 1 + is_kind["selection"] * (priors["share"].rv("share", dims="step") - 1)
                cut = se[:, None] * pm.Data("cut", special.ndtri(1 - np.array(self.steps)), dims="step")
                share = pt.specify_shape(share, (len(self.steps),))
                Selected("effect", mu + shift, sd, cut, share, sign, observed=y, dims=dims)
                weight = pt.stack([share[: j + 1].prod() for j in range(len(self.steps))])
                pm.Deterministic("weight", weight, dims="step")
            else:
                pm.Normal("effect", mu + shift, sd, observed=y, dims=dims)
            shrink = tau**2 / (tau**2 + se**2)
            pm.Normal("theta", mu + shrink * (y - shift - mu), pt.sqrt(shrink) * se, dims=dims)
            pm.Normal("theta_new", mu, tau)
        return model

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
        plain = {name: posterior[name] for name in ("mu", "tau", "theta", "theta_new")}
        found = meta_estimands.estimands(self.meta, xr.Dataset(plain), data)
        found = found.drop_vars("i2")
        added = {}
        if "weight" in posterior:
            what = "probability of publication relative to a result below all steps"
            added["weight"] = estimand(posterior["weight"], what, "ratio", null=1.0)
        components = [str(c) for c in data["component"].values]
        if components:
            answers = self.averaged(data)
            numbers = np.array([answers.inclusion(c) for c in components])
            for name, column_of, what, units in (
                ("inclusion_probability", 1, "posterior probability that it is present", "probability"),
                ("inclusion_bayes_factor", 2, "evidence that it is present, against absent", "ratio"),
            ):
                like = posterior["mu"]
                values = np.broadcast_to(numbers[:, column_of], (*like.shape, len(components)))
                array = xr.DataArray(values, {**like.coords, "component": components}, (*like.dims, "component"))
                added[name] = estimand(array, what, units, null=np.nan)
        return found.assign(added)

    def exact(self, data: xr.Dataset) -> ExactPosterior | None:
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
        answers = self.averaged(data)
        marginals: dict[Any, Any] = {
            (name, ()): answers.marginal(name) for name in ("mu", "tau") if name in self.priors
        }
        priors = priors_of(self, data)
        return ExactPosterior(marginals, lambda n, rng: self._draw(answers, priors, n, rng))

    def _draw(
        self, answers: Averaged, priors: Mapping[str, Prior], n: int, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Draw what the PyMC model has; a parameter that is absent from a draw's model from its prior."""
        which, drawn = answers.draw(n, rng)
        found: dict[str, np.ndarray] = {}
        for name, prior in priors.items():
            if name == "share":
                columns = [drawn[f"share_{j + 1}"] for j in range(len(self.steps))]
                values = np.stack(columns, axis=1)
            else:
                values = drawn[name]
            empty = np.isnan(values)
            absent = prior.scipy.rvs(size=values.shape, random_state=rng)
            found[self.variables.get(name, name)] = np.where(empty, absent, values)
        kinds = [kind for kind, _ in self.kinds]
        for name, state in (("effect", self.pooled_effect), ("spread", self.spread)):
            if state == "average":
                found[f"has_{name}"] = np.array([getattr(kind, name) for kind in kinds]).astype(int)[which]
        if self.bias == "average":
            found["kind"] = np.array([list(terms.BIASES).index(kind.bias) for kind in kinds])[which]
        return found

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the statistics that could embarrass a model about publication.

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
        se, sign = data["se"].values, self.sign
        cut, apart = special.ndtri(1 - self.steps[0]), se - se.mean()

        def correlation(y: np.ndarray) -> np.ndarray:
            centred = y - y.mean(axis=-1, keepdims=True)
            return (centred @ apart) / np.sqrt((centred**2).sum(axis=-1) * (apart**2).sum())

        return [
            *self.meta.checks(data),
            Check(
                f"share with one-sided P < {self.steps[0]:g}", "effect", lambda y: (sign * y / se > cut).mean(-1), ""
            ),
            Check("correlation of effect and standard error", "effect", correlation, ""),
        ]
