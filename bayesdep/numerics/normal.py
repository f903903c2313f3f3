"""The log density of the normal distribution, for arrays and for tensors of a model."""

import numpy as np

from bayesdep.numerics.types import Tensor

LOG_2_PI = float(np.log(2 * np.pi))


def log_normal(x: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    """Return the log density of a normal distribution.

    Parameters
    ----------
    x
        Where, a number, NumPy array or PyTensor variable.
    mean, sd
        Mean and standard deviation, likewise.

    Returns
    -------
    numpy.ndarray or pytensor.tensor.TensorVariable
        Elementwise: a tensor if any of the three is one.

    Examples
    --------
    >>> float(log_normal(1.0, 0.0, 2.0).round(6))
    -1.737086
    >>> import pytensor.tensor as pt
    >>> round(float(log_normal(pt.constant(1.0), 0.0, pt.constant(2.0)).eval()), 6)
    -1.737086
    """
    log_sd = sd.log() if hasattr(sd, "log") else np.log(sd)  # NumPy's arrays have no such method, tensors do
    return -(((x - mean) / sd) ** 2) / 2 - log_sd - LOG_2_PI / 2


def log_standard_normal(z: Tensor) -> Tensor:
    """Return the log density of the normal distribution with mean 0 and standard deviation 1.

    Parameters
    ----------
    z
        Where, a number, NumPy array or PyTensor variable.

    Returns
    -------
    numpy.ndarray or pytensor.tensor.TensorVariable
        Elementwise.

    Examples
    --------
    >>> round(log_standard_normal(0.0), 6)
    -0.918939
    """
    return -(z**2) / 2 - LOG_2_PI / 2
