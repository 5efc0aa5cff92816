#!/usr/bin/env bash
# Licences, advisories and sources of dependencies (cargo-deny), and spelling (typos).
# cargo-deny is used where it is installed; typos comes from PyPI.
set -euo pipefail
target="${CARGO_TARGET_DIR:-target}"
if command -v cargo-deny > /dev/null; then
  cargo deny --locked check bans licenses sources
else
  echo "check-dependencies: cargo-deny is not installed; licences and sources are not checked" >&2
fi
if [ ! -x "$target/typos/bin/typos" ]; then
  python3 -m venv "$target/typos"
  "$target/typos/bin/pip" install -q --disable-pip-version-check "typos==1.38.*"
fi
"$target/typos/bin/typos"
