"""Where a report has each item of the Bayesian analysis reporting guidelines (Kruschke 2021).

Kruschke JK. Bayesian Analysis Reporting Guidelines. Nature Human Behaviour 2021;5:1282-1291,
doi:10.1038/s41562-021-01177-7, Table 1. The items are told here in other words.
"""

from dataclasses import dataclass

from bayesdep.inference.fit import Fit


@dataclass(frozen=True)
class Item:
    """An item of the guidelines.

    Parameters
    ----------
    step
        The guideline's step and letter.
    asks
        What it asks for.
    anchor
        The part of the report that answers it; empty if the report cannot.
    note
        What to know: why it does not apply, or what the author must add.
    """

    step: str
    asks: str
    anchor: str
    note: str = ""


def checklist(fit: Fit, *, question: str, has_refits: bool, has_plan: bool) -> tuple[Item, ...]:
    """List the guidelines' items with the parts of a report that answer them.

    Parameters
    ----------
    fit
        The fit of the report.
    question
        The study's question; empty if it is not stated.
    has_refits
        Whether the report has fits under other priors.
    has_plan
        Whether it has the text of a plan.

    Returns
    -------
    tuple of Item
        In the guidelines' order.
    """
    no_decision = "no decision rule was stated; estimates and their uncertainty are reported"
    decided = "decisions" if fit.ropes else ""
    why = "" if question else "the goal was not stated; give question = in the plan or to bd.report"
    chains = "independent draws of the exact posterior: there are no chains" if fit.is_exact else ""
    refit_note = "" if has_refits else "by power-scaling; fits under other priors: none ([[sensitivity]], refits=)"
    no_factors = "" if fit.ropes else "no Bayes factor is reported"
    script = "" if has_plan else "made from Python: the call is printed"
    return (
        Item("Preamble A", "Why Bayesian", "", "for the author to add where readers ask for it"),
        Item("Preamble B", "Goals of the analysis", "answer", why),
        Item("1.A", "Outcome and predictors", "data"),
        Item("1.B", "Likelihood and parameters, structure of levels", "model"),
        Item("1.C", "Priors and their justification", "priors"),
        Item("1.D", "Formal specification", "formula"),
        Item("1.E", "Prior predictive check", "prior-predictive"),
        Item("2.A", "Software", "software"),
        Item("2.B", "Convergence of chains, every parameter", "parameters", chains),
        Item("2.C", "Resolution of chains: effective sample sizes", "parameters", chains),
        Item("2.D", "Computation other than by Markov chains", "sampling", "" if fit.is_exact else "not used"),
        Item("3.A", "Posterior predictive check", "checks"),
        Item("3.B", "Posterior summaries with the kind of interval", "estimands"),
        Item("3.C", "Bayes factors and model probabilities", decided, no_factors),
        Item("4.A", "Why a decision", decided, "" if decided else no_decision),
        Item("4.B", "Loss function", decided, "none was used: probabilities are compared with a stated level"),
        Item("4.C", "Limits of the region of practical equivalence", decided, "" if decided else no_decision),
        Item("4.D", "Threshold of a decision by Bayes factor", decided, "no decision is made by Bayes factor"),
        Item("4.E", "Estimates beside decisions", "estimands"),
        Item("5.A", "Sensitivity to broad priors", "sensitivity", refit_note),
        Item("5.B", "Sensitivity to informed priors", "sensitivity", refit_note),
        Item("5.C", "Sensitivity to default priors", "sensitivity", refit_note),
        Item("5.D", "Sensitivity of Bayes factors and model probabilities", decided, no_factors),
        Item("5.E", "Sensitivity of decisions", decided, "" if decided else no_decision),
        Item("6", "Software and its versions", "software"),
        Item("6", "Script, readable, that runs as it is", "reproduce", script),
        Item("6", "Data and other files", "data", "named with their hash; the author makes them available"),
        Item("6", "Draws that can be made again: seeds", "reproduce"),
    )
