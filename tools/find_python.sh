#!/bin/sh
# Print a Python that is new enough (3.12 or later), or say in one sentence what to do.
# A .python-version file makes pyenv's and uv's python3 the right one; otherwise look further.
for candidate in python3 python3.13 python3.12 python3.14; do
  path=$(command -v "$candidate" 2>/dev/null) || continue
  if "$path" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
    # the one behind an activated environment, which may be the one about to be replaced
    "$path" -c 'import sys; print(getattr(sys, "_base_executable", None) or sys.executable)'
    exit 0
  fi
done
if command -v uv >/dev/null 2>&1; then
  version=$(cat .python-version)
  uv python install --quiet "$version" >&2 && uv python find "$version" && exit 0
fi
echo "bayesdep needs Python 3.12 or later and none was found; install one, or uv, which fetches it" >&2
exit 1
