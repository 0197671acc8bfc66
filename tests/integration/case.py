# SPDX-License-Identifier: Apache-2.0
"""What every integration test here starts with: where the build is, and what may be missing."""
import argparse
import os
import sys
import unittest

from hosts import SKIPPED

BUILD = None


def check_domain(test, host, name):
    """The domain runs on that host, and its payload finds every page and register right."""
    domain = host.domain(name)
    test.assertEqual(domain["state"], "running")
    report = host.ask(name, "verify")
    test.assertEqual(report["errors"], 0, report)
    test.assertEqual(report["registers"], "ok", report)
    return report


def check_moved(test, operation):
    """A finished migration that says that nothing was lost, and means it."""
    test.assertIsNone(operation["error"])
    test.assertEqual(operation["state"], "committed")
    test.assertEqual(operation["result"]["audit_pages"], 0)
    test.assertEqual(len(operation["result"]["digest"]), 32)


def main():
    """unittest's main with --build, and ctest's way to say that a test could not be made."""
    global BUILD
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, help="the build folder")
    known, rest = parser.parse_known_args()
    BUILD = known.build
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("SKIPPED: /dev/kvm is missing or may not be opened")
        sys.exit(SKIPPED)
    unittest.main(module="__main__", argv=[sys.argv[0], "-v", *rest])
