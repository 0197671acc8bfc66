#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demonstration: a running 1 GiB domain moves to another host, and proves that it lost nothing.

Two hosts (network namespaces joined by a link as root, else two loopback addresses), each with its own
daemon. The domain writes 200 MB/s over 256 MiB and measures, by its own clock, how long it was not running.
"""
import argparse
import os
import subprocess
import sys

from hosts import Hosts

CONFIG = """\
name = "web1"
memory = 1024
vcpus = 1
payload = "{payload}"
payload_args = "working_set=256 rate=200 pattern=uniform populate=all"
"""


class Shown:
    """Commands as an operator types them, shown before they run."""

    def __init__(self, build):
        self.program = os.path.join(build, "tools/xmigrate")

    def run(self, host, *words):
        print(f"\n{host.name}$ xmigrate {' '.join(words)}", flush=True)
        status = subprocess.run([self.program, "--run-dir", host.run_dir, *words], check=False)
        if status.returncode:
            sys.exit(f"demo: xmigrate {words[0]} failed with exit code {status.returncode}")


def summary(operation, gap, check):
    result, progress = operation["result"], operation["progress"]
    good = (check["errors"] == 0 and check["registers"] == "ok" and result["audit_pages"] == 0)
    print(f"""
What happened
  moved live          {progress['memory_bytes'] >> 20} MiB in {result['total_ms'] / 1e3:.2f} s, {progress['round']} rounds
  sent                {progress['wire_bytes'] / 2**20:.0f} MiB
  pause, by engine    {result['pause']['engine_ms']:.2f} ms
  pause, by guest     {gap['gap_max_ns'] / 1e6:.2f} ms: its largest gap between two clock reads
What was proved
  digest of memory    {result['digest']}, equal on both hosts
  frozen source       {result['audit_pages']} pages differ from what was sent
  the guest's check   {check['pages']} pages compared, {check['errors']} errors, registers {check['registers']}
""")
    print("Nothing was lost." if good else "SOMETHING WAS LOST.")
    return 0 if good else 9


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    build = os.path.abspath(parser.parse_args().build)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("demo: /dev/kvm is missing or may not be opened; run it on a host with KVM, as a "
              "user of group kvm", file=sys.stderr)
        return 6
    shown = Shown(build)
    with Hosts(build) as (first, second):
        config = os.path.join(first.run_dir, "web1.cfg")
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(payload=os.path.join(build, "tests/guests/dirty.elf")))
        shown.run(first, "create", config)
        first.wait_report("web1", "ready")
        shown.run(first, "list")
        first.ask("web1", "gap")
        shown.run(first, "migrate", "--live", "--congestion", "cubic", "web1", second.peer)
        gap = second.ask("web1", "gap")
        shown.run(second, "list")
        check = second.ask("web1", "verify")
        operation = first.api("GET", "/v1/operations")["operations"][-1]
        return summary(operation, gap, check)


if __name__ == "__main__":
    sys.exit(main())
