#!/usr/bin/env bash
# The pure crates do no IO, read no clock, draw no chance and start no task: tokio is not
# among what they are built from, and their sources name none of these.
set -euo pipefail
impure='std::(fs|net|process|thread|io)\b|(Instant|SystemTime|Timestamp|Zoned)::now|rand::rng\(|thread_rng|OsRng|getrandom'
for crate in satisflow-model satisflow-kpi satisflow-stats satisflow-generate satisflow-rules satisflow-alerts satisflow-scram; do
  # A tree that can't be told is no proof: this line fails then.
  built_from=$(cargo tree --quiet --locked -p "$crate" -e normal --prefix none --format '{p}')
  grep -q "^$crate " <<< "$built_from" || { echo "check-purity: cargo does not know $crate" >&2; exit 1; }
  if grep -E '^(tokio|mio|reqwest|object_store) ' <<< "$built_from" >&2; then
    echo "check-purity: $crate depends on these" >&2
    exit 1
  fi
  if grep -rnE "$impure" "crates/$crate/src" >&2; then
    echo "check-purity: $crate names these" >&2
    exit 1
  fi
  echo "$crate is pure"
done
