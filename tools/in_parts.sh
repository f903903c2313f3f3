#!/usr/bin/env bash
# Makes targets one after the other, and prints what each took beside the budget of all: tools/in_parts.sh lint types tests
set -euo pipefail
budget=60  # minutes, for all parts together

times=()
summary() {
  printf '\n%-10s %8s\n' part seconds
  printf '%s\n' "${times[@]}"
  printf '%-10s %8d of %d\n' all "$SECONDS" "$((60 * budget))"
  if [ "$SECONDS" -gt "$((60 * budget))" ]; then echo "beyond the budget of $budget minutes"; fi
}
trap summary EXIT

for part in "$@"; do
  start=$SECONDS
  status=0
  make --no-print-directory "$part" || status=$?
  times+=("$(printf '%-10s %8d' "$part" "$((SECONDS - start))")")
  [ "$status" -eq 0 ] || exit "$status"
done
