#!/usr/bin/env bash
# A Python environment with the readers that the tests compare against. Prints its python.
set -euo pipefail
target="${CARGO_TARGET_DIR:-target}"
env="$target/python-env"
stamp="$env/complete-4"
if [ ! -f "$stamp" ]; then
  python3 -m venv "$env"
  # The readers, the SQL clients of tests/clients, and the AWS command line, which copies lakes in buckets.
  "$env/bin/python" -m pip install -q --disable-pip-version-check "duckdb==1.4.*" "deltalake==1.2.*" "pyarrow>=18" "psycopg[binary]==3.2.*" "asyncpg==0.32.*" "sqlalchemy==2.1.*" \
    "adbc-driver-flightsql==1.13.*" "adbc-driver-manager==1.13.*" \
    "awscli==1.46.*"
  touch "$stamp"
fi
cd "$env" && echo "$PWD/bin/python"
