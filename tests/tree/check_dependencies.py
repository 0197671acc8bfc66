#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Dependencies between folders point one way (docs/architecture.md, "Folders").

Reads every #include "..." of the C sources below the root given and reports each one that its
folder may not have. Exit status 1 if there is any, or if nothing was there to check.

    check_dependencies.py ROOT
    check_dependencies.py --self-test
"""
import os
import re
import sys
import tempfile

# A folder may include its own headers and those of the folders named here.
ALLOWED = {
    "common": [],
    "hypervisor": ["common"],
    "proto": ["common"],
    "transport": ["proto/frame.h", "common"],
    "migrate": ["transport", "proto", "hypervisor", "common"],
    "tools": ["migrate", "transport", "proto", "hypervisor", "common"],
    "bench": ["tools", "migrate", "transport", "proto", "hypervisor", "common", "tests"],
}

# Generated code is seen by proto/ alone.
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def sources(root):
    for folder in ALLOWED:
        for path, _, names in os.walk(os.path.join(root, folder)):
            for name in names:
                if name.endswith((".c", ".h", ".S")):
                    yield folder, os.path.join(path, name)


def is_allowed(folder, included):
    if included.endswith(".pb-c.h"):
        return folder == "proto"
    if "/" not in included:
        return False
    return any(
        included == allowed or included.startswith(allowed + "/")
        for allowed in [folder] + ALLOWED[folder]
    )


def violations(root):
    seen = 0
    found = []
    for folder, path in sources(root):
        with open(path, encoding="utf-8") as source:
            for number, line in enumerate(source, 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                seen += 1
                if not is_allowed(folder, match.group(1)):
                    name = os.path.relpath(path, root)
                    found.append(f'{name}:{number}: {folder}/ may not include "{match.group(1)}"')
    return seen, found


def self_test():
    cases = {
        "hypervisor/a.c": ('#include "proto/frame.h"', False),
        "transport/tcp/a.c": ('#include "hypervisor/hypervisor.h"', False),
        "transport/b.c": ('#include "proto/messages.h"', False),
        "transport/c.c": ('#include "proto/frame.h"', True),
        "migrate/a.c": ('#include "tools/lib/config.h"', False),
        "migrate/b.c": ('#include "proto/xmigrate.pb-c.h"', False),
        "migrate/c.c": ('#include "proto/messages.h"', True),
        "common/a.c": ('#include "common/log.h"', True),
        "tools/a.c": ('#include "config.h"', False),
    }
    for name, (line, allowed) in cases.items():
        with tempfile.TemporaryDirectory() as root:
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path))
            with open(path, "w", encoding="utf-8") as source:
                source.write(line + "\n")
            seen, found = violations(root)
            if seen != 1 or (not found) != allowed:
                sys.exit(f"self-test: {name} with {line}: {found}")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    seen, found = violations(sys.argv[1])
    print("\n".join(found))
    print(f"{seen} includes checked, {len(found)} against the direction")
    sys.exit(1 if found or not seen else 0)


if __name__ == "__main__":
    main()
