"""Outcomes and missing moderators of pooled patients in one model, drawn by Gibbs sampling.

A moderator that is missing is drawn from its distribution given all else, the outcomes under the analysis' own model
among it. An imputation given outcomes but not the interaction of arm and moderator would dilute it, which is what
is asked (Bartlett et al. 2015, doi:10.1177/0962280214521348).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.special import log_ndtr, multigammaln, ndtri_exp

NU_GRID = np.array([4.0, 6, 10, 16, 25, 40, 65, 100, 160, 250])  # even in the log; log sds have an sd of 1 / sqrt(2 nu)
SPREADS = np.geomspace(0.01, 3, 60)  # of interactions, where it is gridded
SCALE_BETWEEN, SCALE_OF_MEANS = 0.3, 0.5  # of the half-t priors on spreads between studies: outcomes', moderators'
SLOPE_SD = 1.0  # of the priors on slopes of one moderator on another, per sd


@dataclass(frozen=True)
class Patients:
    """Patients of several studies, some moderators of whom are missing.

    Parameters
    ----------
    outcome
        Shape (patients, times), standardised, NaN where missing.
    treated
        Shape (patients,), 1 or 0.
    study
        Shape (patients,), from 0.
    baseline
        Shape (patients, 0 or 1), standardised.
    known
        Shape (patients, moderators known of all), standardised or 0 and 1.
    lacking
        Shape (patients, moderators missing in some), standardised or 0 and 1, NaN where missing.
    is_binary
        Shape (moderators missing in some,): which of these are 0 and 1.
    shrunken
        Whether interactions are a sample of one distribution, as in a shrunken analysis.
    """

    outcome: np.ndarray
    treated: np.ndarray
    study: np.ndarray
    baseline: np.ndarray
    known: np.ndarray
    lacking: np.ndarray
    is_binary: np.ndarray
    shrunken: bool

    @property
    def studies(self) -> int:
        """How many studies there are."""
        return int(self.study.max()) + 1


@dataclass
class State:
    """Everything that is drawn."""

    outcome: np.ndarray  # (patient, time), completed
    x: np.ndarray  # (patient, lacking), completed
    latent: np.ndarray  # (patient, lacking): the probit's own variable; of continuous moderators x itself
    gamma: np.ndarray  # (column, time): coefficients of the outcome
    own: np.ndarray  # (study, which, time): level and effect
    between: np.ndarray  # (2 times, 2 times): their covariance
    between_scale: np.ndarray  # (2 times,)
    within: np.ndarray  # (study, time, time): residual covariances
    typical: np.ndarray  # (time, time)
    nu: float
    interaction_sd: float
    beta: list[np.ndarray] = field(default_factory=list)  # of each moderator on those before it
    alpha: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))  # (lacking, study)
    alpha_var: np.ndarray = field(default_factory=lambda: np.empty(0))
    alpha_scale: np.ndarray = field(default_factory=lambda: np.empty(0))
    residual_var: np.ndarray = field(default_factory=lambda: np.empty(0))  # 1 where binary


class ImputationModel:
    r"""Outcomes given moderators as in :class:`~bayesdep.PatientMeta`; moderators given one another.

    For patient i of study k, moderators standardised (or 0 and 1), T the treatment less the share treated::

        y_i = (1, T, b, x, T x)_i gamma + level_k + effect_k (treated_i - 1/2) + e_i     e_i ~ MVN(0, W_k)
        (level_k, effect_k) ~ MVN(0, S)        W_k ~ IW(nu, nu W)        nu on a grid, even in its log
        x_ij = (1, b, known moderators, x_i1 .. x_i,j-1) beta_j + alpha_jk + N(0, s_j^2)     continuous
        x_ij = [the same + N(0, 1) > 0]                                                       binary (probit)
        alpha_jk ~ N(0, t_j^2)

    Priors as in the analysis where it has them: N(0, 1) on coefficients (the baseline's N(0, 0.5)), interactions
    N(0, sd) with sd ~ N+(0.3) in a shrunken analysis; S by Huang and Wand (2013, doi:10.1214/13-BA815): each sd
    half-t(2, 0.3), correlations uniform; W is Wishart of mean one with two degrees of freedom more than times; t_j
    half-Cauchy(0.5), 1 / s_j^2 on the variance, N(0, 1) on beta.

    Every conditional is known: coefficients and the studies' own terms are drawn in one block, a missing continuous
    moderator is normal, a missing binary one Bernoulli (its latent variable integrated out), each given the outcomes
    and the moderators that follow it. A continuous moderator's coefficients are drawn with its missing values
    integrated out. Where a study has no value of a moderator at all, alpha_jk is drawn from its distribution in
    the other studies, as in Jolani et al. (2015, doi:10.1002/sim.6451).

    Parameters
    ----------
    patients
        The patients.
    rng
        Where randomness comes from.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> study, x = np.arange(200) % 5, rng.normal(size=(200, 1))
    >>> y = 0.9 * x + 0.3 * rng.normal(size=(200, 1))
    >>> lacking = np.where(study[:, None] == 0, np.nan, x)  # one study has not measured it, but its outcomes tell
    >>> nothing = np.empty((200, 0))
    >>> patients = Patients(y, study % 2, study, nothing, nothing, lacking, np.array([False]), False)
    >>> model = ImputationModel(patients, rng)
    >>> drawn = np.mean([state.x[study == 0, 0] for state in model.draws(60)], axis=0)
    >>> bool(np.corrcoef(drawn, x[study == 0, 0])[0, 1] > 0.9)
    True
    """

    def __init__(self, patients: Patients, rng: np.random.Generator) -> None:
        self.patients, self.rng = patients, rng
        p = patients
        n, times = p.outcome.shape
        self.centred, self.coded = p.treated - p.treated.mean(), p.treated - 0.5
        self.lack = np.isnan(p.lacking)
        self.unseen = np.isnan(p.outcome)
        self.one_hot = (p.study[:, None] == np.arange(p.studies)).astype(float)
        self.nothing = self.one_hot.T @ ~self.lack == 0  # (study, lacking): the study has no value at all
        self.before = np.column_stack([np.ones(n), p.baseline, p.known])
        start = np.where(self.lack, 0.0, p.lacking)
        means = np.nanmean(p.lacking, axis=0) if start.shape[1] else np.empty(0)
        for j in range(start.shape[1]):
            drawn = rng.random(n) < means[j] if p.is_binary[j] else rng.normal(size=n)
            start[:, j] = np.where(self.lack[:, j], drawn, start[:, j])
        self.moderators = p.known.shape[1] + start.shape[1]
        self.main = 2 + p.baseline.shape[1]  # column of the first main effect
        columns = self.main + 2 * self.moderators
        count = start.shape[1]
        self.state = State(
            outcome=np.where(self.unseen, 0.0, p.outcome),
            x=start,
            latent=np.where(p.is_binary, 2 * start - 1, start),
            gamma=np.zeros((columns, times)),
            own=np.zeros((p.studies, 2, times)),
            between=0.1 * np.eye(2 * times),
            between_scale=np.ones(2 * times),
            within=np.tile(np.eye(times), (p.studies, 1, 1)),
            typical=np.eye(times),
            nu=16.0,
            interaction_sd=0.3,
            beta=[np.zeros(self.before.shape[1] + j) for j in range(count)],
            alpha=np.zeros((count, p.studies)),
            alpha_var=np.full(count, 0.1),
            alpha_scale=np.ones(count),
            residual_var=np.ones(count),
        )

    def draws(self, number: int) -> Iterator[State]:
        """Draw everything anew, again and again.

        Parameters
        ----------
        number
            How often.

        Yields
        ------
        State
            The current state, which the next draw changes.
        """
        for _ in range(number):
            self.draw_coefficients()
            self.draw_unseen()
            self.draw_residual_covariances()
            self.draw_between()
            if self.patients.shrunken:
                self.draw_interaction_sd()
            for j in range(self.state.x.shape[1]):
                self.draw_moderator(j)
            yield self.state

    # ---- outcomes

    def design(self) -> np.ndarray:
        """Return the columns of the outcome's fixed terms: (patient, column)."""
        p = self.patients
        x = np.column_stack([p.known, self.state.x])
        return np.column_stack([np.ones(len(x)), self.centred, p.baseline, x, self.centred[:, None] * x])

    def prior_precision(self) -> np.ndarray:
        """Return one over the prior variance of every fixed coefficient: (column,)."""
        precision = np.ones(self.main + 2 * self.moderators)
        precision[2 : self.main] = 4.0
        if self.patients.shrunken:
            precision[self.main + self.moderators :] = self.state.interaction_sd**-2
        return precision

    def mean(self) -> np.ndarray:
        """Return the outcomes' means: (patient, time)."""
        s, p = self.state, self.patients
        return np.asarray(self.design() @ s.gamma + s.own[p.study, 0] + self.coded[:, None] * s.own[p.study, 1])

    def draw_coefficients(self) -> None:
        """Draw fixed coefficients and studies' own levels and effects, in one block."""
        s, p = self.state, self.patients
        (fixed, times), studies = s.gamma.shape, p.studies
        columns = np.column_stack([self.design(), self.one_hot, self.one_hot * self.coded[:, None]])
        size = columns.shape[1]
        weight = np.linalg.inv(s.within)[p.study]
        precision, linear = np.zeros((times, size, times, size)), np.empty((times, size))
        for t in range(times):
            linear[t] = (weight[:, t] * s.outcome).sum(axis=1) @ columns
            for u in range(times):
                precision[t, :, u] = columns.T @ (weight[:, t, u, None] * columns)
            precision[t, range(fixed), t, range(fixed)] += self.prior_precision()
        own = fixed + np.arange(2 * studies).reshape(2, studies)
        between = np.linalg.inv(s.between).reshape(2, times, 2, times)
        for which, t, other, u in np.ndindex(between.shape):
            precision[t, own[which], u, own[other]] += between[which, t, other, u]
        found = draw_normal(self.rng, precision.reshape(size * times, -1), linear.ravel()).reshape(times, size)
        s.gamma, s.own = found[:, :fixed].T, found[:, fixed:].reshape(times, 2, studies).transpose(2, 1, 0)

    def draw_unseen(self) -> None:
        """Draw missing outcomes: a patient's at one time given the other."""
        s, p = self.state, self.patients
        if not self.unseen.any():
            return
        mean = self.mean()
        for t in np.flatnonzero(self.unseen.any(axis=0)):
            rows = np.flatnonzero(self.unseen[:, t])
            w = s.within[p.study[rows]]
            if s.outcome.shape[1] == 1:
                middle, var = mean[rows, t], w[:, 0, 0]
            else:
                o = 1 - t
                slope = w[:, t, o] / w[:, o, o]
                middle = mean[rows, t] + slope * (s.outcome[rows, o] - mean[rows, o])
                var = w[:, t, t] - slope * w[:, t, o]
            s.outcome[rows, t] = middle + np.sqrt(var) * self.rng.standard_normal(len(rows))

    def draw_residual_covariances(self) -> None:
        """Draw every study's residual covariance, the typical one, and how much they differ."""
        s, p = self.state, self.patients
        left = s.outcome - self.mean()
        times, studies = left.shape[1], p.studies
        squares = np.zeros((studies, times, times))
        np.add.at(squares, p.study, left[:, :, None] * left[:, None, :])
        count = np.bincount(p.study, minlength=studies)
        inverse = draw_wishart(self.rng, s.nu + count, np.linalg.inv(s.nu * s.typical + squares))
        s.within = np.linalg.inv(inverse)
        total = inverse.sum(axis=0)
        df = times + 2
        s.typical = draw_wishart(
            self.rng, np.array([studies * s.nu + df]), np.linalg.inv(s.nu * total + df * np.eye(times))[None]
        )[0]
        log_det = np.linalg.slogdet(s.within)[1].sum()
        trace = float(np.einsum("ab,ba->", s.typical, total))
        log_p = log_inverse_wisharts(NU_GRID, s.typical, studies, log_det, trace)
        s.nu = float(NU_GRID[draw_index(self.rng, log_p)])

    def draw_between(self) -> None:
        """Draw the covariance of studies' levels and effects."""
        s = self.state
        own = s.own.reshape(len(s.own), -1)
        size = own.shape[1]
        scale = 4 * np.diag(1 / s.between_scale) + own.T @ own
        inverse = draw_wishart(self.rng, np.array([size + 1.0 + len(own)]), np.linalg.inv(scale)[None])[0]
        s.between = np.linalg.inv(inverse)
        rate = 2 * np.diag(inverse) + SCALE_BETWEEN**-2
        s.between_scale = rate / self.rng.gamma((2 + size) / 2, size=size)

    def draw_interaction_sd(self) -> None:
        """Draw the spread of interactions on a grid."""
        w = self.state.gamma[self.main + self.moderators :]
        log_p = -w.size * np.log(SPREADS) - (w**2).sum() / (2 * SPREADS**2) - SPREADS**2 / (2 * 0.3**2)
        log_p += np.log(SPREADS)  # the grid is even in the log
        self.state.interaction_sd = float(SPREADS[draw_index(self.rng, log_p)])

    # ---- moderators

    def predicted(self, j: int) -> np.ndarray:
        """Return the mean of a moderator (of its latent variable, where binary) given those before it: (patient,)."""
        s = self.state
        return np.asarray(
            self.before @ s.beta[j][: self.before.shape[1]]
            + s.x[:, :j] @ s.beta[j][self.before.shape[1] :]
            + s.alpha[j, self.patients.study]
        )

    def evidence(self, j: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log-likelihood of a moderator's values, from outcomes and the moderators after it.

        Parameters
        ----------
        j
            The moderator.
        rows
            Patients.

        Returns
        -------
        precision, linear
            Of the log-likelihood ``linear x - precision x^2 / 2``: shape (rows,) each.
        """
        s, p = self.state, self.patients
        at = self.main + p.known.shape[1] + j
        slope = s.gamma[at] + self.centred[rows, None] * s.gamma[at + self.moderators]
        inverse = np.linalg.inv(s.within)[p.study[rows]]
        x = s.x[rows, j]
        left = s.outcome[rows] - self.mean()[rows] + x[:, None] * slope
        weighed = np.einsum("it,itu->iu", slope, inverse)
        precision, linear = (weighed * slope).sum(axis=1), (weighed * left).sum(axis=1)
        for later in range(j + 1, s.x.shape[1]):
            b = s.beta[later][self.before.shape[1] + j]
            rest = s.latent[rows, later] - self.predicted(later)[rows] + b * x
            precision = precision + b**2 / s.residual_var[later]
            linear = linear + b * rest / s.residual_var[later]
        return precision, linear

    def draw_moderator(self, j: int) -> None:
        """Draw a moderator where it is missing, together with its coefficients on those before it."""
        rows = np.flatnonzero(self.lack[:, j])
        precision, linear = self.evidence(j, rows)
        if self.patients.is_binary[j]:
            self._draw_binary(j, rows, linear - precision / 2)
        else:
            self._draw_continuous(j, rows, precision, linear)
        s, studies = self.state, self.patients.studies
        rate = (s.alpha[j] @ s.alpha[j]) / 2 + 1 / s.alpha_scale[j]
        s.alpha_var[j] = rate / self.rng.gamma((studies + 1) / 2)
        s.alpha_scale[j] = (1 / s.alpha_var[j] + SCALE_OF_MEANS**-2) / self.rng.gamma(1.0)

    def _draw_continuous(self, j: int, rows: np.ndarray, precision: np.ndarray, linear: np.ndarray) -> None:
        """Draw coefficients with the missing values integrated out, then these.

        The evidence on a missing value is that of a measurement ``linear / precision`` of variance ``1 / precision``.
        """
        s, var = self.state, self.state.residual_var[j]
        weight = np.full(len(s.x), 1 / var)
        weight[rows] = precision / (1 + var * precision)
        weighed = s.x[:, j] / var
        weighed[rows] = linear / (1 + var * precision)
        self._draw_regression(j, weight, weighed)
        total = precision + 1 / var
        mean = (linear + self.predicted(j)[rows] / var) / total
        s.x[rows, j] = mean + self.rng.standard_normal(len(rows)) / np.sqrt(total)
        s.latent[:, j] = s.x[:, j]
        left = s.x[:, j] - self.predicted(j)
        s.residual_var[j] = (left @ left / 2) / self.rng.gamma(len(left) / 2)

    def _draw_binary(self, j: int, rows: np.ndarray, log_odds: np.ndarray) -> None:
        """Draw missing values and everyone's latent variable, then coefficients.

        In studies without any value the latter would hardly move, held by values that were drawn from them: there
        alpha is first proposed from its prior, the missing values integrated out (Metropolis).
        """
        s, p = self.state, self.patients
        log_u = np.log(self.rng.random(p.studies))
        mean = self.predicted(j)[rows]
        proposed = np.where(
            self.nothing[:, j], np.sqrt(s.alpha_var[j]) * self.rng.standard_normal(p.studies), s.alpha[j]
        )
        moved = mean + (proposed - s.alpha[j])[p.study[rows]]
        gain = np.logaddexp(log_ndtr(moved) + log_odds, log_ndtr(-moved))
        gain -= np.logaddexp(log_ndtr(mean) + log_odds, log_ndtr(-mean))
        s.alpha[j] = np.where(log_u < np.bincount(p.study[rows], gain, p.studies), proposed, s.alpha[j])
        mean = self.predicted(j)
        odds = log_ndtr(mean[rows]) - log_ndtr(-mean[rows]) + log_odds
        s.x[rows, j] = self.rng.logistic(size=len(rows)) < odds
        sign = 2 * s.x[:, j] - 1
        s.latent[:, j] = mean - sign * ndtri_exp(np.log(self.rng.random(len(mean))) + log_ndtr(sign * mean))
        self._draw_regression(j, np.ones(len(mean)), s.latent[:, j])

    def _draw_regression(self, j: int, weight: np.ndarray, weighed: np.ndarray) -> None:
        """Draw a moderator's coefficients and studies' means, from weights and weighed values of patients."""
        s = self.state
        design = np.column_stack([self.before, s.x[:, :j], self.one_hot])
        count = len(s.beta[j])
        prior = np.r_[np.full(count, SLOPE_SD**-2), np.full(self.patients.studies, 1 / s.alpha_var[j])]
        precision = design.T @ (weight[:, None] * design) + np.diag(prior)
        found = draw_normal(self.rng, precision, design.T @ weighed)
        s.beta[j], s.alpha[j] = found[:count], found[count:]


def draw_normal(rng: np.random.Generator, precision: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Draw from the normal with density exp(linear' x - x' precision x / 2)."""
    root = np.linalg.cholesky(precision)
    return np.asarray(np.linalg.solve(root.T, np.linalg.solve(root, linear) + rng.standard_normal(len(linear))))


def draw_wishart(rng: np.random.Generator, df: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Draw Wishart matrices of mean df scale by Bartlett's decomposition: (m,) and (m, p, p) to (m, p, p)."""
    m, p = scale.shape[:2]
    root = np.zeros((m, p, p))
    for i in range(p):
        root[:, i, i] = np.sqrt(rng.chisquare(df - i))
        root[:, i, :i] = rng.standard_normal((m, i))
    root = np.linalg.cholesky(scale) @ root
    return np.asarray(root @ root.transpose(0, 2, 1))


def log_inverse_wisharts(nu: np.ndarray, typical: np.ndarray, count: int, log_det: float, trace: float) -> np.ndarray:
    """Log density of matrices that are IW(nu, nu typical), for every nu.

    Parameters
    ----------
    nu
        Degrees of freedom, one per result.
    typical
        Shape (p, p).
    count
        How many matrices.
    log_det
        Sum of their log determinants.
    trace
        Trace of ``typical`` times the sum of their inverses.
    """
    p = len(typical)
    constant = nu * p / 2 * np.log(nu / 2) - [multigammaln(v / 2, p) for v in nu]
    each = constant + nu / 2 * np.linalg.slogdet(typical)[1]
    return np.asarray(count * each - (nu + p + 1) / 2 * log_det - nu / 2 * trace)


def draw_index(rng: np.random.Generator, log_p: np.ndarray) -> int:
    """Draw an index with probabilities in proportion to exp(log_p)."""
    p = np.exp(log_p - log_p.max())
    return int(rng.choice(len(p), p=p / p.sum()))
