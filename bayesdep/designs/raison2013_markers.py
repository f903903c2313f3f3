"""Inflammatory markers of Raison 2013: a limit of detection on the moderators, and their course over the visits.

The paper prints baseline hs-CRP (Table 1), its change in responders, and P values; of TNF and its soluble receptors it
prints directions and P values alone (their values are in a supplement). Limits, levels, spreads and courses are ours.
"""

from typing import Any

import numpy as np
import pandas as pd

from bayesdep.designs.raison2013 import WEEKS, draw_raison2013
from bayesdep.designs.simulated import Simulated

CRP_LIMIT = 1.0  # mg/L, as of assays that are not of high sensitivity: 15 of the 60 patients lie below (Figure 3)
TNF_LIMIT = 1.6  # pg/mL
LOG_TNF = (0.9, 0.5)  # mean and sd of log TNF at baseline, pg/mL

_STEADY = (0.0, 0.0, 0.0)
# Over the visits: what each marker's log is at baseline (mean and sd between patients), its spread within a patient,
# its limit, its change by week 2 and later in infliximab responders, infliximab non-responders and all on placebo, and
# how much higher it is in infliximab responders.
MARKERS: dict[str, dict[str, Any]] = {
    "hs-CRP": {"unit": "mg/L", "within": 0.45, "limit": 0.3, "change": (-0.9, -0.5, 0.0), "higher": 0.0},
    "TNF": {"unit": "pg/mL", "level": (0.9, 0.4), "within": 0.25, "limit": 1.6, "change": _STEADY, "higher": 0.5},
    "sTNFR1": {"unit": "pg/mL", "level": (6.9, 0.25), "within": 0.12, "limit": 15.6, "change": _STEADY, "higher": 0.3},
    "sTNFR2": {"unit": "pg/mL", "level": (7.7, 0.25), "within": 0.12, "limit": 15.6, "change": _STEADY, "higher": 0.3},
}


def _cut(values: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Values below a limit become the limit, flagged."""
    return np.maximum(values, limit), np.where(values < limit, "left", "none")


def draw_raison2013_limits(rng: np.random.Generator) -> Simulated:
    """The trial of ``raison2013``, its hs-CRP known only down to 1 mg/L, and baseline TNF down to 1.6 pg/mL.

    The trial is that of :func:`~bayesdep.designs.raison2013.draw_raison2013` with the same seed. An hs-CRP below 1 mg/L
    is given as that limit and flagged: 15 of 60, exactly. TNF is log-normal, ``log TNF ~ N(0.9, 0.5)``, and has no
    effect on anything, as no interaction of treatment, time and log TNF was found (Results); 20% lie below their limit
    in the long run. Both limits are ours.

    Parameters
    ----------
    rng
        Where randomness comes from.

    Returns
    -------
    Simulated
        One row per patient and visit held, as of that trial, with ``crp_censored`` and ``tnf_censored`` (``"left"`` or
        ``"none"``), ``crp_lod``, ``tnf`` (pg/mL) and ``tnf_lod``. The truth is that trial's, with ``tnf`` per subject.

    Examples
    --------
    >>> made = draw_raison2013_limits(np.random.default_rng(1))
    >>> int(made.table.drop_duplicates("subject").eval("crp_censored == 'left'").sum())
    15
    """
    made = draw_raison2013(rng)
    tnf = np.exp(rng.normal(*LOG_TNF, len(made.truth["subject"])))
    of = made.table["subject"].map(dict(zip(made.truth["subject"], tnf, strict=True))).to_numpy()
    crp, crp_censored = _cut(made.table["crp"].to_numpy(), CRP_LIMIT)
    tnf_given, tnf_censored = _cut(of, TNF_LIMIT)
    table = made.table.assign(
        crp=crp, crp_censored=crp_censored, crp_lod=CRP_LIMIT, tnf=tnf_given, tnf_censored=tnf_censored,
        tnf_lod=TNF_LIMIT,
    )  # fmt: skip
    return Simulated(table, made.truth | {"tnf": tnf.tolist()})


def draw_raison2013_markers(rng: np.random.Generator) -> Simulated:
    """hs-CRP, TNF and its soluble receptors of the 60 patients at all visits, by arm and response.

    For patient i at week w, with r the group (infliximab responders, other infliximab, placebo)::

        log x_iw = level_i + change_r min(w, 2) / 2 + e_iw       e_iw ~ N(0, within)

    ``level`` is the trial's own log hs-CRP, or normal; TNF and its receptors are higher in infliximab responders by 0.5
    and 0.3 on the log scale. Directions are the paper's: infliximab lowered hs-CRP at all visits after baseline, most
    in its responders, and these had higher TNF markers at baseline (Results). Sizes are ours, and so are limits. A
    response is a drop of HAM-D by half at any visit held, in the trial of the same seed. Values exist at the visits
    before dropping out.

    Parameters
    ----------
    rng
        Where randomness comes from.

    Returns
    -------
    Simulated
        One row per patient, visit and analyte: ``subject``, ``arm``, ``response`` (``"responder"`` or
        ``"non-responder"``), ``group`` (arm and response), ``week``, ``analyte``, ``concentration`` (the limit where
        below), ``censored``, ``lod`` and ``unit``. The truth has ``change`` (log ratio to baseline from week 2 on) and
        ``higher`` (log ratio of infliximab responders to all others at baseline) by analyte, and ``responder`` per
        subject.

    Examples
    --------
    >>> made = draw_raison2013_markers(np.random.default_rng(1))
    >>> sorted(made.table["analyte"].unique()), made.truth["change"]["hs-CRP"]
    (['TNF', 'hs-CRP', 'sTNFR1', 'sTNFR2'], [-0.9, -0.5, 0.0])
    """
    made = draw_raison2013(rng)
    truth, weeks = made.truth, np.array(WEEKS)
    trial = made.table.drop_duplicates("subject").set_index("subject").loc[truth["subject"]]
    hamd, seen = np.array(truth["hamd"]), np.array(truth["seen"])
    after = (weeks > 0) & seen
    responder = (after & (hamd <= hamd[:, :1] / 2)).any(axis=1)
    on_drug = (trial["arm"] == "infliximab").to_numpy()
    group = np.where(on_drug, np.where(responder, 0, 1), 2)
    held = weeks <= np.array(truth["last_week"])[:, None]
    who, when = np.nonzero(held)
    parts = []
    for analyte, marker in MARKERS.items():
        if "level" in marker:
            mean, sd = marker["level"]
            level = rng.normal(mean, sd, len(group))
        else:
            level = np.log(truth["crp"])
        level = level + np.where(group == 0, marker["higher"], 0.0)
        change = np.array(marker["change"])[group][:, None] * np.minimum(weeks, 2) / 2
        logs = level[:, None] + change + rng.normal(0, marker["within"], held.shape)
        value, censored = _cut(np.exp(logs[who, when]), marker["limit"])
        response = np.where(responder, "responder", "non-responder")
        parts.append(
            pd.DataFrame(
                {
                    "subject": np.array(truth["subject"])[who],
                    "arm": trial["arm"].to_numpy()[who],
                    "response": response[who],
                    "group": (trial["arm"] + " " + response).to_numpy()[who],
                    "week": weeks[when],
                    "analyte": analyte,
                    "concentration": value,
                    "censored": censored,
                    "lod": marker["limit"],
                    "unit": marker["unit"],
                }
            )
        )
    by_analyte = {
        word: {a: np.atleast_1d(m[word]).tolist() for a, m in MARKERS.items()} for word in ("change", "higher")
    }
    about = {"subject": truth["subject"], "responder": responder.tolist()}
    return Simulated(pd.concat(parts, ignore_index=True), about | by_analyte)
