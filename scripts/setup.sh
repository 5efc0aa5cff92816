#!/usr/bin/env bash
# Installs what building and testing need. As root on Debian with apt-get;
# elsewhere it names what is missing and stops.
set -euo pipefail
missing=()
need() { # command package
  command -v "$1" > /dev/null || missing+=("$2")
}
need cc build-essential
need make make
need perl perl
need pkg-config pkg-config
need python3 python3
if [ "${1:-}" != build ]; then
  need javac openjdk-17-jdk-headless
  need npm npm
  need mvn maven
  need psql postgresql-client
  need openssl openssl
  need promtool prometheus
  need prometheus-alertmanager prometheus-alertmanager
  need systemd-analyze systemd
  need curl curl
  need kcat kcat
  need jq jq
  need kill procps
  need chromium chromium
  need chromedriver chromium-driver
  python3 -c 'import ensurepip' 2> /dev/null || missing+=(python3-venv)
  python3 -m pip --version > /dev/null 2>&1 || missing+=(python3-pip)
fi
pkg-config --exists openssl 2> /dev/null || missing+=(libssl-dev)
[ -f /usr/include/zlib.h ] || missing+=(zlib1g-dev)
command -v cargo > /dev/null || { echo "setup: Rust is missing: see https://rustup.rs" >&2; exit 1; }
if [ "${#missing[@]}" -eq 0 ]; then
  exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
else
  echo "setup: these packages are missing (Debian's names): ${missing[*]}" >&2
  exit 1
fi
