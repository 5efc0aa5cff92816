#!/usr/bin/env bash
# Clients of the PostgreSQL protocol that are no Python packages, once: pgjdbc from Maven Central,
# node-postgres from npm, a program of tokio-postgres. Prints the folder.
set -euo pipefail
pgjdbc=42.7.4
node_pg=8.23.1
root=$(cd "$(dirname "$0")/.." && pwd)
target="${CARGO_TARGET_DIR:-target}"
folder="$target/clients-$pgjdbc-$node_pg"
if [ ! -f "$folder/complete" ]; then
  for program in mvn npm cargo; do
    command -v "$program" > /dev/null || { echo "fetch-clients: $program is missing; 'make setup' installs it" >&2; exit 1; }
  done
  mkdir -p "$folder"
  (cd "$folder" && npm install --silent --no-audit --no-fund --prefix . "pg@$node_pg" >&2)
  mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    -Dartifact="org.postgresql:postgresql:$pgjdbc" -DoutputDirectory="$(cd "$folder" && pwd)" >&2
  touch "$folder/complete"
fi
cargo build --quiet --locked --manifest-path "$root/tests/clients/tokio-postgres/Cargo.toml" \
  --target-dir "$folder/tokio-postgres" >&2
cd "$folder" && pwd
