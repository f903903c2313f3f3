#!/bin/sh
# Builds the wheel, installs it in an empty environment with the locked versions, and does from an empty directory what
# the README shows, at the command line and in Python. Usage: sh tools/test_wheel.sh PYTHON (one that has setuptools).
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
"$clean/bayesdep" explain trial.moderator_form >/dev/null
"$clean/bayesdep" datasets >/dev/null
"$clean/bayesdep" compare raison2013/responders.toml raison2013/responders_unpooled.toml
"$clean/bayesdep" export results/raison2013/responders_unpooled --format csv
printf 'subject,drug,class,weeks,adequate,response,ect\nP1,sertraline,SSRI,8,yes,no,no\nP1,venlafaxine,SNRI,10,yes,no,no\n' >drugs.csv
"$clean/bayesdep" stage drugs.csv --system thase-rush --rows trials --out stages.csv
test -s stages.csv

# A laboratory's sheet in three commands: figure, report and table.
"$clean/bayesdep" read "$root/tests/data/lab_sheet.xlsx" --out tidy.csv --plan lab.toml --reference HC
"$clean/bayesdep" run lab.toml
lab="$(dirname "$(find results -name report.html -not -path '*raison2013*')")"
"$clean/bayesdep" table "$lab" --to lab.docx
test -s lab.docx
test -s "$lab/forest.pdf" || test -s "$lab/figures/forest.pdf"

# The README's lines of Python.
"$clean/python" - "$root/README.md" <<'LINES'
import pathlib, re, sys
code = re.search(r"```python\n(.*?)```", pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"), re.DOTALL)[1]
exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
LINES
test -s forest.png
test -s report.html
echo "the wheel works in an empty environment: $(basename "$wheel")"
