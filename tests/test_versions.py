"""The oldest versions that pyproject.toml allows pass the fast tests, in an environment of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv resolves the oldest versions")
def test_the_oldest_allowed_versions_pass_the_fast_tests(tmp_path):
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    environment = os.environ | {"VERSIONS_ENV": str(tmp_path / "oldest")}
    environment.pop("PYTHONPATH", None)
    script = ["sh", "tools/test_versions.sh", "lowest-direct", python]
    done = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-2000:]}"
