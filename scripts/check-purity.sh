#!/usr/bin/env bash
# The pure crates do no IO and start no task: tokio is not among what they are built from.
set -euo pipefail
for crate in satisflow-model satisflow-kpi satisflow-stats satisflow-generate satisflow-rules satisflow-scram; do
  found=$(cargo tree --quiet -p "$crate" -e normal -i tokio 2> /dev/null || true)
  if [ -n "$found" ]; then
    echo "check-purity: $crate depends on tokio:" >&2
    echo "$found" >&2
    exit 1
  fi
  echo "$crate is pure"
done
