#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The man pages and the completion say what the program does: no more, no less."""

import os
import re
import shutil
import subprocess

import daemon_script
from daemon_script import WEB1, CliTest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
MAN = os.path.join(ROOT, "docs/man")
BASH = os.path.join(ROOT, "tools/cli/completion/xmigrate.bash")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Docs(CliTest):
    def setUp(self):
        super().setUp()
        self.synopses = self.xmigrate("help", "--synopsis")[0].splitlines()
        self.commands = [line.split()[0] for line in self.synopses]

    def options(self, command):
        """The options of a command, as its help lists them."""
        text = self.xmigrate("help", command)[0].split("\nGlobal options:")[0]
        return re.findall(r"^ +(?:-\w, +)?(--[a-z-]+)", text, re.MULTILINE)

    def test_synopses_are_the_man_pages(self):
        page = read(os.path.join(MAN, "xmigrate.1")).replace("\\-", "-")
        headings = re.findall(r"^\.SS (.*)$", page, re.MULTILINE)
        self.assertEqual([heading.strip('"') for heading in headings], self.synopses)

    def test_every_option_is_explained(self):
        page = read(os.path.join(MAN, "xmigrate.1")).replace("\\-", "-")
        sections = dict(re.findall(r'^\.SS "?([a-z]+)[^\n]*\n(.*?)(?=^\.S[SH] )', page, re.MULTILINE | re.DOTALL))
        self.assertEqual(list(sections), self.commands)
        for command in self.commands:
            for option in self.options(command):
                with self.subTest(command=command, option=option):
                    self.assertRegex(sections[command], re.escape(option) + r"(?![a-z-])")

    def test_help_of_each_command(self):
        for command in self.commands:
            self.assertTrue(self.xmigrate("help", command)[0].startswith(f"Usage: xmigrate {command} "))
            self.assertEqual(self.xmigrate(command, "--help"), self.xmigrate("help", command))

    def test_exit_codes_are_the_kinds(self):
        kinds = re.findall(r"XM_KIND_(\w+) = (\d+)", read(os.path.join(ROOT, "common/error.h")))
        page = read(os.path.join(MAN, "xmigrate.1"))
        status = page.split('.SH "EXIT STATUS"')[1].split("\n.SH")[0]
        documented = re.findall(r"^\.B (\d+) \(([a-z\\-]+)\)", status, re.MULTILINE)
        self.assertEqual([(number, name.replace("\\-", "-")) for number, name in documented],
                         [(number, name.lower().replace("_", "-")) for name, number in kinds if number != "0"])

    def test_mandoc_finds_nothing(self):
        if not shutil.which("mandoc"):
            self.skipTest("mandoc is not installed")
        for page in ("xmigrate.1", "xmigrate.cfg.5"):
            lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", os.path.join(MAN, page)],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(lint.stdout + lint.stderr, "")

    def complete(self, *words):
        """What bash offers for the last word."""
        script = ('source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _xmigrate; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        environment = {**self.environment, "PATH": os.path.dirname(daemon_script.XMIGRATE) + ":" + os.environ["PATH"]}
        shell = subprocess.run(["bash", "-c", script, BASH, "xmigrate", *words], env=environment, text=True,
                               capture_output=True, check=True, cwd=self.run_dir)
        self.assertEqual(shell.stderr, "")
        return shell.stdout.split()

    def test_completion_knows_commands_and_options(self):
        self.assertEqual(sorted(self.complete("")), sorted(self.commands))
        self.assertEqual(self.complete("mig"), ["migrate"])
        for command in self.commands:
            offered = self.complete(command, "--")
            for option in self.options(command):
                self.assertIn(option, offered, command)

    def test_completion_knows_domains(self):
        self.start_daemon({("GET", "/v1/domains"): (200, {"domains": [WEB1, {**WEB1, "name": "db"}]})})
        self.assertEqual(self.complete("migrate", "--live", "w"), ["web1"])
        self.assertEqual(self.complete("--live", ""), ["web1", "db"])
        self.assertEqual(self.complete("info", ""), ["web1", "db"])

    def test_completion_without_a_daemon_is_silent(self):
        self.assertEqual(self.complete("info", ""), [])


if __name__ == "__main__":
    daemon_script.main()
