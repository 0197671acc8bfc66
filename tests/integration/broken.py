#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A deliberately broken engine is caught by the checks that the other tests rely on.

Each case breaks the engine at one named point. What was broken must be found: by the digest, before
the domain changes hands (it then runs on at the source, unharmed), by the source's audit of its frozen
memory, or by the payload's own check of its pages and registers.
"""
import unittest

import case
from hosts import ApiError, Hosts

ARGS = "working_set=24 rate=400 pattern=uniform populate=all"


class BrokenEngine(unittest.TestCase):
    def move_with(self, fault):
        """Moves with a fault armed at both ends; returns how it was caught, or None."""
        with Hosts(case.BUILD, faults=(fault, fault)) as (first, second):
            first.create("web1", "dirty", memory=64, args=ARGS)
            try:
                first.migrate("web1", second)
            except ApiError as error:
                self.assertEqual(error.kind, "data")
                if "web1" not in first.domains():
                    return "audit"
                case.check_domain(self, first, "web1")
                return "digest"
            report = second.ask("web1", "verify")
            return "payload" if report["errors"] or report["registers"] != "ok" else None

    def test_whole_engine_passes(self):
        """The control: with nothing broken the same checks find nothing."""
        self.assertIsNone(self.move_with(None))

    def test_last_round_skipped(self):
        """A guest that wrote nothing since the round before loses nothing, which is rare: again then."""
        tries = (self.move_with("migrate.break.skip-last-round:skip") for _ in range(5))
        self.assertEqual(next(filter(None, tries), None), "audit")

    def test_page_dropped(self):
        self.assertEqual(self.move_with("migrate.break.drop-page:skip"), "digest")

    def test_register_forgotten(self):
        self.assertEqual(self.move_with("migrate.break.forget-register:skip"), "payload")


if __name__ == "__main__":
    case.main()
