#!/usr/bin/env bash
# Builds MinIO, the S3 server that tests run against, once: minutes. Prints the program.
set -euo pipefail
version=v0.0.0-20260212201848-7aac2a2c5b7c
target="${CARGO_TARGET_DIR:-target}"
folder="$target/minio-$version"
if [ ! -x "$folder/minio" ]; then
  go=$("$(dirname "$0")/fetch-go.sh")
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
  # Into a folder beside first: a build that was broken off leaves nothing that looks whole.
  GOBIN="$folder/unfinished" GOTOOLCHAIN=auto "$go" install "github.com/minio/minio@$version" >&2
  mv "$folder/unfinished/minio" "$folder/minio"
fi
cd "$folder" && echo "$PWD/minio"
