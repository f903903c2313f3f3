"""Each measurement's log concentration given the earlier ones of its cell: a person's in one analyte."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.cytokines.cells import recorded_logs
from bayesdep.models.cytokines.expected import expected_of_draws
from bayesdep.models.cytokines.scores import nodes_of_effects, score_cells
from bayesdep.models.cytokines.settings import CytokinesSettings
from bayesdep.models.parts.observations import Law, Normals, Observations, of_groups
from bayesdep.numerics.draws import draws_of, stack_draws
from bayesdep.numerics.types import Draws

_NODES = 31  # components of a mixture; spaced by less than 0.6 sds of the effect


def observations(settings: CytokinesSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Give the distribution of every measurement of a panel.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    data
        The prepared panel.

    Returns
    -------
    dict of Observations
        Of ``log_concentration``, in the prepared panel's order. Where people were measured repeatedly, each is
        predicted from the earlier ones of the same person and analyte: in closed form where residuals are normal and
        these were all detected, elsewhere as a mixture over the cell's effect, by quadrature.
    """
    draws = stack_draws(posterior)
    analyte, subject = data["analyte_of"].values, data["subject_of"].values
    sd = draws_of(draws, "residual_sd", "analyte")[:, analyte]
    nu = draws["nu"].values if settings.robust else None
    panel = _Panel(data, expected_of_draws(settings, draws, data), sd, nu)
    labels = {"subject": data["subject"].values[subject], "analyte": data["analyte"].values[analyte]}
    if settings.time is not None:
        labels["time"] = data["time"].values[data["time_of"].values]
    if settings.has_cells:
        groups = list(panel.one_after_another(draws["cell_ratio"].values))
    else:
        every = np.arange(data.sizes["measurement"])
        groups = [(every, panel.law(every), score_cells(panel.z, sd, data, psi=None, nu=nu))]
    return {"log_concentration": of_groups(labels, data["lower"].values, data["upper"].values, groups)}


class _Panel:
    """A panel with its expected logs and residual sds, shape (samples, measurements)."""

    def __init__(self, data: xr.Dataset, expected: Draws, sd: Draws, nu: Draws | None) -> None:
        self.data, self.expected, self.sd, self.nu = data, expected, sd, nu
        self.z = (recorded_logs(data) - expected) / sd

    def law(self, rows: np.ndarray) -> Normals:
        """The distribution of measurements whose cells have no effect."""
        nu = None if self.nu is None else self.nu[None, :, None]
        return Normals(self.expected[None, :, rows], self.sd[None, :, rows], nu=nu)

    def one_after_another(self, psi: Draws) -> Iterator[tuple[np.ndarray, Law, Draws]]:
        """Every cell's first measurements, then its second ones, and so on, in the order of times."""
        data = self.data
        cell = data["subject_of"].values * data.sizes["analyte"] + data["analyte_of"].values
        order = np.lexsort((np.arange(len(cell)), data["time_of"].values, cell))
        first = np.searchsorted(cell[order], cell[order], side="left")
        rank = np.empty(len(cell), int)
        rank[order] = np.arange(len(cell)) - first
        _, number = np.unique(cell, return_inverse=True)
        whole = self._scores(np.arange(len(cell)), psi)
        for k in range(rank.max() + 1):
            rows = np.flatnonzero(rank == k)
            rows = rows[np.argsort(cell[rows], kind="stable")]
            earlier = np.flatnonzero((rank < k) & np.isin(cell, cell[rows]))
            before = self._scores(earlier, psi) if k else 0.0
            score = whole[:, number[rows]] - before
            plain = np.ones(len(rows), dtype=bool) if self.nu is None else np.zeros(len(rows), dtype=bool)
            if self.nu is None:
                plain &= ~np.isin(cell[rows], cell[earlier][data["kind"].values[earlier] != 0])
            for is_mixture, kept in ((False, plain), (True, ~plain)):
                if kept.any():
                    of_kept = earlier[np.isin(cell[earlier], cell[rows[kept]])]
                    law = self._mixed if is_mixture else self._given_detected
                    yield rows[kept], law(rows[kept], of_kept, cell, psi), score[:, kept]

    def _scores(self, rows: np.ndarray, psi: Draws) -> Draws:
        """Log densities of some measurements, by cell."""
        return score_cells(self.z[:, rows], self.sd[:, rows], self.data.isel(measurement=rows), psi=psi, nu=self.nu)

    def _given_detected(self, rows: np.ndarray, earlier: np.ndarray, cell: np.ndarray, psi: Draws) -> Normals:
        """Normal residuals, and nothing beyond a limit before: the cell's effect is normal."""
        member = (cell[earlier][:, None] == cell[rows]).astype(float)
        gain = psi[:, None] ** 2 / (1 + member.sum(axis=0) * psi[:, None] ** 2)
        location = self.expected[:, rows] + self.sd[:, rows] * gain * (self.z[:, earlier] @ member)
        return Normals(location[None], (self.sd[:, rows] * np.sqrt(1 + gain))[None])

    def _mixed(self, rows: np.ndarray, earlier: np.ndarray, cell: np.ndarray, psi: Draws) -> Normals:
        """A mixture over the cell's effect given the earlier measurements."""
        shape = (len(psi), len(rows))
        if len(earlier):
            of = np.searchsorted(cell[rows], cell[earlier])
            detected = self.data["kind"].values[earlier] == 0
            member = np.eye(len(rows))[of[detected]]
            gain = psi[:, None] ** 2 / (1 + member.sum(axis=0) * psi[:, None] ** 2)
            centre, spread = gain * (self.z[:, earlier[detected]] @ member) / psi[:, None], np.sqrt(gain) / psi[:, None]
            given = self.z[:, earlier], self.sd[:, earlier], self.data.isel(measurement=earlier), of
            effects, terms = nodes_of_effects(*given, psi[:, None], self.nu, centre, spread, _NODES)
            weight = special.softmax(terms, axis=0)
        else:
            nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
            effects = np.broadcast_to(nodes[:, None, None], (_NODES, *shape))
            weight = np.broadcast_to((weights / weights.sum())[:, None, None], effects.shape)
        location = self.expected[:, rows] + self.sd[:, rows] * psi[:, None] * effects
        nu = None if self.nu is None else self.nu[None, :, None]
        return Normals(location, self.sd[None, :, rows], weight, nu)
