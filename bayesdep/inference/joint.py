"""Two data sets under one set of parameters, as one PyMC model."""

import pymc as pm
from pytensor.graph.replace import graph_replace


def multiply_likelihood(model: pm.Model, other: pm.Model) -> None:
    """Multiply a model's likelihood by that of the same model of other outcomes, given the same parameters.

    Parameters
    ----------
    model
        A PyMC model, which is changed.
    other
        The same model of other data, with the same parameters. Its likelihood is written in the first one's parameters:
        in the named quantities nearest to the outcomes, since what is sampled may be in coordinates that the data
        chose.
    """
    names = [v.name for v in [*other.free_RVs, *other.deterministics] if v.name in model.named_vars]
    same = {other[name]: model[name] for name in names}
    for rv in other.observed_RVs:
        (logp,) = graph_replace([pm.logp(rv, other.rvs_to_values[rv])], same, strict=False)
        with model:
            pm.Potential(f"{rv.name}_again", logp.sum())
