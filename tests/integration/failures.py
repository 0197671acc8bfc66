#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What fails, fails whole: the source runs on (or the target does, after COMMIT), one clear sentence is
said, and nothing is left behind."""
import os
import signal
import unittest

import case
from hosts import ApiError, Hosts

ARGS = "working_set=24 rate=200 pattern=uniform populate=all"
SLOW = 40_000_000  # bytes per second: slow enough that something can happen on the way


class Failure(unittest.TestCase):
    def hosts(self, faults=(None, None), **options):
        pair = Hosts(case.BUILD, faults, **options)
        hosts = pair.__enter__()
        self.addCleanup(pair.__exit__, None, None, None)
        return hosts

    def create(self, host, **options):
        options.setdefault("memory", 128)
        host.create("web1", "dirty", args=ARGS, **options)

    def fail_to_move(self, source, target, kind, **options):
        with self.assertRaises(ApiError) as caught:
            source.migrate("web1", target, **options)
        self.assertEqual(caught.exception.kind, kind, str(caught.exception))
        self.assertTrue(str(caught.exception).strip())
        return str(caught.exception)

    def assert_only_on(self, host, other):
        """One owner, whole; the other host keeps nothing of the domain."""
        case.check_domain(self, host, "web1")
        other.wait_empty()
        self.assertEqual(other.domains(), {})


class BeforeCommit(Failure):
    def test_target_has_the_name_already(self):
        first, second = self.hosts()
        self.create(first)
        second.create("web1", "idle", memory=16)
        text = self.fail_to_move(first, second, "conflict")
        self.assertIn("web1", text)
        case.check_domain(self, first, "web1")
        self.assertEqual(second.domain("web1")["memory_bytes"], 16 << 20)

    def test_target_refuses_for_memory(self):
        """Memory is promised to a domain when it is created, touched or not."""
        first, second = self.hosts()
        total = second.api("GET", "/v1/version")["host"]["memory_bytes"] >> 20
        first.create("web1", "dirty", memory=total // 10 * 2, args="working_set=24 rate=50")
        second.create("large", "idle", memory=total // 20 * 17 // 2 * 2)
        text = self.fail_to_move(first, second, "host")
        self.assertIn("reserved", text)
        case.check_domain(self, first, "web1")
        self.assertEqual(list(second.domains()), ["large"])

    def test_nobody_listens_there(self):
        first, second = self.hosts()
        self.create(first)
        second.stop()
        text = self.fail_to_move(first, second, "network")
        self.assertIn(second.address, text)
        case.check_domain(self, first, "web1")

    def test_target_dies_in_each_state(self):
        for state in ("negotiate", "receiving", "prepared"):
            with self.subTest(state=state):
                first, second = self.hosts(faults=(None, f"migrate.target.{state}:die"))
                self.create(first)
                self.fail_to_move(first, second, "network")
                self.assert_only_on(first, second)

    def test_connection_cut_in_mid_round(self):
        first, second = self.hosts(faults=("transport.cut:error:200", None))
        self.create(first)
        self.fail_to_move(first, second, "network", channels=2)
        self.assert_only_on(first, second)

    def test_source_dies(self):
        """The source's crash takes the domain with it; the target's half must not start."""
        first, second = self.hosts(faults=("migrate.source.stop-and-copy:die", None))
        self.create(first)
        first.start_migrate("web1", second)
        first.wait_empty()
        second.wait_empty()
        self.assertEqual(second.domains(), {})

    def test_cancelled_in_each_state(self):
        for state in ("negotiate", "pre-copy", "stop-and-copy", "prepare-wait"):
            with self.subTest(state=state):
                fault = f"migrate.source.{state}:delay=1500"
                first, second = self.hosts(faults=(fault, None))
                self.create(first)
                ident = first.start_migrate("web1", second)
                first.wait_state(ident, (state,))
                first.api("DELETE", f"/v1/operations/{ident}")
                operation = first.operation(ident)
                self.assertEqual(operation["error"]["kind"], "cancelled")
                self.assert_only_on(first, second)

    def test_cancelled_too_late(self):
        first, second = self.hosts(faults=("migrate.commit.after-send:delay=1500", None))
        self.create(first)
        ident = first.start_migrate("web1", second)
        first.wait_state(ident, ("commit-sent",))
        with self.assertRaises(ApiError) as caught:
            first.api("DELETE", f"/v1/operations/{ident}")
        self.assertEqual(caught.exception.kind, "conflict")
        case.check_moved(self, first.operation(ident))
        self.assert_only_on(second, first)

    def test_refused_early_when_it_cannot_converge(self):
        first, second = self.hosts()
        self.create(first, memory=256)
        first.ask("web1", "rate 2000")
        text = self.fail_to_move(first, second, "refused", bandwidth=SLOW, max_downtime_ms=50)
        self.assertIn("max-downtime", text)
        self.assert_only_on(first, second)

    def test_two_migrations_at_once(self):
        first, second = self.hosts()
        self.create(first)
        ident = first.start_migrate("web1", second, bandwidth=SLOW, max_downtime_ms=10000)
        self.fail_to_move(first, second, "conflict")
        first.api("DELETE", f"/v1/operations/{ident}")
        first.operation(ident)
        self.assert_only_on(first, second)


class LimitsChange(Failure):
    def test_limits_changed_while_it_runs(self):
        """A move that would take for ever ends at once when its bandwidth limit is lifted."""
        first, second = self.hosts()
        self.create(first, memory=256)
        ident = first.start_migrate("web1", second, bandwidth=1_000_000, max_downtime_ms=60000)
        first.wait_state(ident, ("pre-copy",))
        first.api("PATCH", f"/v1/operations/{ident}", {"bandwidth": 0})
        case.check_moved(self, first.operation(ident, timeout=30))
        self.assert_only_on(second, first)


class AfterCommit(Failure):
    def test_target_dies_after_commit_arrived(self):
        """Whatever the source concludes, it must not run a domain that the target took over."""
        first, second = self.hosts(faults=(None, "migrate.target.before-committed:die"))
        self.create(first)
        ident = first.start_migrate("web1", second)
        operation = first.operation(ident)
        self.assertIn(operation["state"], ("committed", "unresolved"))
        domains = first.domains()
        self.assertNotIn("running", [domain["state"] for domain in domains.values()])

    def test_commit_is_lost(self):
        """COMMIT never arrives: the source asks, the target records ABORTED, the source runs on."""
        first, second = self.hosts(faults=("migrate.commit.lost:skip", None))
        self.create(first)
        ident = first.start_migrate("web1", second)
        first.wait_event("unresolved", "web1")
        first.wait_event("resolved", "web1")
        self.assertTrue(first.operation(ident)["finished"])
        self.assert_only_on(first, second)

    def test_target_unreachable_then_resolved_by_hand(self):
        first, second = self.hosts(faults=("migrate.commit.lost:skip", None))
        self.create(first)
        ident = first.start_migrate("web1", second, bandwidth=SLOW, max_downtime_ms=10000)
        first.wait_sent(ident, 8 << 20)
        second.stop(signal.SIGKILL)
        first.wait_event("unresolved", "web1")
        self.assertEqual(first.domain("web1")["state"], "unresolved")
        answer = first.cli("resolve", "web1")
        self.assertEqual(answer.returncode, 12, answer.stderr)
        second.start()
        first.wait_event("resolved", "web1")
        self.assertTrue(first.operation(ident)["finished"])
        self.assert_only_on(first, second)


class Daemons(Failure):
    def test_daemon_restarted_in_mid_migration(self):
        for killed in (0, 1):
            with self.subTest(host=killed):
                hosts = self.hosts()
                first, second = hosts
                self.create(first, memory=256)
                ident = first.start_migrate("web1", second, bandwidth=SLOW,
                                            max_downtime_ms=20000)
                first.wait_sent(ident, 8 << 20)
                hosts[killed].stop(signal.SIGKILL)
                hosts[killed].start()
                case.check_moved(self, first.operation(ident))
                self.assert_only_on(second, first)

    def test_daemon_restart_leaves_domains_running(self):
        first, _ = self.hosts()
        self.create(first)
        before = first.domain("web1")
        for how in (signal.SIGTERM, signal.SIGKILL):
            first.stop(how)
            first.start()
            after = first.domain("web1")
            self.assertEqual((after["pid"], after["id"]), (before["pid"], before["id"]))
            case.check_domain(self, first, "web1")


class Saving(Failure):
    def save(self, host, path, **options):
        return host.operation(host.api("POST", "/v1/domains/web1/save", {
            "path": path, "leave": "destroy", **options})["id"])

    @unittest.skipUnless(os.geteuid() == 0, "mounting a small tmpfs needs root")
    def test_disk_full(self):
        first, _ = self.hosts(small_disk="16m")
        self.create(first)
        small = os.path.join(first.run_dir, "small")
        operation = self.save(first, os.path.join(small, "web1.save"))
        self.assertEqual(operation["error"]["kind"], "storage")
        self.assertIn("No space left", operation["error"]["text"])
        self.assertEqual(os.listdir(small), [])
        case.check_domain(self, first, "web1")

    def test_existing_file_is_kept(self):
        first, _ = self.hosts()
        self.create(first)
        path = os.path.join(first.run_dir, "precious")
        with open(path, "w", encoding="utf-8") as file:
            file.write("precious")
        with self.assertRaises(ApiError) as caught:
            self.save(first, path)
        self.assertEqual(caught.exception.kind, "conflict")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "precious")
        case.check_domain(self, first, "web1")

    def test_damaged_file_is_refused(self):
        first, second = self.hosts()
        self.create(first)
        path = os.path.join(first.run_dir, "web1.save")
        self.assertIsNone(self.save(first, path)["error"])
        size = os.path.getsize(path)
        for change in ("flip", "cut"):
            with self.subTest(change=change):
                damaged = f"{path}.{change}"
                with open(path, "rb") as good:
                    data = bytearray(good.read())
                if change == "flip":
                    data[size // 2] ^= 1
                else:
                    del data[size * 3 // 4:]
                with open(damaged, "wb") as file:
                    file.write(data)
                operation = second.operation(
                    second.api("POST", "/v1/restore", {"path": damaged})["id"])
                self.assertEqual(operation["error"]["kind"], "data")
        restored = second.operation(second.api("POST", "/v1/restore", {"path": path})["id"])
        self.assertIsNone(restored["error"])
        case.check_domain(self, second, "web1")

    def test_snapshot_leaves_the_domain_running(self):
        first, second = self.hosts()
        self.create(first)
        path = os.path.join(first.run_dir, "web1.save")
        self.assertIsNone(self.save(first, path, leave="running")["error"])
        steps = case.check_domain(self, first, "web1")["steps"]
        restored = second.operation(
            second.api("POST", "/v1/restore", {"path": path, "name": "copy"})["id"])
        self.assertIsNone(restored["error"])
        self.assertLessEqual(case.check_domain(self, second, "copy")["errors"], 0)
        self.assertGreater(first.ask("web1", "status")["steps"], steps)
        self.assertNotEqual(first.domain("web1")["uuid"], second.domain("copy")["uuid"])


if __name__ == "__main__":
    case.main()
