"""What was found once stays found."""

import pytest
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.inference.saved import refuse_incomplete_text
from hostile.finds import ATTEMPTS
from hostile.harness import Attempt, Warm, all_faults


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_attempt(attempt: Attempt, warm: Warm, tmp_path):
    assert not all_faults([attempt], tmp_path, warm)


@pytest.mark.parametrize("where", ["group", "variable", "label"])
def test_a_saved_fit_with_bytes_that_are_no_characters_is_refused(where):
    """They came in by a changed byte of a description, and could be written to no table."""
    bad = "negative \udcddst"
    group = xr.Dataset({"mu": ("unit", [1.0])}, {"unit": [bad if where == "label" else "a"]})
    group.attrs["title"] = bad if where == "group" else "a title"
    group["mu"].attrs["description"] = bad if where == "variable" else "a mean"
    with pytest.raises(BadInput, match="a text in 'estimands' holds an incomplete character"):
        refuse_incomplete_text(xr.DataTree.from_dict({"estimands": group}))
