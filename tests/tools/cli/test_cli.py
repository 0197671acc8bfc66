#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each command's request, what it prints (plain and --json), and its exit code."""

import json
import os
import signal
import socket
import threading

import daemon_script
from daemon_script import ID, WEB1, CliTest, error, moved, operation

KINDS = {"internal": 1, "usage": 2, "config": 3, "not-found": 4, "conflict": 5, "host": 6, "network": 7,
         "refused": 8, "data": 9, "cancelled": 10, "storage": 11, "unresolved": 12}

NO_CONTENT = (204, None)
MIGRATE = ("POST", "/v1/domains/web1/migrate")
OPERATION = ("GET", "/v1/operations/" + ID)
SUMMARY = ("moved 'web1' to host2:4411 in 2.10 s: pause 1.42 ms, 5 rounds, 1.30 GiB sent, "
           "digest 00112233445566778899aabbccddeeff, audit ok\n")


class Wrong(CliTest):
    """Wrong usage: one sentence, the right code, and no request."""

    def check(self, status, *args, parts=()):
        out, err = self.xmigrate(*args, status=status)
        self.assertEqual(out, "")
        self.assert_one_sentence(err, *parts)

    def test_usage(self):
        for args, part in (
                ((), "command is missing"),
                (("lst",), "unknown command 'lst'"),
                (("help", "lst"), "unknown command 'lst'"),
                (("--nonsense", "list"), "--nonsense"),
                (("list", "-x"), "-x"),
                (("list", "--run-dir"), "--run-dir"),
                (("migrate", "web1"), "DOMAIN HOST"),
                (("migrate", "web1", "host2", "host3"), "'host3'"),
                (("--live", "web1"), "DOMAIN HOST"),
                (("migrate", "--live=yes", "web1", "host2"), "--live=yes"),
                (("migrate", "--live", "--no-live", "web1", "host2"), "exclude"),
                (("migrate", "--bandwidth", "100", "web1", "host2"), "100MB/s"),
                (("migrate", "--bandwidth", "100Mb/s", "web1", "host2"), "100Mb/s"),
                (("migrate", "--max-downtime", "soon", "web1", "host2"), "300ms"),
                (("migrate", "--max-downtime", "2000min", "web1", "host2"), "hour"),
                (("migrate", "--max-bytes", "99999999999TiB", "web1", "host2"), "too large"),
                (("migrate", "--max-bytes", "9300000000GB", "web1", "host2"), "too large"),
                (("migrate", "--channels", "17", "web1", "host2"), "1 to 16"),
                (("migrate", "--max-rounds", "0", "web1", "host2"), "max_rounds"),
                (("migrate", "--zstd=20", "web1", "host2"), "1 to 19"),
                (("save", "-c", "-p", "web1", "file"), "exclude"),
                (("limits", "web1"), "no limit"),
                (("operations", "web1"), "32 hex digits"),
                (("operations", "--follow"), "ID"),
                (("resolve", "--keep", "--discard", "web1"), "exclude"),
                (("shutdown", "--timeout", "x", "web1"), "'x'"),
                (("shutdown", "--timeout", "999999999", "web1"), "604800 seconds"),
                (("report", "--timeout", "2min", "web1"), "60 seconds"),
                (("report", "--after", "-1", "web1"), "'-1'"),
                (("info", ""), "empty"),
                (("list", "--socket", "/" + "x" * 200), "too long")):
            with self.subTest(args):
                self.check(2, *args, parts=(part,))

    def test_no_daemon(self):
        self.check(6, "list", parts=(self.run_dir + "/api.sock", "start xmigrated"))

    def test_socket_without_a_daemon(self):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(os.path.join(self.run_dir, "api.sock"))
        self.check(6, "list", parts=("Connection refused", "start xmigrated"))

    def test_something_else_at_the_socket(self):
        self.start_daemon({("GET", "/v1/domains"): (200, b"<html>hello</html>"),
                           ("GET", "/v1/domains/web1"): (500, b"oops"),
                           ("GET", "/v1/events"): "die"})
        self.check(9, "list", parts=("is it xmigrated?",))
        self.check(9, "info", "web1", parts=("500",))
        self.check(6, "events", parts=("went away",))

    def test_config_files(self):
        self.start_daemon({})
        for name, data in (("nul.cfg", b"name\0"), ("latin1.cfg", b'name="\xe9"')):
            with open(os.path.join(self.run_dir, name), "wb") as file:
                file.write(data)
        self.check(4, "create", "missing.cfg", parts=("missing.cfg", "No such file"))
        self.check(11, "create", "/", parts=("not a regular file",))
        self.check(3, "create", "nul.cfg", parts=("nul.cfg", "NUL"))
        self.check(3, "create", "latin1.cfg", parts=("latin1.cfg", "UTF-8"))
        for word in ("memory", "=5", "Memory=5", "a b=5", "name=a\"b'c", "name=a\nmemory=1"):
            with self.subTest(word):
                with open(os.path.join(self.run_dir, "web1.cfg"), "w", encoding="ascii") as file:
                    file.write('name = "web1"')
                self.check(2, "create", "web1.cfg", word)
        self.assertEqual(self.daemon.requests, [])

    def test_every_kind_is_an_exit_code(self):
        answers = {}
        for kind in KINDS:
            answers["POST", f"/v1/domains/{kind}/pause"] = (409, error(kind, f"this is {kind}."))
        self.start_daemon(answers)
        for kind, code in KINDS.items():
            with self.subTest(kind):
                self.check(code, "pause", kind, parts=(f"this is {kind}.",))

    def test_unknown_domain_has_a_hint(self):
        self.start_daemon({("GET", "/v1/domains/web9"): (404, error("not-found", "no domain 'web9' is here"))})
        self.check(4, "info", "web9", parts=("web9", "xmigrate list"))

    def test_a_name_cannot_step_out_of_its_place_in_the_path(self):
        self.start_daemon({})
        self.xmigrate("info", "../version", status=4)
        self.xmigrate("info", "..", status=4)
        self.xmigrate("info", "a?b#c", status=4)
        self.assertEqual([request.path for request in self.daemon.requests],
                         ["/v1/domains/..%2Fversion", "/v1/domains/..", "/v1/domains/a%3Fb%23c"])

    def test_text_from_outside_cannot_steer_the_terminal(self):
        self.start_daemon({("GET", "/v1/domains/web1"): (409, error("conflict", "a\x1b[2Jb\nc\u009bd"))})
        self.check(5, "info", "web1", parts=("a\\x1b[2Jb\\x0ac\\x9bd",))

    def test_answers_of_other_shapes_do_no_harm(self):
        commands = {
            ("info", "web1"): "/v1/domains/web1", ("console", "web1"): "/v1/domains/web1",
            ("cancel", "web1"): "/v1/domains/web1", ("list",): "/v1/domains", ("list", "-l"): "/v1/domains",
            ("operations",): "/v1/operations", ("operations", ID): "/v1/operations/" + ID,
            ("operations", "-f", ID): "/v1/operations/" + ID, ("events",): "/v1/events",
            ("report", "web1"): "/v1/domains/web1/report", ("version",): "/v1/version"}
        strange = [None, True, -1, 1e308, -9223372036854775808, "x" * 5000, "%s%n", [], [1], {}, {"a": [{}]}]
        keys = [*WEB1, *operation(1), "domains", "operations", "events", "line", "listen", "host"]
        for value in strange:
            answer = {key: value for key in keys}
            answer.update(finished=True, domains=[value, WEB1], operations=[value], vcpu=[value], events=[value])
            if isinstance(value, dict):
                answer["error"] = {"kind": "data", "text": value}
            daemon = daemon_script.Daemon(os.path.join(self.run_dir, "api.sock"),
                                          {("GET", path): (200, answer) for path in commands.values()})
            try:
                for args in commands:
                    with self.subTest(args=args, value=str(value)[:20]):
                        process = self.start(*args)
                        process.communicate(timeout=60)
                        self.assertIn(process.returncode, [0, *range(2, 13)])  # 1 is a defect, or a sanitizer
            finally:
                daemon.stop()

    def test_output_that_cannot_be_written(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        self.start_daemon({("GET", "/v1/domains"): (200, {"domains": [WEB1]})})
        with open("/dev/full", "w", encoding="ascii") as full:
            _, err = self.xmigrate("list", status=11, stdout=full)
        self.assert_one_sentence(err, "No space left")


class Commands(CliTest):
    """One request each, and what is printed of its answer."""

    def check(self, answers, args, requests, out=None, status=0):
        daemon = self.start_daemon(answers)
        printed, err = self.xmigrate(*args, status=status)
        self.assertEqual([tuple(request) for request in daemon.requests], requests)
        if status == 0:
            self.assertEqual(err, "")
        if out is not None:
            self.assertEqual(printed, out)
        return printed

    def test_create(self):
        with open(os.path.join(self.run_dir, "web1.cfg"), "w", encoding="ascii") as file:
            file.write('name = "web1"')
        text = 'name = "web1"\nmemory=512\nname="web2"\npayload_args=\'a="b"\'\nlist=["x"]\n'
        self.check({("POST", "/v1/domains"): (201, WEB1)},
                   ("create", "-p", "web1.cfg", "memory=512", "name=web2", 'payload_args=a="b"', 'list=["x"]'),
                   [("POST", "/v1/domains", {"config": text, "paused": True,
                                             "config_path": os.path.realpath(self.run_dir) + "/web1.cfg"})],
                   "created 'web1', id 3, running\n")

    def test_list(self):
        out = self.check({("GET", "/v1/domains"): (200, {"domains": [WEB1]})}, ("list",),
                         [("GET", "/v1/domains", None)])
        head, row = out.splitlines()
        self.assertEqual(head.split(), ["Name", "ID", "Mem", "VCPUs", "State", "Time(s)"])
        self.assertEqual(row.split(), ["web1", "3", "1024", "2", "running", "12.3"])

    def test_list_names(self):
        self.check({("GET", "/v1/domains"): (200, {"domains": [WEB1]})}, ("list", "--names"),
                   [("GET", "/v1/domains", None)], "web1\n")

    def test_list_some_as_json(self):
        out = self.check({("GET", "/v1/domains/web1"): (200, WEB1)}, ("list", "--json", "web1"),
                         [("GET", "/v1/domains/web1", None)])
        self.assertEqual(json.loads(out), {"domains": [WEB1]})
        self.assertEqual(out.count("\n"), 1)

    def test_list_long_is_info(self):
        self.start_daemon({("GET", "/v1/domains"): (200, {"domains": [WEB1]}),
                           ("GET", "/v1/domains/web1"): (200, {**WEB1, "crash": "triple\x1bfault"})})
        long, _ = self.xmigrate("list", "-l")
        info, _ = self.xmigrate("info", "web1")
        for part in (WEB1["uuid"], "1.00 GiB", "12.3 s", "bitmap", "4242", "17 exits"):
            self.assertIn(part, long)
            self.assertIn(part, info)
        self.assertIn("triple\\x1bfault", info)
        verbose, _ = self.xmigrate("-v", "info", "web1")
        self.assertIn('    name = "web1"\n', verbose)

    def test_dirty_pages_that_nobody_counts(self):
        vcpu = {**WEB1["vcpu"][0], "dirty_pages": None}
        self.start_daemon({("GET", "/v1/domains/web1"): (200, {**WEB1, "vcpu": [vcpu]})})
        info, _ = self.xmigrate("info", "web1")
        self.assertIn("17 exits, - pages dirtied", info)

    def test_simple_requests(self):
        for args, request in (
                (("pause", "web1"), ("POST", "/v1/domains/web1/pause", None)),
                (("unpause", "web1"), ("POST", "/v1/domains/web1/unpause", None)),
                (("destroy", "web1"), ("DELETE", "/v1/domains/web1", None)),
                (("shutdown", "web1"), ("POST", "/v1/domains/web1/shutdown", {"wait_ms": 0})),
                (("shutdown", "-w", "web1"), ("POST", "/v1/domains/web1/shutdown", {"wait_ms": 60000})),
                (("shutdown", "--timeout", "1.5", "web1"),
                 ("POST", "/v1/domains/web1/shutdown", {"wait_ms": 1500})),
                (("input", "web1", "gap id=1"), ("POST", "/v1/domains/web1/input", {"text": "gap id=1\n"})),
                (("input", "-n", "web1", "--", "-x"), ("POST", "/v1/domains/web1/input", {"text": "-x"})),
                (("cancel", ID), ("DELETE", "/v1/operations/" + ID, None))):
            with self.subTest(args):
                daemon = daemon_script.Daemon(os.path.join(self.run_dir, "api.sock"),
                                              {request[:2]: NO_CONTENT})
                try:
                    self.assertEqual(self.xmigrate(*args), ("", ""))
                    self.assertEqual([tuple(seen) for seen in daemon.requests], [request])
                finally:
                    daemon.stop()

    def test_report(self):
        answers = {("GET", "/v1/domains/web1/report"): (200, {"sequence": 7, "line": "gap_ms=1.2\x07"})}
        self.check(answers, ("report", "--after", "6", "--timeout", "2s", "web1"),
                   [("GET", "/v1/domains/web1/report?after=6&wait_ms=2000", None)], "gap_ms=1.2\\x07\n")

    def test_no_report(self):
        answers = {("GET", "/v1/domains/web1/report"): (200, {"sequence": 0, "line": ""})}
        self.check(answers, ("report", "web1"), [("GET", "/v1/domains/web1/report?after=0&wait_ms=0", None)], "",
                   status=5)

    def test_shutdown_that_takes_longer_than_it_may(self):
        refusal = (409, error("conflict", "'web1' still runs"))
        self.check({("POST", "/v1/domains/web1/shutdown"): refusal}, ("shutdown", "--timeout", "2min", "web1"),
                   [("POST", "/v1/domains/web1/shutdown", {"wait_ms": 60000})], "", status=5)

    def test_cancel_by_domain(self):
        self.check({("GET", "/v1/domains/web1"): (200, {**WEB1, "operation": ID}),
                    ("DELETE", "/v1/operations/" + ID): NO_CONTENT}, ("cancel", "web1"),
                   [("GET", "/v1/domains/web1", None), ("DELETE", "/v1/operations/" + ID, None)], "")

    def test_cancel_of_nothing(self):
        self.check({("GET", "/v1/domains/web1"): (200, WEB1)}, ("cancel", "web1"),
                   [("GET", "/v1/domains/web1", None)], "", status=5)

    def test_limits(self):
        limits = {"max_downtime_ms": 0.5, "bandwidth": 100_000_000, "max_rounds": 9, "max_bytes": 1 << 30}
        out = self.check({("PATCH", "/v1/operations/" + ID): (200, operation(3))},
                         ("limits", ID, "--max-downtime", "500us", "--bandwidth", "100MB/s", "--max-rounds", "9",
                          "--max-bytes", "1GiB", "--json"),
                         [("PATCH", "/v1/operations/" + ID, limits)])
        self.assertEqual(json.loads(out), operation(3))

    def test_operations(self):
        self.start_daemon({("GET", "/v1/operations"): (200, {"operations": [moved()]}),
                           OPERATION: (200, moved())})
        listed, _ = self.xmigrate("operations")
        for part in (ID, "migrate", "web1", "committed", "host2:4411"):
            self.assertIn(part, listed.splitlines()[1])
        one, _ = self.xmigrate("operations", ID)
        self.assertIn("result.pause.total_ms: 1.42\n", one)
        as_json, _ = self.xmigrate("operations", "--json")
        self.assertEqual(json.loads(as_json), {"operations": [moved()]})
        followed, _ = self.xmigrate("operations", "--follow", ID)
        self.assertEqual(followed, SUMMARY)

    def test_resolve(self):
        key = ("POST", "/v1/domains/web1/resolve")
        daemon = self.start_daemon({key: (200, {"outcome": "aborted", "text": "it runs here"})})
        self.assertEqual(self.xmigrate("resolve", "web1")[0], "aborted: it runs here\n")
        self.xmigrate("resolve", "--keep", "web1")
        self.xmigrate("resolve", "--discard", "web1")
        self.assertEqual([request.body["action"] for request in daemon.requests], ["ask", "keep", "discard"])
        daemon.answers[key] = (200, {"outcome": "unknown", "text": "host2 does not answer"})
        _, err = self.xmigrate("resolve", "web1", status=12)
        self.assert_one_sentence(err, "host2 does not answer")

    def test_events(self):
        events = [{"sequence": 4, "at": "2026-11-21T00:00:00Z", "domain": "web1", "what": "created",
                   "text": "created\x1b"},
                  {"sequence": 5, "at": "2026-11-21T00:00:01Z", "domain": None, "what": "alarm", "text": "x"}]
        self.start_daemon({("GET", "/v1/events"): (200, {"events": events, "next": 6})})
        out, _ = self.xmigrate("events")
        self.assertEqual(out.splitlines()[0].split(), ["2026-11-21T00:00:00Z", "web1", "created", "created\\x1b"])
        out, _ = self.xmigrate("events", "--json")
        self.assertEqual([json.loads(line) for line in out.splitlines()], events)

    def test_events_follow(self):
        def event(sequence):
            return {"sequence": sequence, "at": "-", "domain": None, "what": "alarm", "text": str(sequence)}

        def answer(*sequences):
            return 200, {"events": [event(number) for number in sequences], "next": sequences[-1]}

        end = (409, error("conflict", "enough"))
        out = self.check({("GET", "/v1/events"): [answer(1, 2), answer(3), "die", answer(1), end]},
                         ("--json", "events", "-f"),
                         [("GET", "/v1/events?after=0&wait_ms=0", None),
                          ("GET", "/v1/events?after=2&wait_ms=60000", None),
                          ("GET", "/v1/events?after=3&wait_ms=60000", None),
                          ("GET", "/v1/events?after=0&wait_ms=60000", None),
                          ("GET", "/v1/events?after=1&wait_ms=60000", None)], status=5)
        self.assertEqual([json.loads(line)["sequence"] for line in out.splitlines()], [1, 2, 3, 1])

    def test_version(self):
        out, _ = self.xmigrate("version")
        self.assertIn("xmigrated: not running at " + self.run_dir, out)
        version = {"version": "0.1.0", "api": 1, "stream": "1.0", "listen": ["127.0.0.1:4411"],
                   "host": {"name": "host1", "cpus": 2, "memory_bytes": 1 << 33, "memory_free_bytes": 1 << 32,
                            "memory_reserved_bytes": 0}}
        self.start_daemon({("GET", "/v1/version"): (200, version)})
        out, _ = self.xmigrate("version")
        for part in ("xmigrate 0.1.0", "xmigrated 0.1.0", "host1", "8.00 GiB", "127.0.0.1:4411"):
            self.assertIn(part, out)
        out, _ = self.xmigrate("--json", "version")
        self.assertEqual(json.loads(out), {"client": "0.1.0", "daemon": version})

    def test_socket_option(self):
        daemon = daemon_script.Daemon(os.path.join(self.run_dir, "other"), {("GET", "/v1/domains"):
                                                                             (200, {"domains": []})})
        self.addCleanup(daemon.stop)
        self.xmigrate("--socket", "other", "list")
        self.assertEqual(len(daemon.requests), 1)


class Moves(CliTest):
    """migrate, save and restore: from the request to the end."""

    def test_request_and_summary(self):
        daemon = self.start_daemon({MIGRATE: (202, operation(1)), OPERATION: (200, moved())})
        for args in (("--live", "web1", "host2"), ("migrate", "web1", "host2"),
                     ("migrate", "--live", "web1", "host2")):
            out, _ = self.xmigrate(*args)
            self.assertEqual(out, SUMMARY)
            self.assertEqual(tuple(daemon.requests[0]), (*MIGRATE, {"to": "host2:4411", "live": True}))
            daemon.requests.clear()

    def test_all_options(self):
        daemon = self.start_daemon({MIGRATE: (202, operation(1)), OPERATION: (200, moved())})
        self.xmigrate("migrate", "--no-live", "--max-downtime", "0.3s", "--bandwidth", "1GiB/s", "--channels", "4",
                      "--max-rounds", "7", "--max-bytes", "8GiB", "--zstd=3", "--congestion", "cubic", "web1",
                      "::1")
        self.assertEqual(daemon.requests[0].body,
                         {"to": "[::1]:4411", "live": False, "max_downtime_ms": 300.0, "bandwidth": 1 << 30,
                          "channels": 4, "max_rounds": 7, "max_bytes": 8 << 30, "zstd_level": 3,
                          "congestion": "cubic"})

    def test_hosts(self):
        daemon = self.start_daemon({MIGRATE: (202, operation(1))})
        for host, peer in (("host2", "host2:4411"), ("host2:99", "host2:99"), ("fe80::1", "[fe80::1]:4411"),
                           ("[::1]", "[::1]:4411"), ("[::1]:99", "[::1]:99"), ("127.0.0.2", "127.0.0.2:4411")):
            out, err = self.xmigrate("migrate", "--detach", "web1", host)
            self.assertEqual((out, err), (ID + "\n", ""))
            self.assertEqual(daemon.requests.pop().body["to"], peer)

    def test_plain_progress(self):
        answers = [(200, operation(2, "negotiate", round=0)), (200, operation(3, round=1, eta_ms=0)), (200, operation(3, round=2, wire_bytes=1 << 30)),
                   (200, operation(4, round=2, wire_bytes=1 << 30)),
                   (200, operation(5, "stop-and-copy", round=2)),
                   (200, {**moved(6), "finished": False}), (200, moved())]
        daemon = self.start_daemon({MIGRATE: (202, operation(1)), OPERATION: answers})
        out, err = self.xmigrate("migrate", "web1", "host2")
        self.assertEqual(out, SUMMARY)
        lines = err.splitlines()
        self.assertEqual([line.split(",")[0] for line in lines],
                         ["web1: negotiate", "web1: pre-copy", "web1: pre-copy", "web1: stop-and-copy",
                          "web1: committed"])
        self.assertEqual(lines[0], "web1: negotiate")
        self.assertNotIn("ETA", lines[1])
        self.assertEqual(lines[4], "web1: committed, round 5, sent 1.30 GiB")
        self.assertEqual(lines[2], "web1: pre-copy, round 2, sent 1.00 GiB, remaining 1.00 GiB, dirty rate 203 MB/s, "
                                   "bandwidth 1.20 GB/s, predicted pause 3.25 ms, ETA 900 ms")
        self.assertEqual([request.path.split("?")[1].split("&")[0] for request in daemon.requests[1:]],
                         ["after=0", "after=2", "after=3", "after=3", "after=4", "after=5", "after=6"])

    def test_json_and_quiet(self):
        self.start_daemon({MIGRATE: (202, operation(1)), OPERATION: [(200, operation(2)), (200, moved())] * 2})
        out, err = self.xmigrate("--json", "migrate", "web1", "host2")
        self.assertEqual((json.loads(out), err), (moved(), ""))
        self.assertEqual(self.xmigrate("-q", "migrate", "web1", "host2"), ("", ""))

    def test_verbose_shows_the_pause(self):
        self.start_daemon({MIGRATE: (202, operation(1)), OPERATION: (200, moved())})
        out, _ = self.xmigrate("-v", "migrate", "web1", "host2")
        self.assertIn("pause: kick 0.10 ms, quiesce 0.10 ms, state 0.20 ms, last pages 0.30 ms", out)

    def test_failures(self):
        for kind, code in (("refused", 8), ("network", 7), ("cancelled", 10), ("unresolved", 12)):
            with self.subTest(kind):
                end = operation(9, "aborted", True, error={"kind": kind, "text": "it was " + kind})
                daemon = daemon_script.Daemon(os.path.join(self.run_dir, "api.sock"),
                                              {MIGRATE: (202, operation(1)), OPERATION: (200, end)})
                try:
                    _, err = self.xmigrate("-q", "migrate", "web1", "host2", status=code)
                    self.assert_one_sentence(err, "it was " + kind)
                    out, _ = self.xmigrate("--json", "migrate", "web1", "host2", status=code)
                    self.assertEqual(json.loads(out), end)
                finally:
                    daemon.stop()

    def test_an_audit_that_fails_is_a_failure(self):
        self.start_daemon({MIGRATE: (202, operation(1)), OPERATION: (200, moved(audit_pages=3))})
        out, err = self.xmigrate("migrate", "web1", "host2", status=9)
        self.assertIn("audit FAILED", out)
        self.assertIn("3 pages of 'web1'", err)

    def test_daemon_restart(self):
        gone = threading.Event()

        def die(_):
            gone.set()
            return "die"

        first = daemon_script.Daemon(os.path.join(self.run_dir, "api.sock"),
                                     {MIGRATE: (202, operation(1)), OPERATION: [(200, operation(7)), die]})
        process = self.start("migrate", "web1", "host2")
        self.assertTrue(gone.wait(30))
        first.stop()
        for line in process.stderr:
            if "no answer from the daemon" in line:
                break
        second = self.start_daemon({OPERATION: (200, moved(2))})
        out, _ = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (0, SUMMARY))
        self.assertIn("after=0", second.requests[0].path)

    def test_a_daemon_that_cannot_answer_now_is_asked_again(self):
        answers = [(200, operation(2)), (502, error("network", "the process did not answer")),
                   (503, error("host", "it stops")), (200, moved())]
        self.start_daemon({MIGRATE: (202, operation(1)), OPERATION: answers})
        out, err = self.xmigrate("migrate", "web1", "host2")
        self.assertEqual(out, SUMMARY)
        self.assertEqual(err.count("no answer from the daemon"), 1)

    def test_an_operation_that_nobody_knows_any_more(self):
        self.start_daemon({MIGRATE: (202, operation(1)),
                           OPERATION: [(200, operation(2)), (404, error("not-found", "no such operation"))]})
        _, err = self.xmigrate("-q", "migrate", "web1", "host2", status=4)
        self.assert_one_sentence(err, "no such operation")

    def interrupt_at(self, answers, number=signal.SIGINT):
        """Starts a migration, and sends the signal while the program waits in its second long poll."""
        waiting = threading.Event()
        release = threading.Event()

        def hold(_):
            waiting.set()
            release.wait(30)
            return 200, operation(3)

        self.addCleanup(release.set)
        daemon = self.start_daemon({MIGRATE: (202, operation(1)), **answers})
        daemon.answers[OPERATION] = [(200, operation(2)), hold, *answers.get(OPERATION, [])]
        process = self.start("migrate", "web1", "host2")
        self.assertTrue(waiting.wait(30))
        process.send_signal(number)
        return daemon, process

    def test_interrupt_cancels(self):
        end = operation(9, "aborted", True, error={"kind": "cancelled", "text": "cancelled by the operator"})
        daemon, process = self.interrupt_at({("DELETE", "/v1/operations/" + ID): NO_CONTENT,
                                             OPERATION: [(200, end)]})
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (10, ""))
        self.assertIn("cancelling", err)
        self.assertTrue(err.endswith("xmigrate: cancelled, 'web1' goes on here: cancelled by the operator\n"), err)
        self.assertIn(("DELETE", "/v1/operations/" + ID, None), [tuple(request) for request in daemon.requests])

    def test_interrupt_too_late_waits_for_the_end(self):
        _, process = self.interrupt_at({("DELETE", "/v1/operations/" + ID): (409, error("conflict", "too late")),
                                        OPERATION: [(200, moved())]})
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (0, SUMMARY))
        self.assertIn("not cancelled: too late", err)

    def test_second_interrupt_leaves(self):
        second = threading.Event()
        release = threading.Event()
        self.addCleanup(release.set)

        def hold(_):
            second.set()
            release.wait(30)
            return 200, operation(4)

        daemon, process = self.interrupt_at({("DELETE", "/v1/operations/" + ID): NO_CONTENT, OPERATION: [hold]})
        self.assertTrue(second.wait(30))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 10)
        self.assertIn("xmigrate operations --follow " + ID, err)
        self.assertEqual(sum(request.method == "DELETE" for request in daemon.requests), 1)

    def test_terminate_leaves_at_once(self):
        daemon, process = self.interrupt_at({}, signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 10)
        self.assertIn("left operation", err)
        self.assertNotIn("DELETE", [request.method for request in daemon.requests])

    def test_save(self):
        end = {**moved(), "kind": "save", "peer": self.run_dir + "/web1.xm\x1b"}
        daemon = self.start_daemon({("POST", "/v1/domains/web1/save"): (202, operation(1)), OPERATION: (200, end)})
        for args, body in ((("web1", "web1.xm"), {"leave": "destroy"}), (("-c", "web1", "web1.xm"), {"leave": "running"}),
                           (("--zstd", "-p", "web1", "web1.xm"), {"leave": "paused", "zstd_level": 1})):
            out, _ = self.xmigrate("save", *args)
            self.assertTrue(out.startswith(f"saved 'web1' to {self.run_dir}/web1.xm\\x1b in 2.10 s"), out)
            self.assertEqual(daemon.requests[0].body, {"path": os.path.realpath(self.run_dir) + "/web1.xm", **body})
            daemon.requests.clear()

    def test_restore(self):
        end = {**moved(), "kind": "restore", "peer": "/tmp/web1.xm"}
        daemon = self.start_daemon({("POST", "/v1/restore"): (202, operation(1)), OPERATION: (200, end)})
        out, _ = self.xmigrate("restore", "-p", "--name", "web2", "/tmp/web1.xm")
        self.assertTrue(out.startswith("restored 'web1' from /tmp/web1.xm in 2.10 s: 1.30 GiB read"), out)
        self.assertEqual(daemon.requests[0].body, {"path": "/tmp/web1.xm", "paused": True, "name": "web2"})
        self.xmigrate("restore", "/tmp/web1.xm")
        self.assertEqual(daemon.requests[-2].body, {"path": "/tmp/web1.xm", "paused": False})


if __name__ == "__main__":
    daemon_script.main()
