#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""xmstream holds to the table in tests/golden/README.md: each good stream is valid, each bad one
is refused for the reason that stands there, and no file is missing from the table.

    check_golden.py XMSTREAM FOLDER
"""
import json
import os
import subprocess
import sys


def run(*arguments):
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def table(folder):
    with open(os.path.join(folder, "README.md"), encoding="utf-8") as readme:
        for line in readme:
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) == 6 and cells[1].endswith(".xms"):
                yield cells[1], cells[2]


def verified(xmstream, path):
    """What `verify` says: "valid" or the rule, after checking that the exit status agrees."""
    status, output = run(xmstream, "verify", "--json", path)
    answer = json.loads(output)
    expected = 0 if answer["valid"] else 9
    if status != expected:
        return f"exit status {status} instead of {expected}"
    return "valid" if answer["valid"] else answer["rule"]


def check_table(xmstream, folder):
    rows = dict(table(folder))
    files = {name for name in os.listdir(folder) if name.endswith(".xms")}
    for name in sorted(files ^ rows.keys()):
        yield f"{name}: is not both a file and a row of the table"
    for name in sorted(files & rows.keys()):
        found = verified(xmstream, os.path.join(folder, name))
        if found != rows[name]:
            yield f"{name}: expected {rows[name]}, xmstream says {found}"


def check_commands(xmstream, folder):
    good, other, bad = (os.path.join(folder, name) for name in
                        ("good-two-rounds.xms", "good-all-encodings.xms", "seal-digest.xms"))
    _, output = run(xmstream, "diff", good, os.path.join(folder, "good-paused.xms"))
    if output != "paused: False and True\n":
        yield f"diff with the same domain, paused, says {output}"
    same, _ = run(xmstream, "diff", good, good)
    if same != 0:
        yield f"diff of a file with itself exits with {same}"
    different, output = run(xmstream, "diff", "--json", good, other)
    sentences = json.loads(output)["differences"]
    if different != 1 or not any("memory object 0: " in sentence for sentence in sentences):
        yield f"diff of two domains exits with {different} and says {sentences}"
    broken, _ = run(xmstream, "diff", "--json", good, bad)
    if broken != 9:
        yield f"diff with a broken file exits with {broken}"
    status, output = run(xmstream, "inspect", "--json", good)
    names = [json.loads(line).get("name") for line in output.splitlines()]
    expected = [None, "HELLO", "STATIC", "STATE", "PAGES", "PAGES", "SEAL", "PAGES", "SEAL",
                "STATE", "END"]
    if status != 0 or names != expected:
        yield f"inspect exits with {status} and lists {names}"
    status, output = run(xmstream, "inspect", good)
    if status != 0 or "0+2:ZSTD 2+10:ZERO" not in output:
        yield f"inspect exits with {status} and prints {output}"


def main():
    xmstream, folder = sys.argv[1:]
    problems = list(check_table(xmstream, folder)) + list(check_commands(xmstream, folder))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


sys.exit(main())
