# SPDX-License-Identifier: Apache-2.0
"""A QEMU machine that runs a payload, and its live migration: the peer of bench/peer.

The guest is tests/guests/qemu: the payload's workload as it is, its calls through a mailbox in
guest memory (tests/guests/qemu/layout.h) that this program has mapped. Nothing here has a name in
the file system, and the processes end with this one.
"""
import collections
import ctypes
import fcntl
import json
import mmap
import os
import secrets
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time

PROGRAM = "qemu-system-x86_64"
WAIT_S = 120
UNLIMITED = 1 << 40  # bytes a second

# tests/guests/qemu/layout.h
MAILBOX = 0x8000
HEADER = struct.Struct("<IIQI4x")
INPUT, INPUT_MAX, REPORT_MAX = MAILBOX + HEADER.size, 64, 4096
REPORT = INPUT + INPUT_MAX
MAPPED = 0x10000
BELL_REPORT, BELL_EXIT = 1, 2

KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_GET_TSC_KHZ = 0xAE01, 0xAE41, 0xAEA3
PR_SET_PDEATHSIG = 1
CPUCLOCK_SCHED = 2
CLOCK_SAMPLES = 16

Outcome = collections.namedtuple("Outcome", "machine cpu_source_s cpu_target_s info")


class QemuError(Exception):
    """What QEMU, or the guest in it, said."""


def guest_tsc_khz():
    """The frequency of a new guest's TSC, as KVM has it."""
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    opened = [kvm]
    try:
        opened.append(fcntl.ioctl(kvm, KVM_CREATE_VM, 0))
        opened.append(fcntl.ioctl(opened[-1], KVM_CREATE_VCPU, 0))
        return fcntl.ioctl(opened[-1], KVM_GET_TSC_KHZ, 0)
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


def _end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _process_cpu_s(pid):
    """Of all its threads, those that have ended too; by the kernel's numbering of CPU clocks."""
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def _thread_cpu_s(pid, thread):
    with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user and system


class Machine:
    """One QEMU process with one vCPU. `enter` is a command prefix that enters its namespace."""

    def __init__(self, folder, memory_mib, khz, arguments, enter=(), incoming=False):
        """`folder` has the stub and the payload. An incoming machine waits for migrate()."""
        self.again = (folder, memory_mib, khz, arguments)
        self.khz = khz
        self.process = None
        self.console = b""
        self.events = collections.deque()
        self.pending = b""
        self.stderr = tempfile.TemporaryFile()
        memory = os.memfd_create("xm-peer-guest", 0)
        self.qmp, qmp = socket.socketpair()
        self.bell, bell = socket.socketpair()
        try:
            os.ftruncate(memory, memory_mib << 20)
            self.memory = mmap.mmap(memory, MAPPED)
            command = list(enter) + self._command(memory, qmp.fileno(), bell.fileno(), incoming)
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self.stderr, stderr=self.stderr,
                pass_fds=(memory, qmp.fileno(), bell.fileno()), preexec_fn=_end_with_parent)
        finally:
            os.close(memory)
            qmp.close()
            bell.close()
        self._next_message(time.monotonic() + WAIT_S)  # the greeting
        self.execute("qmp_capabilities")
        self.vcpu = self.execute("query-cpus-fast")[0]["thread-id"]

    def _command(self, memory, qmp, bell, incoming):
        folder, memory_mib, khz, arguments = self.again
        # Not every KVM offers the MSR of arch-capabilities, and the payload has no use for it.
        return [
            PROGRAM, "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot",
            "-accel", "kvm", "-cpu", "host,-arch-capabilities", "-smp", "1",
            "-machine", "pc,memory-backend=ram", "-m", f"{memory_mib}M",
            "-object", f"memory-backend-file,id=ram,size={memory_mib}M,share=on,"
                       f"mem-path=/proc/self/fd/{memory}",
            "-chardev", f"socket,id=qmp,fd={qmp}", "-mon", "chardev=qmp,mode=control",
            "-chardev", f"socket,id=bell,fd={bell}",
            "-device", "isa-debugcon,iobase=0xe9,chardev=bell",
            "-kernel", os.path.join(folder, "qemu-stub.elf"),
            "-initrd", os.path.join(folder, "dirty-qemu.elf"),
            "-append", f"tsc_khz={khz} {arguments}",
        ] + (["-incoming", "defer"] if incoming else [])

    def finish(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        self.memory.close()
        self.qmp.close()
        self.bell.close()
        self.stderr.close()

    # ------------------------------------------------------------------------- QMP

    def _receive(self, source, deadline):
        readable, _, _ = select.select([source], [], [], max(0, deadline - time.monotonic()))
        if not readable:
            raise TimeoutError(f"{PROGRAM} did not answer in time; console: {self.console!r}")
        data = source.recv(65536)
        if not data:
            self.process.wait(WAIT_S)
            self.stderr.seek(0)
            raise QemuError(f"{PROGRAM} ended: " + self.stderr.read().decode(errors="replace"))
        return data

    def _next_message(self, deadline):
        while b"\n" not in self.pending:
            self.pending += self._receive(self.qmp, deadline)
        line, self.pending = self.pending.split(b"\n", 1)
        return json.loads(line)

    def execute(self, command, **arguments):
        self.qmp.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            message = self._next_message(time.monotonic() + WAIT_S)
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise QemuError(f"{command}: {message['error']['desc']}")
            else:
                return message["return"]

    def wait_event(self, wanted, timeout=WAIT_S):
        """Waits for an event that `wanted` takes; those before it are forgotten."""
        deadline = time.monotonic() + timeout
        while True:
            message = (self.events.popleft() if self.events
                       else self._next_message(deadline))
            if "event" in message and wanted(message):
                return message

    # ---------------------------------------------------------------- the payload

    def _wait_bell(self, deadline):
        while True:
            for byte in self._receive(self.bell, deadline):
                if byte == BELL_REPORT:
                    return
                if byte == BELL_EXIT:
                    raise QemuError("the payload ended: " + self.console.decode(errors="replace"))
                self.console += bytes([byte])

    def _report(self):
        size = HEADER.unpack_from(self.memory, MAILBOX)[1]
        line = self.memory[REPORT:REPORT + min(size, REPORT_MAX)].decode(errors="replace")
        words = (word.split("=", 1) for word in line.split() if "=" in word)
        return {key: int(value) if value.isdigit() else value for key, value in words}

    def wait_ready(self):
        self._wait_bell(time.monotonic() + WAIT_S)
        report = self._report()
        if report.get("cmd") != "ready":
            raise QemuError(f"the payload is not ready: {report}")

    def ask(self, command):
        """Gives the payload a command and returns its answer."""
        ident = secrets.randbelow(1 << 31)
        text = f"{command} id={ident}\n".encode()
        assert len(text) <= INPUT_MAX
        self.memory[INPUT:INPUT + len(text)] = text
        self.memory[MAILBOX:MAILBOX + 4] = struct.pack("<I", len(text))
        deadline = time.monotonic() + WAIT_S
        while True:
            self._wait_bell(deadline)
            report = self._report()
            if report.get("id") == ident:
                return report

    def clock_offset_ns(self):
        """This host's clock less the guest's TSC as time, the least of some samples: a sample is
        late by the way that the bell has to go, which some go quickly."""
        samples = []
        for _ in range(CLOCK_SAMPLES):
            self.ask("status")
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            tsc = HEADER.unpack_from(self.memory, MAILBOX)[2]
            samples.append(now - tsc * 1000000 // self.khz)
        return min(samples)

    def engine_cpu_s(self):
        """CPU seconds of the process without its vCPU."""
        pid = self.process.pid
        return _process_cpu_s(pid) - _thread_cpu_s(pid, self.vcpu)

    # ------------------------------------------------------------------- migration

    def _set_migration(self, channels, downtime_ms):
        self.execute("migrate-set-capabilities", capabilities=[
            {"capability": "events", "state": True},
            {"capability": "multifd", "state": channels > 0}])
        parameters = {"max-bandwidth": UNLIMITED, "downtime-limit": downtime_ms}
        if channels:
            parameters["multifd-channels"] = channels
        self.execute("migrate-set-parameters", **parameters)

    def _listen(self, address):
        self.execute("migrate-incoming", uri=f"tcp:{address}:0")
        return self.execute("query-migrate")["socket-address"][0]["port"]

    def migrate(self, address, enter, channels, downtime_ms, timeout):
        """Moves the guest into a new machine, which listens at `address`; ends this one. With
        `channels`, by multifd. TimeoutError: it did not finish in time and goes on here."""
        target = Machine(*self.again, enter=enter, incoming=True)
        try:
            for machine in (self, target):
                machine._set_migration(channels, downtime_ms)
            uri = f"tcp:{address}:{target._listen(address)}"
            outcome = self._move(target, uri, timeout)
        except BaseException:
            target.finish()
            raise
        self.finish()
        return outcome

    def _move(self, target, uri, timeout):
        cpu = self.engine_cpu_s(), target.engine_cpu_s()
        self.execute("migrate", uri=uri)
        try:
            end = self.wait_event(_is_end, timeout)
        except TimeoutError:
            self.execute("migrate_cancel")
            self.wait_event(_is_end)
            raise
        if end["data"]["status"] != "completed":
            raise QemuError(f"the migration ended as {end['data']['status']}")
        # Its own end too: this event must not be taken for the end of its next move.
        target.wait_event(_is_end)
        return Outcome(target, self.engine_cpu_s() - cpu[0],
                       target.engine_cpu_s() - cpu[1], self.execute("query-migrate"))


def _is_end(message):
    return (message["event"] == "MIGRATION"
            and message["data"]["status"] in ("completed", "failed", "cancelled"))
