#!/usr/bin/env bash
# Fetches axe-core, which looks at a page as those do who can't see it, once. Prints its file.
set -euo pipefail
version=4.14.1
target="${CARGO_TARGET_DIR:-target}"
folder="$target/axe-core-$version"
if [ ! -f "$folder/package/axe.min.js" ]; then
  command -v npm > /dev/null || { echo "fetch-axe: npm is missing; 'make setup' installs it" >&2; exit 1; }
  mkdir -p "$folder"
  (cd "$folder" && npm pack --silent "axe-core@$version" >&2 && tar xzf "axe-core-$version.tgz")
fi
cd "$folder/package" && echo "$PWD/axe.min.js"
