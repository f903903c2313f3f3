"""Prior distributions as data: named, checked and replaceable, with their PyMC random variables.

A prior's numbers enter the PyMC graph as shared variables, not as constants, so two analyses that differ in prior width
share one compiled model.
"""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np
from scipy import special, stats

from bayesdep.data.errors import BadInput, did_you_mean, truth
from bayesdep.data.magnitude import LARGEST, SIZES, is_workable
from bayesdep.numerics.mixtures import Mixture
from bayesdep.numerics.types import Tensor

Support = Literal["real", "positive", "unit"]
MOST_COMPONENTS = 20  # of a mixture
_ADD_TO = 1e-6  # how far from one the weights of a mixture may add up: they are written with some decimals


@dataclass(frozen=True)
class _Family:
    """One distribution: its parameters (True if it must be above zero), its scipy equivalent, and effects of units.

    ``units`` says how each parameter changes with the unit of the variable: ``"times"`` (a location or a width),
    ``"over"`` (a rate) or ``"log"`` (a location of the logarithm); None if values have no unit, like shares. Of a
    mixture each parameter is a list, of one number per component.
    """

    parameters: dict[str, bool]
    support: Support
    scipy: Callable[..., Any]
    units: dict[str, Literal["times", "over", "log"]] | None
    is_mixture: bool = False


class _LogStudentT(stats.rv_continuous):  # type: ignore[misc]  # scipy is not typed
    """``exp(s T)``, T Student t with nu degrees of freedom; scale it by ``exp(mu)``."""

    def _logpdf(self, x: Any, nu: Any, s: Any) -> Any:
        return stats.t.logpdf(np.log(x) / s, nu) - np.log(s * x)

    def _pdf(self, x: Any, nu: Any, s: Any) -> Any:
        return np.exp(self._logpdf(x, nu, s))

    def _cdf(self, x: Any, nu: Any, s: Any) -> Any:
        return stats.t.cdf(np.log(x) / s, nu)

    def _ppf(self, q: Any, nu: Any, s: Any) -> Any:
        return np.exp(s * stats.t.ppf(q, nu))


class _NormalMixture(stats.rv_continuous):  # type: ignore[misc]  # scipy is not typed
    """A mixture of normals with the methods of scipy's distributions."""

    def __init__(self, weights: tuple[float, ...], mu: tuple[float, ...], sigma: tuple[float, ...]) -> None:
        super().__init__(name="normal_mixture")
        share = np.array(weights) / math.fsum(weights)
        self._mixture = Mixture(share, np.array(mu), np.array(sigma))

    def _logpdf(self, x: Any) -> Any:
        of = self._mixture
        z = (np.asarray(x, float)[..., None] - of.means) / of.sds
        return special.logsumexp(-(z**2) / 2 - np.log(of.sds * math.sqrt(2 * math.pi)), b=of.weights, axis=-1)

    def _pdf(self, x: Any) -> Any:
        return np.exp(self._logpdf(x))

    def _cdf(self, x: Any) -> Any:
        return self._mixture.cdf(x)

    def _ppf(self, q: Any) -> Any:
        return self._mixture.quantile(q)

    def _stats(self) -> Any:
        return self._mixture.mean, self._mixture.sd**2, None, None

    def _rvs(self, size: Any = None, random_state: Any = None) -> Any:
        of = self._mixture
        which = random_state.choice(len(of.weights), p=of.weights, size=size)
        return random_state.normal(of.means[which], of.sds[which])


_log_student_t = _LogStudentT(a=0.0, name="log_student_t", shapes="nu, s")

_PLACE_AND_WIDTH: dict[str, Literal["times", "over", "log"]] = {"mu": "times", "sigma": "times"}
_FAMILIES: dict[str, _Family] = {
    "Normal": _Family({"mu": False, "sigma": True}, "real", lambda mu, sigma: stats.norm(mu, sigma), _PLACE_AND_WIDTH),
    "StudentT": _Family(
        {"nu": True, "mu": False, "sigma": True},
        "real",
        lambda nu, mu, sigma: stats.t(nu, mu, sigma),
        _PLACE_AND_WIDTH,
    ),
    "Cauchy": _Family(
        {"alpha": False, "beta": True},
        "real",
        lambda alpha, beta: stats.cauchy(alpha, beta),
        {"alpha": "times", "beta": "times"},
    ),
    "HalfNormal": _Family({"sigma": True}, "positive", lambda sigma: stats.halfnorm(scale=sigma), {"sigma": "times"}),
    "HalfCauchy": _Family({"beta": True}, "positive", lambda beta: stats.halfcauchy(scale=beta), {"beta": "times"}),
    "Exponential": _Family({"lam": True}, "positive", lambda lam: stats.expon(scale=1 / lam), {"lam": "over"}),
    "Gamma": _Family(
        {"alpha": True, "beta": True},
        "positive",
        lambda alpha, beta: stats.gamma(alpha, scale=1 / beta),
        {"beta": "over"},
    ),
    "LogNormal": _Family(
        {"mu": False, "sigma": True},
        "positive",
        lambda mu, sigma: stats.lognorm(sigma, scale=math.exp(mu)),
        {"mu": "log"},
    ),
    "LogStudentT": _Family(
        {"nu": True, "mu": False, "sigma": True},
        "positive",
        lambda nu, mu, sigma: _log_student_t(nu, sigma, scale=math.exp(mu)),
        {"mu": "log"},
    ),
    "Uniform": _Family(
        {"lower": False, "upper": False},
        "real",
        lambda lower, upper: stats.uniform(lower, upper - lower),
        {"lower": "times", "upper": "times"},
    ),
    "Beta": _Family({"alpha": True, "beta": True}, "unit", lambda alpha, beta: stats.beta(alpha, beta), None),
    "NormalMixture": _Family(
        {"weights": True, "mu": False, "sigma": True}, "real", _NormalMixture, _PLACE_AND_WIDTH, is_mixture=True
    ),
}

type Number = float | tuple[float, ...]  # a parameter; of a mixture, one number per component


@lru_cache(maxsize=256)
def _frozen(dist: str, parameters: tuple[tuple[str, Number], ...]) -> Any:
    """Remembered: scipy takes a millisecond to make one, and drawing from the prior asks for one at every draw."""
    return _FAMILIES[dist].scipy(**dict(parameters))


def distributions() -> dict[str, tuple[str, ...]]:
    """List the distributions that a prior can have, with the names of their parameters."""
    return {name: tuple(family.parameters) for name, family in _FAMILIES.items()}


def is_mixture(dist: str) -> bool:
    """Whether a distribution is a mixture, each of whose parameters is a list of one number per component."""
    return _FAMILIES[dist].is_mixture


@dataclass(frozen=True, init=False)
class Prior:
    """A prior distribution, with PyMC's name and parameters.

    Parameters
    ----------
    dist
        One of Normal, StudentT, Cauchy, HalfNormal, HalfCauchy, Exponential, Gamma, LogNormal, LogStudentT, Uniform,
        Beta, NormalMixture. LogStudentT is PyMC's StudentT of the logarithm. Of a NormalMixture each parameter is a
        list, of one number per component; its ``weights`` (PyMC's ``w``) add to one.
    times_scale
        Whether the numbers are multiples of the data's ``scale`` (:mod:`bayesdep.models.parts.scale`) rather than in
        the outcome's units. Default priors of parameters in the outcome's units are such multiples; a prior that you
        give is in the outcome's units unless ``times_scale = True``.
    why
        The reason for this prior, for the report; two priors that differ in it alone are equal.
    **parameters
        The distribution's parameters, with PyMC's names.

    Raises
    ------
    BadInput
        When the distribution or a parameter is unknown, missing or impossible.

    Examples
    --------
    >>> Prior("Normal", mu=0, sigma=1)
    Normal(mu=0, sigma=1)
    >>> Prior("Normal", mu=0, sigma=-1)
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: Normal prior: sigma = -1, but it must be above zero
    >>> Prior("Normal", mu=0, sigma=0.7, times_scale=True)
    Normal(mu=0, sigma=0.7) times scale
    >>> Prior("NormalMixture", weights=[0.8, 0.2], mu=[-4, 0], sigma=[1, 7])
    NormalMixture(weights=[0.8, 0.2], mu=[-4, 0], sigma=[1, 7])
    """

    dist: str
    parameters: tuple[tuple[str, Number], ...]
    times_scale: bool
    why: str = field(default="", compare=False)

    def __init__(self, dist: str, *, times_scale: bool = False, why: str = "", **parameters: Any) -> None:
        family = _FAMILIES.get(dist)
        if family is None:
            raise BadInput(f"there is no distribution '{dist}'; {did_you_mean(dist, _FAMILIES)}")
        for name in parameters:
            if name not in family.parameters:
                raise BadInput(f"{dist} prior: no parameter '{name}'; {did_you_mean(name, family.parameters)}")
        for name in family.parameters:
            if name not in parameters:
                raise BadInput(f"{dist} prior: '{name}' is missing; give {' and '.join(family.parameters)}")
        if family.is_mixture:
            _check_components(dist, parameters)
        for name in family.parameters:
            for value in parameters[name] if family.is_mixture else [parameters[name]]:
                _check_number(dist, name, value)
        if family.is_mixture and abs(math.fsum(parameters["weights"]) - 1) > _ADD_TO:
            total = math.fsum(parameters["weights"])
            raise BadInput(f"{dist} prior: weights add to {total:.6g}, but they must add to 1; change them")
        if dist == "Uniform" and parameters["lower"] >= parameters["upper"]:
            raise BadInput(
                f"Uniform prior: lower = {parameters['lower']} is not below upper = {parameters['upper']}; swap them"
            )
        if not isinstance(times_scale, bool):
            raise BadInput(f"{dist} prior: times_scale = {times_scale!r}, but true or false is needed")
        if times_scale and family.units is None:
            raise BadInput(
                f"{dist} prior: times_scale = {truth(True)}, but its values have no unit; leave times_scale out"
            )
        if not isinstance(why, str):
            raise BadInput(f"{dist} prior: why = {why!r}, but text is needed")
        object.__setattr__(self, "why", why)
        object.__setattr__(self, "dist", dist)
        object.__setattr__(self, "times_scale", times_scale)
        plain = (_plain(parameters[name]) for name in family.parameters)
        object.__setattr__(self, "parameters", tuple(zip(family.parameters, plain, strict=True)))

    def __repr__(self) -> str:
        numbers_ = ", ".join(f"{k}={_shown(v)}" for k, v in self.parameters)
        return f"{self.dist}({numbers_})" + (" times scale" if self.times_scale else "")

    def __getitem__(self, parameter: str) -> Any:
        return dict(self.parameters)[parameter]

    def in_units(self, scale: float) -> "Prior":
        """Return the prior in the outcome's units.

        Parameters
        ----------
        scale
            One unit of the prior in units of the outcome.

        Returns
        -------
        Prior
            The prior of ``scale`` times the variable if the numbers are multiples of a scale; otherwise unchanged.

        Examples
        --------
        >>> Prior("Normal", mu=0, sigma=0.7, times_scale=True).in_units(10)
        Normal(mu=0, sigma=7)
        >>> Prior("Exponential", lam=2, times_scale=True).in_units(10)
        Exponential(lam=0.2)
        """
        if not self.times_scale:
            return self
        units = _FAMILIES[self.dist].units
        assert units is not None  # refused by __init__
        follow = {"times": lambda v: v * scale, "over": lambda v: v / scale, "log": lambda v: v + math.log(scale)}
        numbers_: dict[str, Any] = {
            k: v if k not in units else [*map(follow[units[k]], v)] if isinstance(v, tuple) else follow[units[k]](v)
            for k, v in self.parameters
        }
        return Prior(self.dist, why=self.why, **numbers_)

    @property
    def scipy(self) -> Any:
        """The same distribution as a frozen scipy distribution; in multiples of the scale if times_scale."""
        return _frozen(self.dist, self.parameters)

    @property
    def interval(self) -> tuple[float, float]:
        """The central 95% of the prior; for a prior on (0, inf) that peaks at zero, 0 to its 95% point."""
        if self.dist in ("HalfNormal", "HalfCauchy", "Exponential"):
            return 0.0, float(self.scipy.ppf(0.95))
        lower, upper = self.scipy.ppf([0.025, 0.975])
        return float(lower), float(upper)

    def rv(
        self,
        name: str,
        *,
        dims: str | tuple[str, ...] | None = None,
        logarithmic: bool = False,
        in_widths: bool = False,
        may_be_zero: bool = False,
    ) -> Any:
        """Return the PyMC random variable of this prior, inside the model context.

        Parameters
        ----------
        name
            The variable's name.
        dims
            Named dims for independent copies.
        logarithmic
            Whether a positive variable is sampled on a log scale: for parameters that data hardly bound from above,
            whose priors have Cauchy tails; on a log scale these become exponential, which samplers explore well.
        in_widths
            Whether a HalfNormal or HalfCauchy variable is sampled in multiples of its prior's width, so that sampling
            does not depend on the data's units.
        may_be_zero
            Whether the data may hardly bound a positive variable from below, as where a spread may be zero: its
            coordinate then has a normal tail there instead of an exponential one (:func:`normal_tail`), which
            samplers cross faster. A HalfNormal or HalfCauchy variable is in multiples of its prior's width.

        Returns
        -------
        pytensor.tensor.TensorVariable
            A random variable whose hyperparameters are shared variables called ``name.parameter``.

        Raises
        ------
        ValueError
            When the numbers are multiples of a scale: a model must use the priors of
            :func:`~bayesdep.models.parts.scale.priors_of`, which are in the outcome's units.
        """
        if self.times_scale:
            raise ValueError(f"the prior of '{name}' is {self}: a model builds from priors_of(model, data)")
        import pymc as pm
        import pytensor

        shared = {k: pytensor.shared(np.array(v, dtype=float), name=f"{name}.{k}") for k, v in self.parameters}
        how = {}
        if _FAMILIES[self.dist].support == "positive":
            # Sampled as log(exp(x) - 1): logarithmic near zero and linear far from it. On a log scale u the
            # log density of a scale parameter falls like -exp(2u) at large u, where trajectories diverge.
            if logarithmic:
                how["default_transform"] = pm.distributions.transforms.log
            elif may_be_zero:
                how["default_transform"] = normal_tail(self.dist in ("HalfNormal", "HalfCauchy"))
            elif in_widths and self.dist in ("HalfNormal", "HalfCauchy"):
                how["default_transform"] = _softplus_in_widths()
            else:
                how["default_transform"] = softplus()
        if self.dist == "LogStudentT":
            return pm.CustomDist(name, *shared.values(), logp=_log_t, random=_draw_log_t, **how, dims=dims)
        if self.dist == "NormalMixture":
            return pm.CustomDist(
                name, *shared.values(), logp=log_mixture, random=draw_mixture, support_point=mean_of_mixture,
                signature="(k),(k),(k)->()", dims=dims,
            )  # fmt: skip
        return getattr(pm, self.dist)(name, **shared, **how, dims=dims)

    def sum_to_zero(self, name: str, *, dims: tuple[str, ...]) -> Tensor:
        """Return normal variables that sum to zero over their last dim, inside the model context.

        Parameters
        ----------
        name
            The variable's name.
        dims
            Its dims.

        Returns
        -------
        pytensor.tensor.TensorVariable
            Independent normals with this prior's sd, conditional on a sum of zero.

        Raises
        ------
        ValueError
            When the prior is not Normal with mean zero and in the outcome's units.
        """
        if self.times_scale or self.dist != "Normal" or self["mu"] != 0:
            raise ValueError(
                f"the prior of '{name}' is {self}, where Normal(mu=0, sigma) in the outcome's units is needed"
            )
        import pymc as pm
        import pytensor

        sigma = pytensor.shared(np.array(self["sigma"], dtype=float), name=f"{name}.sigma")
        return pm.ZeroSumNormal(name, sigma=sigma, dims=dims)

    def to_dict(self) -> dict[str, Any]:
        """Return the prior as a plan writes it."""
        further = {"times_scale": True} if self.times_scale else {}
        numbers_ = {k: list(v) if isinstance(v, tuple) else v for k, v in self.parameters}
        return {"dist": self.dist, **numbers_} | further | ({"why": self.why} if self.why else {})


def _plain(value: Any) -> Number:
    return tuple(map(float, value)) if isinstance(value, (list, tuple)) else float(value)


def _shown(value: Number) -> str:
    return f"[{', '.join(f'{v:.6g}' for v in value)}]" if isinstance(value, tuple) else f"{value:.6g}"


def _check_components(dist: str, parameters: dict[str, Any]) -> None:
    """Refuse parameters of a mixture that are not lists of the same length."""
    for name, value in parameters.items():
        if not isinstance(value, (list, tuple)) or not value:
            raise BadInput(
                f"{dist} prior: {name} = {value!r}, but a list is needed, of one number per component, such as [1, 2]"
            )
    first, *others = (len(value) for value in parameters.values())
    if any(other != first for other in others):
        lengths = " and ".join(f"{len(value)} of {name}" for name, value in parameters.items())
        raise BadInput(f"{dist} prior: there are {lengths}; give one of each per component")
    if first > MOST_COMPONENTS:
        raise BadInput(f"{dist} prior: {first} components, but at most {MOST_COMPONENTS} are possible; merge some")


def _check_number(dist: str, name: str, value: Any) -> None:
    """Refuse a parameter, or one component's, that is not a possible number."""
    family = _FAMILIES[dist]
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not _is_finite(value):
        raise BadInput(f"{dist} prior: {name} = {value!r}, but it must be a finite number")
    if family.parameters[name] and value <= 0:
        raise BadInput(f"{dist} prior: {name} = {value}, but it must be above zero")
    of_logarithm = family.units is not None and "log" in family.units.values() and name != "nu"
    if not is_workable(value) or (of_logarithm and abs(float(value)) > math.log(LARGEST)):
        most = f"size of at most {math.log(LARGEST):.0f}" if of_logarithm else f"size of {SIZES}, or 0,"
        raise BadInput(f"{dist} prior: {name} = {value:g}, but a {most} is needed; change it")


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond float64
        return False


JEFFREYS = Prior("Beta", alpha=0.5, beta=0.5)  # of a probability: worth one person


def _log_t(value: Tensor, nu: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
    """Log density of a variable whose logarithm is Student t, as a PyTensor graph."""
    import pymc as pm
    import pytensor.tensor as pt

    return pm.logp(pm.StudentT.dist(nu=nu, mu=mu, sigma=sigma), pt.log(value)) - pt.log(value)


def _draw_log_t(nu: Any, mu: Any, sigma: Any, rng: Any = None, size: Any = None) -> Any:
    return np.exp(mu + sigma * rng.standard_t(nu, size))


def log_mixture(value: Tensor, weights: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
    """Return the log density of a mixture of normals as a PyTensor graph; parameters have the components last."""
    import pytensor.tensor as pt
    from pytensor.gradient import disconnected_grad

    terms = pt.log(weights / (weights.sum() * sigma)) - ((value[..., None] - mu) / sigma) ** 2 / 2
    # its slope cancels: a term is subtracted and added
    largest = disconnected_grad(terms.max(axis=-1, keepdims=True))
    return pt.log(pt.exp(terms - largest).sum(axis=-1)) + largest[..., 0] - math.log(2 * math.pi) / 2


def draw_mixture(weights: Any, mu: Any, sigma: Any, rng: Any = None, size: Any = None) -> Any:
    """Draw from a mixture of normals; PyMC repeats its parameters along further axes."""
    weights, mu, sigma = (np.reshape(v, (-1, np.shape(v)[-1]))[0] for v in (weights, mu, sigma))
    return _NormalMixture(tuple(weights), tuple(mu), tuple(sigma)).rvs(size=size, random_state=rng)


def mean_of_mixture(rv: Tensor, size: Any, weights: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:  # noqa: ARG001  (PyMC's)
    """Return where chains start: the mean."""
    import pytensor.tensor as pt
    from pymc.distributions.shape_utils import rv_size_is_none

    mean = (weights * mu).sum(axis=-1) / weights.sum(axis=-1)
    return mean if rv_size_is_none(size) else pt.full(size, mean)


@cache
def softplus() -> Any:
    """Return PyMC's log(exp(x) - 1) transform, under a name without underscores.

    PyMC 6.4 derives a variable's name from that of its transformed value by splitting at underscores, so the
    transform's original name, ``log_exp_m1``, makes ``pm.compute_log_likelihood`` look for a variable that does not
    exist.
    """
    from pymc.distributions.transforms import LogExpM1

    transform = LogExpM1()
    transform.name = "softplus"
    return transform


@cache
def _softplus_in_widths() -> Any:
    """The same transform in multiples of the prior's width, which is the last input of the distribution."""
    import pytensor.tensor as pt
    from pymc.distributions.transforms import LogExpM1

    class SoftplusInWidths(LogExpM1):  # type: ignore[misc]  # PyMC is not typed
        """``x = width log(1 + exp(u))``."""

        name = "softplus"

        def backward(self, value: Tensor, *inputs: Tensor) -> Tensor:
            return inputs[-1] * pt.softplus(value)

        def forward(self, value: Tensor, *inputs: Tensor) -> Tensor:
            multiple = value / inputs[-1]
            return pt.log(-pt.expm1(-multiple)) + multiple

        def log_jac_det(self, value: Tensor, *inputs: Tensor) -> Tensor:
            return pt.log(inputs[-1]) - pt.softplus(-value)

    return SoftplusInWidths()


@cache
def normal_tail(in_widths: bool) -> Any:
    """Return PyMC's form of the coordinate u of a variable above zero, ``unit (phi(u) + u Phi(u))``.

    phi and Phi are the standard normal density and distribution function; the derivative by u is ``unit Phi(u)``. Far
    to the right the variable is ``unit u``. To the left it falls like phi, so a density that is flat towards zero is
    there normal in u; in ``log(exp(x) - 1)`` it is exponential, and chains take long to return from it.

    Parameters
    ----------
    in_widths
        Whether the unit is the prior's width, which is the last input of the distribution, instead of 1.
    """
    import pytensor.tensor as pt
    from pymc.distributions.transforms import Transform

    def mass(u: Tensor) -> Tensor:
        return pt.erfc(-u / math.sqrt(2)) / 2

    def excess(u: Tensor) -> Tensor:
        return pt.exp(-(u**2) / 2) / math.sqrt(2 * math.pi) + u * mass(u)

    class NormalTail(Transform):  # type: ignore[misc]  # PyMC is not typed
        name = "normaltail"

        def backward(self, value: Tensor, *inputs: Tensor) -> Tensor:
            return (inputs[-1] if in_widths else 1.0) * excess(value)

        def forward(self, value: Tensor, *inputs: Tensor) -> Tensor:
            """Newton's method on the logarithm, which is concave in u: four steps leave a relative error of 1e-12."""
            log = pt.log(value / inputs[-1] if in_widths else value)
            far = pt.sqrt(pt.maximum(-2 * log - 1.2 * pt.log1p(pt.maximum(-2 * log, 0.0)), 0.0))
            u = pt.switch(log > 0, pt.exp(log), pt.switch(log > -0.9, 1 + 1.3 * log, 0.4 - far))
            for _ in range(4):
                u = u - (pt.log(excess(u)) - log) * excess(u) / mass(u)
            return u

        def log_jac_det(self, value: Tensor, *inputs: Tensor) -> Tensor:
            return pt.log(mass(value)) + (pt.log(inputs[-1]) if in_widths else 0.0)

    return NormalTail()
