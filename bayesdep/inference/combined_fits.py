"""One posterior of several fits: the same model given several versions of its data."""

from collections import Counter
from collections.abc import Sequence

import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import Criterion, Gate, check_convergence, check_independent_draws
from bayesdep.inference.fit import Fit
from bayesdep.inference.groups import join_chains
from bayesdep.inference.left_out import remember
from bayesdep.inference.remedies import add_remedy
from bayesdep.inference.steps import Steps

BY_DRAW = ("posterior", "latent", "estimands", "log_likelihood", "log_prior", "sample_stats")
GOOD_R_HAT = 1.1  # for imputations, a looser threshold than for a posterior, whose quantiles are reported


def combine_fits(fits: Sequence[Fit], data: xr.Dataset) -> Fit:
    """Combine fits to several versions of the data into one posterior.

    Where data were imputed (missing values, conversions of a scale), the posterior given the recorded data is the
    mixture of the posteriors given each version; its draws are all of theirs (Zhou and Reiter 2010,
    doi:10.1198/tast.2010.09109). Chains of different versions have different posteriors, so convergence is checked
    within each version
    (:func:`~bayesdep.inference.diagnostics.check_convergence`).

    Parameters
    ----------
    fits
        Two or more.
    data
        The reference data set of the combined fit.

    Returns
    -------
    Fit
        With the chains of the first fit first. Prior and posterior predictions are those of the first version.

    Raises
    ------
    BadInput
        When the versions differ in people, studies or other coordinates.
    """
    first = fits[0]
    for k, other in enumerate(fits[1:], start=2):
        mine, theirs = (x.tree["estimands"].to_dataset() for x in (first, other))
        same = {d: n for d, n in mine.sizes.items() if d != "chain"} == {
            d: n for d, n in theirs.sizes.items() if d != "chain"
        }
        if not same or any(not mine[d].equals(theirs[d]) for d in mine.coords if d not in ("chain", "draw")):
            raise BadInput(
                f"table 1 and table {k} are not versions of one table: their estimands differ in coordinates; give "
                "tables with the same rows"
            )
    groups = {name: group.to_dataset() for name, group in first.tree.children.items()}
    for name in set(BY_DRAW) & set(groups):
        groups[name] = join_chains([x.tree[name].to_dataset() for x in fits])
    groups["constant_data"] = data
    remember(first.model, data, groups)
    seconds = {step: round(sum(x.manifest["timings_s"][step] for x in fits), 4) for step in first.manifest["timings_s"]}
    estimands = groups["estimands"]
    if first.is_exact:
        checked = check_independent_draws(estimands)
    else:
        checked = check_convergence(estimands, groups.get("sample_stats"), len(fits))
    criteria = [*checked.criteria]
    if "imputation_r_hat" in data.attrs:
        r_hat, where = float(data.attrs["imputation_r_hat"]), str(data.attrs["imputation_worst"])
        criteria.append(Criterion("R-hat of imputations", r_hat, GOOD_R_HAT, r_hat <= GOOD_R_HAT, where))
    gate = Gate(tuple(criteria), checked.units, note=_notes(fits))
    steps = Steps.from_dict(first.manifest) if "sample_stats" in groups else None
    gate = add_remedy(gate, first.model, first.data, first.manifest["draws"], steps)
    manifest = first.manifest | {"gate": gate.to_dict(), "timings_s": seconds, "tables": len(fits)}
    return Fit(first.model, data, xr.DataTree.from_dict(groups), manifest)


def _notes(fits: Sequence[Fit]) -> str:
    """Notes of the versions' verdicts, and of how many versions."""
    notes = Counter(note for x in fits if (note := x.gate.note))
    return "; ".join(f"{note}, in {n} of {len(fits)} versions" for note, n in notes.items())
