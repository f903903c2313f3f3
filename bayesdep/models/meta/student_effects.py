"""Studies whose true effects are Student t around the pooled one, each study's own effect integrated out."""

import numpy as np
from scipy import special

_CHUNK = 4_000_000  # quadrature points evaluated at once: 32 MB an array
_STEP = 0.25  # on the scale on which the precision's logarithm has a spread of about one
_NEGLIGIBLE = 40.0  # nats below the peak
_SMALLEST = -60.0  # log of a precision beyond which a study would have to lie e^30 scales out


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
    out = np.empty(mean.shape)
    root = np.sqrt(nu / 2)
    # Down to where v's density is negligible for the smallest nu among the draws, and that far below where the study
    # that lies out farthest pulls it: its precision is then some (nu + 1) / (nu + z^2).
    square = (((y - mean) / tau[:, None]) ** 2).max()
    pulled = np.maximum(np.log((nu + 1) / (nu + square)), _SMALLEST) * root
    low = pulled.min() - _NEGLIGIBLE / root.min() - 9.0
    v = np.arange(low, 9.0, _STEP)
    step = max(1, _CHUNK // (len(y) * len(v)))
    for start in range(0, len(mu), step):
        part = slice(start, start + step)
        a, r = (nu[part] / 2)[:, None], root[part][:, None]
        log_w = v / r
        log_weight = (a - 0.5) * np.log(a) - special.gammaln(a) + r * v - a * np.exp(log_w) + np.log(_STEP)
        variance = se**2 + (tau[part][:, None, None] ** 2) * np.exp(-log_w)[:, :, None]
        square = (y - mean[part])[:, None, :] ** 2
        values = -(square / variance + np.log(2 * np.pi * variance)) / 2 + log_weight[:, :, None]
        out[part] = special.logsumexp(values, axis=1)
    return out
