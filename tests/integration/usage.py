#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Wrong usage of the real programs: one clear sentence with what to do, and an exit code by kind."""
import os
import subprocess
import tempfile
import unittest

import case
from hosts import Hosts

USAGE, CONFIG, NOT_FOUND, CONFLICT, HOST, NETWORK = 2, 3, 4, 5, 6, 7

GOOD = """\
name = "web1"
memory = 16
payload = "{payload}"
"""


class Usage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        pair = Hosts(case.BUILD)
        cls.first, cls.second = pair.__enter__()
        cls.addClassCleanup(pair.__exit__, None, None, None)

    def fails(self, exit_code, *words, says=()):
        """One sentence on stderr, nothing on stdout, that exit code."""
        answer = self.first.cli(*words)
        self.assertEqual(answer.returncode, exit_code, answer.stderr)
        self.assertEqual(answer.stdout, "")
        self.assertEqual(len(answer.stderr.strip().splitlines()), 1, answer.stderr)
        self.assertTrue(answer.stderr.startswith("xmigrate: "), answer.stderr)
        for word in says:
            self.assertIn(word, answer.stderr)

    def config(self, text):
        path = os.path.join(self.first.run_dir, "test.cfg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.format(
                payload=os.path.abspath(os.path.join(case.BUILD, "tests/guests/idle.elf"))))
        return path

    def test_unknown_domain(self):
        for words in (["pause"], ["destroy"], ["console"], ["info"], ["shutdown"]):
            with self.subTest(words=words):
                self.fails(NOT_FOUND, *words, "nobody", says=["nobody"])
        self.fails(NOT_FOUND, "--live", "nobody", self.second.peer, says=["nobody"])
        self.fails(NOT_FOUND, "save", "nobody", "/tmp/nobody.save", says=["nobody"])

    def test_unknown_words(self):
        self.fails(USAGE, "explode", says=["explode"])
        self.fails(USAGE, "list", "--explode", says=["explode"])
        self.fails(USAGE, "pause")
        self.fails(USAGE, "migrate", "--bandwidth", "fast", "web1", "host2", says=["fast"])

    def test_unreachable_host(self):
        self.first.create("lonely", "idle", memory=16)
        self.addCleanup(self.first.api, "DELETE", "/v1/domains/lonely")
        self.fails(NETWORK, "-q", "--live", "lonely", f"{self.second.address}:1",
                   says=[self.second.address])
        self.fails(NETWORK, "-q", "--live", "lonely", "no-such-host.invalid", says=["no-such-host"])
        case.check_domain(self, self.first, "lonely")

    def test_no_daemon(self):
        with tempfile.TemporaryDirectory() as empty:
            answer = self.first.cli("--run-dir", empty, "list")
            self.assertEqual(answer.returncode, HOST, answer.stderr)
            self.assertIn(empty, answer.stderr)
            self.assertIn("xmigrated", answer.stderr)

    def test_bad_config_names_the_line(self):
        path = self.config(GOOD + 'vcpus = = 2\n')
        self.fails(CONFIG, "create", path, says=[path, "4"])
        path = self.config(GOOD + 'vcpu = 2\n')
        self.fails(CONFIG, "create", path, says=["vcpu"])
        path = self.config(GOOD.replace("16", "7"))
        self.fails(CONFIG, "create", path, says=["memory"])

    def test_config_cannot_be_read(self):
        self.fails(NOT_FOUND, "create", "/no/such/file.cfg", says=["/no/such/file.cfg"])

    def test_not_a_payload(self):
        path = self.config(GOOD.replace("{payload}", "/bin/true"))
        self.fails(CONFIG, "create", path, says=["/bin/true"])
        path = self.config(GOOD.replace("{payload}", "/etc/hostname"))
        self.fails(CONFIG, "create", path, says=["/etc/hostname"])
        path = self.config(GOOD.replace("{payload}", "/no/such.elf"))
        self.fails(NOT_FOUND, "create", path, says=["/no/such.elf"])
        self.assertEqual(self.first.domains(), {})
        self.assertEqual(self.first.vmm_pids(), [])

    def test_name_is_taken(self):
        path = self.config(GOOD)
        self.assertEqual(self.first.cli("create", path).returncode, 0)
        self.addCleanup(self.first.api, "DELETE", "/v1/domains/web1")
        self.fails(CONFLICT, "create", path, says=["web1"])

    def test_port_in_use(self):
        with tempfile.TemporaryDirectory() as folder:
            answer = subprocess.run(
                self.first._enter() + [
                    os.path.join(case.BUILD, "tools/xmigrated"), "--run-dir", folder + "/run",
                    "--state-dir", folder + "/state", "--listen", self.first.peer],
                capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(answer.returncode, CONFLICT, answer.stderr)
        self.assertIn(self.first.peer, answer.stderr)

    def test_second_daemon(self):
        answer = subprocess.run(
            self.first._enter() + [
                os.path.join(case.BUILD, "tools/xmigrated"), "--run-dir", self.first.run_dir,
                "--state-dir", self.first.state_dir, "--listen", self.first.address + ":4412"],
            capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(answer.returncode, CONFLICT, answer.stderr)
        self.assertIn(self.first.run_dir, answer.stderr)


@unittest.skipUnless(os.geteuid() == 0, "hiding /dev/kvm needs root")
class WithoutKvm(unittest.TestCase):
    """/dev/kvm hidden from the daemon, and so from its VMMs, by a mount namespace of the test's own."""

    def create_under(self, hide):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "web1.cfg")
            with open(path, "w", encoding="utf-8") as file:
                file.write(GOOD.format(payload=os.path.abspath(
                    os.path.join(case.BUILD, "tests/guests/idle.elf"))))
            tools = os.path.abspath(os.path.join(case.BUILD, "tools"))
            script = f"""
                {hide}
                mkfifo {folder}/ready
                {tools}/xmigrated --run-dir {folder}/run --state-dir {folder}/state \
                    --listen 127.0.0.1:4499 --ready-fd 5 5>{folder}/ready &
                daemon=$!
                read ready <{folder}/ready
                {tools}/xmigrate --run-dir {folder}/run create {path}
                code=$?
                kill $daemon
                wait $daemon
                exit $code
            """
            return subprocess.run(
                ["unshare", "--mount", "--net", "sh", "-c", "ip link set lo up\n" + script],
                capture_output=True, text=True, timeout=60, check=False)

    def test_missing(self):
        answer = self.create_under(
            "mount -t tmpfs none /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9")
        self.assertEqual(answer.returncode, HOST, answer.stderr)
        self.assertIn("/dev/kvm", answer.stderr)

    def test_not_kvm(self):
        answer = self.create_under("mount --bind /dev/null /dev/kvm")
        self.assertEqual(answer.returncode, HOST, answer.stderr)
        self.assertIn("/dev/kvm", answer.stderr)


if __name__ == "__main__":
    case.main()
