"""Holds every dependency against deny.toml: its licence, and that it comes from crates.io.

For machines without cargo-deny, which takes minutes to build and does the same and more.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from license_expression import get_spdx_licensing

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"
SPDX = get_spdx_licensing()


def is_allowed(expression, allowed):
    """Whether one of the alternatives of an expression is allowed as a whole."""
    if expression.isliteral:
        return str(expression) in allowed
    of_parts = (is_allowed(part, allowed) for part in expression.args)
    return any(of_parts) if isinstance(expression, SPDX.OR) else all(of_parts)


def problem(package, allowed):
    """What is wrong with a package, if anything."""
    if package["source"] != CRATES_IO:
        return f"comes from {package['source']}"
    text = package["license"]
    if text is None:
        return "names no licence"
    # The old way to write an alternative.
    expression = SPDX.parse(text.replace("/", " OR "))
    return None if is_allowed(expression, allowed) else f"is under {text}, which deny.toml does not allow"


def main():
    root = Path(__file__).parent.parent
    allowed = set(tomllib.loads((root / "deny.toml").read_text())["licenses"]["allow"])
    # Of the platform at hand: the others' packages would be downloaded for it.
    version = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    host = next(line.split()[1] for line in version.splitlines() if line.startswith("host: "))
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host]
    packages = json.loads(subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    foreign = [package for package in packages if package["source"] is not None]
    found = [(p["name"], p["version"], problem(p, allowed)) for p in foreign]
    bad = [f"{name} {version} {what}" for name, version, what in found if what]
    print("\n".join(bad) or f"licences and sources of {len(foreign)} dependencies are as deny.toml wants them")
    sys.exit(1 if bad or not foreign else 0)


main()
