#!/bin/sh
# Builds the wheel, installs it in an empty environment with the locked versions, and does from an empty directory what
# the README shows at the command line. Usage: sh tools/test_wheel.sh PYTHON (one that has setuptools).
set -eu
python="$1"
root="$(cd "$(dirname "$0")/.." && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# From a copy, so that no folder of an earlier build is taken along.
mkdir "$work/source"
(cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 tar -cf -) | tar -xf - -C "$work/source"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$work" "$work/source"
wheel="$(ls "$work"/*.whl)"

"$python" -m venv "$work/venv"
clean="$work/venv/bin"
"$clean/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$root/requirements.lock"
"$clean/python" -m pip install --quiet --disable-pip-version-check --no-deps "$wheel"

mkdir "$work/desk"
cd "$work/desk"
unset PYTHONPATH || true
"$clean/bayesdep" --version
"$clean/python" - <<'CHECK'
import importlib.metadata
import bayesdep
assert importlib.metadata.version("bayesdep") == bayesdep.__version__
assert "site-packages" in bayesdep.__file__, bayesdep.__file__
CHECK
"$clean/bayesdep" plans list >plans.txt
test "$(wc -l <plans.txt)" -eq "$(find "$root/models" -name '*.toml' | wc -l)"
"$clean/bayesdep" plans copy raison2013
"$clean/bayesdep" check raison2013/responders_unpooled.toml
"$clean/bayesdep" run raison2013/responders_unpooled.toml
test -s results/raison2013/responders_unpooled/report.html
"$clean/bayesdep" simulate raison2013 --seed 1 --out trial.csv
"$clean/bayesdep" new trial.csv
"$clean/bayesdep" check plan.toml
"$clean/bayesdep" schema >schema.json
cmp schema.json plan.schema.json
echo "the wheel works in an empty environment: $(basename "$wheel")"
