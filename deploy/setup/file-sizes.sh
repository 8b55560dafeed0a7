#!/usr/bin/env bash
# No Python file above 500 lines: a longer one holds two things.
set -euo pipefail
cd "$(dirname "$0")/../.."
long=$(git ls-files -co --exclude-standard -- '*.py' | while IFS= read -r file; do
    [ ! -f "$file" ] || awk -v name="$file" 'END { if (NR > 500) print NR, name }' "$file"
done)
if [ -n "$long" ]; then
    printf 'longer than 500 lines:\n%s\n' "$long" >&2
    exit 1
fi
