#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One scenario, many flavours: a payload sets its state, moves, and checks itself; many times in a row.

Each flavour moves one domain back and forth between two hosts while it runs. After every move the payload
compares all its pages and registers with what its step counter says, the target has compared the digest
of all of memory, and the source has audited its frozen memory.

    moves.py --build DIR --payload dirty --log-dirty ring --pattern zipf --moves 25
    moves.py --build DIR --save            the same through a file: save and restore
"""
import argparse
import os
import sys

from hosts import SKIPPED, Hosts


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--build", required=True)
    add("--payload", default="dirty", choices=("dirty", "smp", "idle"))
    add("--log-dirty", default="default", choices=("default", "bitmap", "ring"))
    add("--pattern", default="uniform", choices=("uniform", "sequential", "zipf", "hot-cold"))
    add("--channels", default="1,2,4", help="taken in turn, move by move")
    add("--memory", type=int, default=64)
    add("--working-set", type=int, default=24)
    add("--rate", type=int, default=100)
    add("--vcpus", type=int, default=1)
    add("--zstd", type=int, default=0)
    add("--moves", type=int, default=5)
    add("--no-live", action="store_true")
    add("--save", action="store_true", help="through a file instead of over the network")
    return parser.parse_args()


def check(host, move, seen):
    """The payload's own check of its memory and registers; its step counter never goes back."""
    report = host.ask("web1", "verify")
    if report["errors"] or report["registers"] != "ok":
        sys.exit(f"move {move}: the payload found errors: {report}")
    if report["steps"] < seen:
        sys.exit(f"move {move}: the payload went back from step {seen} to {report['steps']}")
    return report["steps"]


def through_network(options, source, target, move):
    channels = [int(word) for word in options.channels.split(",")]
    operation = source.migrate(
        "web1", target, live=not options.no_live, channels=channels[move % len(channels)],
        zstd_level=options.zstd, max_downtime_ms=10000)
    if operation["result"]["audit_pages"]:
        sys.exit(f"move {move}: log-dirty missed {operation['result']['audit_pages']} pages")
    return operation["result"]["pause"]["total_ms"]


def through_file(options, source, target, move):
    path = os.path.join(source.run_dir, f"web1-{move}.save")
    saved = source.operation(source.api("POST", "/v1/domains/web1/save", {
        "path": path, "leave": "destroy", "zstd_level": options.zstd})["id"])
    if saved["error"]:
        sys.exit(f"save {move}: {saved['error']['text']}")
    restored = target.operation(target.api("POST", "/v1/restore", {"path": path})["id"])
    if restored["error"]:
        sys.exit(f"restore {move}: {restored['error']['text']}")
    os.unlink(path)
    return saved["result"]["pause"]["total_ms"]


def main():
    options = arguments()
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("SKIPPED: /dev/kvm is missing or may not be opened")
        return SKIPPED
    words = {
        "dirty": f"working_set={options.working_set} rate={options.rate} "
                 f"pattern={options.pattern} populate=all",
        "smp": f"working_set={options.working_set}",
        "idle": "",
    }
    step = through_file if options.save else through_network
    pauses, steps = [], 0
    with Hosts(options.build) as pair:
        pair[0].create("web1", options.payload, memory=options.memory, vcpus=options.vcpus,
                       args=words[options.payload], log_dirty=options.log_dirty)
        for move in range(options.moves):
            source, target = pair[move % 2], pair[(move + 1) % 2]
            pauses.append(step(options, source, target, move))
            if "web1" in source.domains():
                sys.exit(f"move {move}: the domain is still on {source.name}")
            steps = check(target, move, steps)
    pauses.sort()
    print(f"{options.moves} moves, each verified; pause p50 {pauses[len(pauses) // 2]:.2f} ms, "
          f"max {pauses[-1]:.2f} ms; {steps} steps")
    return 0


if __name__ == "__main__":
    sys.exit(main())
