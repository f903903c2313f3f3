"""Studies whose true effects are Student t around the pooled effect, each study's own effect integrated out."""

import numpy as np
from scipy import special

_NUMBERS_AT_ONCE = 4_000_000  # quadrature points: 32 MB an array
_STEP = 0.25  # on the scale on which the precision's logarithm has a spread of about one
_NEGLIGIBLE = 40.0  # nats below the peak
_LOWEST = -60.0  # log of a precision beyond which a study would have to lie e^30 scales out


def log_marginal(y: np.ndarray, se: np.ndarray, mu: np.ndarray, tau: np.ndarray, nu: np.ndarray) -> np.ndarray:
    r"""Log-likelihood of each study given only the pooled effect and the spread.

    .. math:: \log \int N(y \mid \theta, se)\, t_\nu\!\left(\frac{\theta - \mu}{\tau}\right) \frac{d\theta}{\tau}
              = \log \int_0^\infty N\!\left(y \mid \mu, \sqrt{se^2 + \tau^2 / w}\right)
              \mathrm{Gamma}(w \mid \nu/2, \nu/2)\, dw

    The second integral by the trapezoidal rule in ``v = sqrt(nu/2) log w``, whose density dies out exponentially below
    and doubly exponentially above, so that the rule converges exponentially.

    Parameters
    ----------
    y, se
        Effects and standard errors, shape (studies,).
    mu, tau, nu
        Draws of shape (draws,); ``mu`` also (draws, studies).

    Returns
    -------
    numpy.ndarray
        Shape (draws, studies).

    Examples
    --------
    >>> one = log_marginal(*(np.array([x]) for x in (1.0, 1e-9, 0.0, 1.0, 4.0)))
    >>> from scipy import stats
    >>> bool(np.isclose(one[0, 0], stats.t.logpdf(1.0, 4), atol=1e-12))
    True
    """
    mean = np.broadcast_to(mu if mu.ndim == 2 else mu[:, None], (len(mu), len(y)))
    log_likelihood = np.empty(mean.shape)
    root = np.sqrt(nu / 2)
    # The grid begins where the density of v is negligible for the lowest nu among the draws, also for the study that
    # is farthest from its mean: z scales away, where its precision is near (nu + 1) / (nu + z^2).
    square = (((y - mean) / tau[:, None]) ** 2).max()
    pulled = np.maximum(np.log((nu + 1) / (nu + square)), _LOWEST) * root
    low = pulled.min() - _NEGLIGIBLE / root.min() - 9.0
    v = np.arange(low, 9.0, _STEP)
    draws_at_once = max(1, _NUMBERS_AT_ONCE // (len(y) * len(v)))
    for start in range(0, len(mu), draws_at_once):
        part = slice(start, start + draws_at_once)
        a, r = (nu[part] / 2)[:, None], root[part][:, None]
        log_w = v / r
        log_weight = (a - 0.5) * np.log(a) - special.gammaln(a) + r * v - a * np.exp(log_w) + np.log(_STEP)
        variance = se**2 + (tau[part][:, None, None] ** 2) * np.exp(-log_w)[:, :, None]
        square = (y - mean[part])[:, None, :] ** 2
        values = -(square / variance + np.log(2 * np.pi * variance)) / 2 + log_weight[:, :, None]
        log_likelihood[part] = special.logsumexp(values, axis=1)
    return log_likelihood
