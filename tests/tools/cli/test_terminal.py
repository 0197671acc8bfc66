#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What only a terminal shows: the live block, and the console's raw mode and its way back."""

import os
import pty
import re
import signal
import socket
import subprocess
import termios
import threading

import daemon_script
from daemon_script import ID, WEB1, CliTest, moved, operation


class Terminal(CliTest):
    def setUp(self):
        super().setUp()
        self.ours, self.theirs = pty.openpty()
        self.addCleanup(os.close, self.ours)
        self.addCleanup(os.close, self.theirs)
        self.before = termios.tcgetattr(self.theirs)

    def read_until(self, pattern):
        seen = b""
        while not re.search(pattern, seen):
            chunk = os.read(self.ours, 4096)
            self.assertTrue(chunk)
            seen += chunk
        return seen.decode()


class LiveBlock(Terminal):
    def test_block_is_redrawn_and_erased(self):
        seen = threading.Event()

        def last(_):
            seen.wait(30)
            return 200, moved()

        self.start_daemon({
            ("POST", "/v1/domains/web1/migrate"): (202, operation(1)),
            ("GET", "/v1/operations/" + ID): [(200, operation(2, remaining_bytes=1 << 29)),
                                              (200, operation(3, round=2)), last]})
        process = self.start("migrate", "web1", "host2", stderr=self.theirs)
        drawn = self.read_until(rb"round 2.*\n.*\n.*predicted pause")
        seen.set()
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertTrue(out.startswith("moved 'web1' to host2:4411 in 2.10 s"))
        self.assertIn("migrate web1 to host2:4411: pre-copy, round 1", drawn)
        self.assertIn("[" + "#" * 20 + "." * 20 + "]  50 %", drawn)
        self.assertIn("sent 0 B, bandwidth 1.20 GB/s, dirty rate 203 MB/s, predicted pause 3.25 ms", drawn)
        self.assertIn("\x1b[3A\r\x1b[J", drawn)  # the first block gave way to the second


class Console(Terminal):
    def setUp(self):
        super().setUp()
        path = os.path.join(self.run_dir, "console.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.listener.settimeout(30)
        self.addCleanup(self.listener.close)
        self.start_daemon({("GET", "/v1/domains/web1"): (200, {**WEB1, "console": path})})

    def attach(self):
        process = self.start("console", "web1", stdin=self.theirs, stderr=self.theirs)
        domain, _ = self.listener.accept()
        self.addCleanup(domain.close)
        domain.settimeout(30)
        self.read_until(rb"attached to 'web1'.*\n")
        self.assertFalse(termios.tcgetattr(self.theirs)[3] & (termios.ECHO | termios.ICANON | termios.ISIG))
        return process, domain

    def assert_restored(self):
        self.assertEqual(termios.tcgetattr(self.theirs), self.before)

    def test_both_ways_and_escape(self):
        process, domain = self.attach()
        domain.sendall(b"hello\r\n")
        self.assertEqual(os.read(process.stdout.fileno(), 100), b"hello\r\n")
        os.write(self.ours, b"ls\x03\r\x1dnot sent")  # Ctrl-C is the domain's; Ctrl-] is ours
        self.assertEqual(domain.recv(100), b"ls\x03\r")
        self.assertEqual(process.wait(30), 0)
        self.assertEqual(domain.recv(100), b"")
        self.assert_restored()
        process.communicate()

    def test_end_of_the_domain(self):
        process, domain = self.attach()
        domain.sendall(b"bye")
        domain.close()
        out, _ = process.communicate(timeout=30)
        self.assertEqual((process.returncode, out), (0, "bye"))
        self.assert_restored()

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            with self.subTest(number):
                process, _ = self.attach()
                process.send_signal(number)
                process.communicate(timeout=30)
                self.assertEqual(process.returncode, -number)
                self.assert_restored()

    def test_without_a_terminal(self):
        process = self.start("console", "web1", stdin=subprocess.PIPE)
        domain, _ = self.listener.accept()
        process.stdin.write("line\x1d\n")
        process.stdin.close()
        self.assertEqual(domain.recv(100), b"line\x1d\n")
        domain.sendall(b"answer")  # the end of input is not the end of output
        domain.close()
        self.assertEqual(process.stdout.read(), "answer")
        self.assertEqual(process.wait(30), 0)
        process.stdout.close()
        process.stderr.close()

    def test_create_with_console_attaches_before_it_runs(self):
        with open(os.path.join(self.run_dir, "web1.cfg"), "w", encoding="ascii") as file:
            file.write('name = "web1"\n')
        console = os.path.join(self.run_dir, "console.sock")
        self.daemon.answers["POST", "/v1/domains"] = (201, {**WEB1, "state": "paused", "console": console})
        self.daemon.answers["POST", "/v1/domains/web1/unpause"] = (204, None)
        process = self.start("create", "-c", "web1.cfg")
        domain, _ = self.listener.accept()
        domain.sendall(b"first words")
        domain.close()
        out, _ = process.communicate(timeout=30)
        self.assertEqual((process.returncode, out), (0, "first words"))
        self.assertEqual([(request.method, request.path) for request in self.daemon.requests],
                         [("POST", "/v1/domains"), ("POST", "/v1/domains/web1/unpause")])
        self.assertTrue(self.daemon.requests[0].body["paused"])

    def test_no_console(self):
        self.listener.close()
        os.unlink(os.path.join(self.run_dir, "console.sock"))
        _, err = self.xmigrate("console", "web1", status=5)
        self.assert_one_sentence(err, "console of 'web1'", "No such file")


if __name__ == "__main__":
    daemon_script.main()
