"""Forms of input of a meta-analysis: the columns that each reads, and the measures that follow from it."""

from bayesdep.data.tables import Kind

# The columns that each form of input reads, beside the study's label.
INPUTS: dict[str, dict[str, Kind]] = {
    "estimates": {"effect": "number", "se": "positive"},
    "counts": {
        "events_treated": "count",
        "n_treated": "count",
        "events_control": "count",
        "n_control": "count",
    },
    "means": {
        "mean_treated": "number",
        "sd_treated": "positive",
        "n_treated": "count",
        "mean_control": "number",
        "sd_control": "positive",
        "n_control": "count",
    },
    "moments": {
        "mean_treated": "positive",
        "sem_treated": "positive",
        "n_treated": "count",
        "mean_control": "positive",
        "sem_control": "positive",
        "n_control": "count",
    },
    "p-value": {"p_value": "probability", "direction": "number", "n_treated": "count", "n_control": "count"},
    "events": {"events": "count", "n": "count"},
    "arms": {"arm": "label", "events": "count", "n": "count"},
}
# The measures each form of input can be turned into.
MEASURES = {
    "estimates": {
        "difference",
        "standardised-difference",
        "log-odds-ratio",
        "log-risk-ratio",
        "log-geometric-mean-ratio",
        "risk-difference",
        "log-odds",
    },
    "counts": {"log-odds-ratio", "log-risk-ratio", "risk-difference"},
    "means": {"difference", "standardised-difference"},
    "moments": {"log-geometric-mean-ratio"},
    "p-value": {"standardised-difference"},
    "events": {"log-odds"},
    "arms": {"log-odds-ratio", "log-risk-ratio", "risk-difference"},
    "mixed": {
        "difference",
        "standardised-difference",
        "log-odds-ratio",
        "log-risk-ratio",
        "log-geometric-mean-ratio",
        "risk-difference",
    },
}
