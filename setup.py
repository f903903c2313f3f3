"""Puts the shipped plans and their schema into the package when it is built; all else stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithPlans(build_py):
    """Copies models/ to bayesdep/plans; an editable installation reads models/ where it stands."""

    def run(self) -> None:
        """Build the package, then copy."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "bayesdep" / "plans"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(Path(__file__).parent / "models", target)


setup(cmdclass={"build_py": WithPlans})
