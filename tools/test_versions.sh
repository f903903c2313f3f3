#!/bin/sh
# Run the fast tests with the oldest (lowest-direct) or newest (highest) versions that pyproject.toml allows, in an
# environment of its own: sh tools/test_versions.sh lowest-direct 3.12 [arguments of pytest]
# The environment takes a quarter of a minute where packages are cached; the rest is the time of the fast tests.
set -eu
cd "$(dirname "$0")/.."
resolution=$1
python=$2
shift 2
environment="${VERSIONS_ENV:-build/versions-$resolution}"
uv venv --quiet --clear --python "$python" "$environment"
VIRTUAL_ENV="$environment" uv pip install --quiet --resolution "$resolution" --editable ".[dev]"
VIRTUAL_ENV="$environment" uv pip list | grep -i -E '^(pymc|pytensor|nutpie|arviz|arviz-stats|numpy|scipy|pandas|xarray|formulaic|matplotlib|pydantic|typer) '
"$environment/bin/python" -m pytest -m "not slow and not sampling" -n 2 --dist loadfile "$@"
