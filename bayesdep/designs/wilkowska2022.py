"""The trial that would test downstaging: 200 patients by stage of resistance, with ketamine and without, over a year.

Wilkowska and Cubala 2022 (doi:10.3390/ijms232314605), a review, claims that treatment resistance is a stage that
progresses, that ketamine moves patients to lower stages, and that its effect is smaller in advanced stages (section 3).
These claims are the truth here. It names no sizes: the number of patients, the visits, the rows of the transitions, the
effects, missed visits and dropouts are ours. Two numbers are published: how many begin at which stage (two failures
55%, three 30%; Heerlein 2021, doi:10.1016/j.jad.2021.03.073, as the review cites it; the remaining 15% are divided
between IV and V by us), and that 19.2% are in remission after a year of usual care, which the rows without ketamine
meet.
"""

from functools import cache

import numpy as np
import pandas as pd
from scipy import optimize

from bayesdep.designs.simulated import Simulated
from bayesdep.numerics.chains_of_states import draw_states, shifted_rows

STATES = ("remission", "I", "II", "III", "IV", "V")
ARMS = ("ketamine", "no ketamine")
MONTHS = (0, 3, 6, 9, 12)

# Published.
START = (0.0, 0.0, 0.55, 0.30, 0.10, 0.05)  # 10 and 5: ours
REMISSION_AT_12 = 0.192

# Ours: log odds of a worse state with ketamine, by state before: smaller in advanced stages.
EFFECT = (-0.6, -1.2, -1.1, -0.9, -0.6, -0.4)
# Ours: three months of usual care. To remission (times one factor, which meets the share at month 12), one stage
# better, one stage worse; resistance progresses: worse is more frequent than better.
REMITS = (0.0, 0.24, 0.14, 0.10, 0.06, 0.04)
BETTER, WORSE, ELSEWHERE = 0.05, 0.09, 0.01
RELAPSES = (0.82, 0.04, 0.08, 0.04, 0.01, 0.01)
MISSED, DROPS_OUT = 0.05, 0.04  # of a visit, and after it


@cache
def usual_care() -> np.ndarray:
    """Return the matrix of three months without ketamine."""

    def matrix(factor: float) -> np.ndarray:
        rows = np.full((len(STATES), len(STATES)), ELSEWHERE)
        rows[0] = RELAPSES
        for stage in range(1, len(STATES)):
            if stage > 1:
                rows[stage, stage - 1] = BETTER
            if stage < len(STATES) - 1:
                rows[stage, stage + 1] = WORSE
            rows[stage, 0] = factor * REMITS[stage]
            rows[stage, stage] = 0.0
            rows[stage, stage] = 1 - rows[stage].sum()
        return rows

    def remission(factor: float) -> float:
        return float((np.array(START) @ np.linalg.matrix_power(matrix(factor), len(MONTHS) - 1))[0])

    return matrix(float(optimize.brentq(lambda factor: remission(factor) - REMISSION_AT_12, 0.05, 3.0)))


def matrices() -> dict[str, np.ndarray]:
    """Return the matrix of three months by arm."""
    usual = usual_care()
    return {"ketamine": np.exp(shifted_rows(usual, np.array(EFFECT))), "no ketamine": usual}


def draw_wilkowska2022(rng: np.random.Generator, people: int = 200) -> Simulated:
    """200 patients at stages II to V, half with ketamine, followed for a year: the review's claims as the truth.

    Parameters
    ----------
    rng
        Random numbers.
    people
        How many patients; half are in each arm.

    Returns
    -------
    Simulated
        One row a patient and visit attended: ``subject``, ``arm``, ``month``, ``stage`` and ``stage_at_start``. The
        truth has the matrices of three months, and by arm the shares in each state and at least one stage better than
        at the start after 12 months, and by arm and stage at the start those at stage II or better then.
    """
    of_arm = matrices()
    arm = np.repeat(np.arange(2), [people - people // 2, people // 2])[rng.permutation(people)]
    stacked = np.log(np.stack([of_arm[name] for name in ARMS]))
    with np.errstate(divide="ignore"):
        state = draw_states(rng, np.broadcast_to(np.log(START), (people, len(STATES))))
    rows, stays, start = [], np.ones(people, dtype=bool), state
    for month in MONTHS:
        if month > 0:
            state = draw_states(rng, stacked[arm, state])
            stays &= rng.random(people) >= DROPS_OUT
        seen = stays & ((rng.random(people) >= MISSED) | (month == 0))
        rows.append(pd.DataFrame({"patient": np.arange(people), "month": month, "state": state})[seen])
    visits = pd.concat(rows).sort_values(["patient", "month"])
    digits = len(str(people))
    table = pd.DataFrame(
        {
            "subject": [f"P{patient + 1:0{digits}d}" for patient in visits["patient"]],
            "arm": [ARMS[arm[patient]] for patient in visits["patient"]],
            "month": visits["month"].to_numpy(),
            "stage": [STATES[k] for k in visits["state"]],
            "stage_at_start": [STATES[start[patient]] for patient in visits["patient"]],
        }
    )
    return Simulated(table, _truth(of_arm))


def _truth(of_arm: dict[str, np.ndarray]) -> dict[str, object]:
    """What is true of each arm."""
    better = np.tri(len(STATES), k=-1)
    year = {name: np.array(START)[:, None] * np.linalg.matrix_power(matrix, 4) for name, matrix in of_arm.items()}
    second = STATES.index("II")
    to_second = {name: np.linalg.matrix_power(matrix, 4)[second:, : second + 1] for name, matrix in of_arm.items()}
    improved = {name: float((joint * better).sum()) for name, joint in year.items()}
    return {
        "states": list(STATES),
        "transition": {name: matrix.tolist() for name, matrix in of_arm.items()},
        "occupancy_at_12": {name: joint.sum(axis=0).tolist() for name, joint in year.items()},
        "improved_at_12": improved,
        "improved_difference_at_12": improved["ketamine"] - improved["no ketamine"],
        "at_most_second_at_12": {name: shares.sum(axis=1).tolist() for name, shares in to_second.items()},
        "effect": list(EFFECT),
    }
