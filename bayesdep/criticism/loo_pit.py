"""Where each observation lies in what the others predict of it: leave-one-out probability integral transforms."""

import numpy as np
import pandas as pd

from bayesdep.inference.fit import Fit
from bayesdep.inference.observations import Predicted


def check_loo_pit(fit: Fit) -> pd.DataFrame:
    """Say where each observation lies in the distribution that all others predict of it.

    Of a unit with several observations (a patient with visits) each is predicted from the unit's earlier ones and from
    all other units: one-step-ahead, so that the probabilities are uniform, and independent within a unit, where the
    model is right. Counts, categories and values beyond a detection limit have an interval of probabilities, from that
    of less than what was seen to that of as much; ``pit`` is drawn evenly within it. Patients of ``PatientMeta`` and
    scores of ``Items`` are predicted from all others, also those of the same study or visit.

    Parameters
    ----------
    fit
        A fit of a model that predicts single observations: ``Trial``, ``Crossover``, ``Cytokines``, ``Response``,
        ``Correlation``, ``PatientMeta``, ``Ordinal``, ``Counts``, ``Screen``, ``Trajectories``,
        ``Transitions``, ``Items`` or a ``Meta`` of counts.

    Returns
    -------
    pandas.DataFrame
        One row per observation: ``variable``, what it belongs to (``subject``, ``visit``, ``analyte``, ...), ``below``
        and ``up_to`` (probabilities, equal for numbers), ``pit`` and ``pareto_k``: at 0.7 or more the row is not to be
        trusted; minus infinity where an observation moves no weight, infinity where draws are too few. Probabilities
        are weighted means of each draw's own, not shares of replicates, so there are no ties in the tails.

    Raises
    ------
    BadInput
        When the model does not predict single observations, or the fit is of several versions of the data.

    Notes
    -----
    Importance weights leave out the observation and its unit's later ones (Pareto-smoothed: Vehtari and others 2024,
    Journal of Machine Learning Research 25, 72). ``az.plot_loo_pit(fit.arviz)`` draws these, and tests uniformity.

    Examples
    --------
    >>> import bayesdep as bd
    >>> model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    >>> fit = bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)
    >>> found = bd.check_loo_pit(fit)  # 15 of 19 responders test positive; without one of them 14 of 18
    >>> round(float(found["below"][0]), 1), round((4 + 0.5) / (18 + 1), 1)
    (0.2, 0.2)
    """
    predicted = Predicted.of(fit.model, fit.tree, tables=fit.tables)
    rng = np.random.default_rng([int(fit.manifest["seed"]), 2])
    parts = []
    for name, one in predicted.observations.items():
        weights, k = predicted.weights(name)
        below, up_to = ((weights * p).sum(axis=0) for p in one.law.around(one.lower, one.upper))
        pit = below + rng.random(len(below)) * (up_to - below)
        about = {"variable": name, **one.labels}
        parts.append(pd.DataFrame({**about, "below": below, "up_to": up_to, "pit": pit, "pareto_k": k}))
    table = pd.concat(parts, ignore_index=True)
    probabilities = ["below", "up_to", "pit", "pareto_k"]
    table = table[[*table.columns.drop(probabilities), *probabilities]]
    table.attrs = fit.attrs
    return table
