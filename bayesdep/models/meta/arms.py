"""Arms of studies that share a control group, a midpoint, and deviations that add up to zero."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesdep.data import effects


@dataclass(frozen=True)
class Arms:
    r"""Counts of treated arms and of their control groups, of which several arms may share one.

    With the control arm 0 and treated arms 1 ... J of a study, :math:`m_j` the mean effect of arm j, :math:`\bar m`
    their average and a the study's midpoint, the log odds are

    .. math:: a - \bar m / 2 + e_0 - \bar e, \qquad a - \bar m / 2 + m_j + e_j - \bar e,

    the :math:`e_j` independent with variance :math:`\tau^2 / 2`: exchangeable over arms, so that effects have variance
    :math:`\tau^2` and two that share a control group correlate by 1/2. With one treated arm they are exactly
    :math:`a \mp \theta / 2`.

    Parameters
    ----------
    events, n
        Counts, shape (groups + effects,): control groups, then treated arms.
    group
        Number of the control group of each effect, shape (effects,).
    """

    events: np.ndarray
    n: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, data: xr.Dataset) -> "Arms":
        """Read the arms from prepared counts.

        Parameters
        ----------
        data
            ``events`` and ``n`` by unit and arm or, where units share control groups, by arm, and ``group_of``.

        Returns
        -------
        Arms
            One control group for each unit unless they share some.
        """
        events, n = data["events"].values, data["n"].values
        if events.ndim == 2:
            return cls(events.T.ravel(), n.T.ravel(), np.arange(len(events)))
        return cls(events, n, data["group_of"].values)

    @property
    def groups(self) -> int:
        """How many control groups there are."""
        return len(self.events) - len(self.group)

    @property
    def shared(self) -> bool:
        """Whether some effects share a control group."""
        return self.groups < len(self.group)

    def pairs(self, values: np.ndarray) -> np.ndarray:
        """Set each treated arm beside its control.

        Parameters
        ----------
        values
            By arm, control groups first, shape (..., arms).

        Returns
        -------
        numpy.ndarray
            Shape (..., effects, 2): control, treated.
        """
        return np.stack([values[..., : self.groups][..., self.group], values[..., self.groups :]], axis=-1)

    @property
    def member(self) -> np.ndarray:
        """One where an effect is of a group, shape (groups, effects)."""
        return np.eye(self.groups)[:, self.group]

    @property
    def factor(self) -> np.ndarray:
        """Lower triangular root of the correlation matrix of the effects' deviations, shape (effects, effects)."""
        same = self.group[:, None] == self.group
        return np.asarray(np.linalg.cholesky(0.5 * same + 0.5 * np.eye(len(self.group))))

    def rough(self) -> dict[str, effects.Estimate]:
        """Estimate every effect and midpoint from the counts, half an event added so that no estimate is infinite.

        Returns
        -------
        dict
            ``theta``, the log odds ratios, and ``baseline``, the midpoints of control and treated log odds by group.
        """
        logit, se = effects.log_odds(self.events + 0.5, self.n + 1.0)
        control, treated = np.moveaxis(self.pairs(logit), -1, 0)
        average = self.member / self.member.sum(axis=1, keepdims=True)
        spread = np.hypot(*np.moveaxis(self.pairs(se), -1, 0))
        of_treated = np.sqrt(average**2 @ se[self.groups :] ** 2)
        middle = (logit[: self.groups] + average @ logit[self.groups :]) / 2
        return {
            "theta": (treated - control, spread),
            "baseline": (middle, np.hypot(se[: self.groups], of_treated) / 2),
        }
