"""Old public names work for one version and say what took their place."""

import subprocess
import sys
import warnings

import pytest

import bayesdep as bd


@pytest.mark.parametrize(("old", "new"), bd._RENAMED.items())
def test_an_old_name_is_the_new_one_and_warns(old, new):
    with pytest.warns(DeprecationWarning, match=f"bd.{old} is now called bd.{new}"):
        old_object = getattr(bd, old)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert old_object is getattr(bd, new)
    assert old not in bd.__all__


def test_the_warning_points_at_the_users_line():
    """Python shows deprecation warnings in scripts only where the line that is warned of is the script's own."""
    script = "import bayesdep as bd\nbd.datasets\nfrom bayesdep import sensitivity"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "<string>:2: DeprecationWarning: bd.datasets is now called bd.list_datasets" in done.stderr
    assert "<string>:3: DeprecationWarning: bd.sensitivity is now called bd.check_prior_sensitivity" in done.stderr
