# SPDX-License-Identifier: Apache-2.0
"""Two xmigrate hosts on one machine: for tests, benchmarks and the demonstration.

As root each host is a network namespace of its own, the two joined by a veth pair; otherwise
they are two loopback addresses. Everything made here (daemons, domains, namespaces, folders) is
gone when the `with` block ends, whatever happened inside.

    with Hosts(build) as (a, b):
        a.create("web1", "dirty", memory=64, args="working_set=16 rate=100")
        operation = a.migrate("web1", b)
        print(b.ask("web1", "verify"))
"""
import contextlib
import fcntl
import http.client
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SKIPPED = 77
WAIT_S = 120


class ApiError(Exception):
    """An error answer of the daemon: .kind and the sentence."""

    def __init__(self, status, error):
        super().__init__(error.get("text", ""))
        self.status = status
        self.kind = error.get("kind", "internal")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def parse_report(line):
    """'cmd=gap id=3 steps=10' as a dict, numbers as int."""
    words = (word.split("=", 1) for word in line.split() if "=" in word)
    return {key: int(value) if value.isdigit() else value for key, value in words}


class Host:
    """One host: its daemon and what lies in its run directory."""

    def __init__(self, name, build, folder, address, namespace=None):
        self.name = name
        self.build = build
        self.address = address
        self.namespace = namespace
        self.run_dir = os.path.join(folder, name)
        self.state_dir = os.path.join(folder, name + "-state")
        self.daemon = None
        self.port = 4411
        os.makedirs(self.run_dir)
        os.makedirs(self.state_dir)

    # ------------------------------------------------------------------ the daemon

    @property
    def peer(self):
        return f"{self.address}:{self.port}"

    @property
    def log(self):
        return os.path.join(self.run_dir, "xmigrated.log")

    def _enter(self):
        return ["ip", "netns", "exec", self.namespace] if self.namespace else []

    def start(self, faults=None):
        """Starts the daemon and waits until it says that it is ready. `faults` go to it and to
        the VMMs that it starts."""
        ready, write_end = os.pipe()
        os.set_inheritable(write_end, True)
        env = dict(os.environ)
        env.pop("XMIGRATE_FAULT", None)
        if faults:
            env["XMIGRATE_FAULT"] = faults
        with open(self.log, "ab") as log:
            self.daemon = subprocess.Popen(
                self._enter() + [
                    os.path.join(self.build, "tools/xmigrated"),
                    "--run-dir", self.run_dir, "--state-dir", self.state_dir,
                    "--listen", self.peer, "--ready-fd", str(write_end),
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, pass_fds=[write_end])
        os.close(write_end)
        with os.fdopen(ready) as pipe:
            if not pipe.readline():
                with open(self.log, encoding="utf-8", errors="replace") as log:
                    raise RuntimeError(f"xmigrated of {self.name} did not start:\n{log.read()}")
        return self

    def stop(self, how=signal.SIGTERM):
        """Ends the daemon; its domains run on."""
        if self.daemon:
            with contextlib.suppress(ProcessLookupError):
                self.daemon.send_signal(how)
            self.daemon.wait(WAIT_S)
            self.daemon = None

    # --------------------------------------------------------------------- the API

    def api(self, method, path, body=None, timeout=WAIT_S):
        connection = _UnixConnection(os.path.join(self.run_dir, "api.sock"), timeout)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        content = json.loads(data) if data else None
        if answer.status >= 400:
            raise ApiError(answer.status, (content or {}).get("error", {}))
        return content

    def cli(self, *words, **options):
        """Runs `xmigrate` against this host; returns the finished process."""
        return subprocess.run(
            [os.path.join(self.build, "tools/xmigrate"), "--run-dir", self.run_dir, *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_S,
            check=False, **options)

    # ------------------------------------------------------------------ domains

    def create(self, name, payload, memory=64, vcpus=1, args="", log_dirty="default", **settings):
        lines = [
            f'name = "{name}"', f"memory = {memory}", f"vcpus = {vcpus}",
            f'payload = "{os.path.join(self.build, "tests/guests", payload + ".elf")}"',
            f'payload_args = "{args}"', f'log_dirty = "{log_dirty}"',
        ] + [f'{key} = "{value}"' for key, value in settings.items()]
        info = self.api("POST", "/v1/domains", {
            "config": "\n".join(lines) + "\n", "config_path": f"{self.run_dir}/{name}.cfg",
            "paused": False})
        self.wait_report(name, "ready")
        return info

    def domain(self, name):
        return self.api("GET", f"/v1/domains/{name}")

    def domains(self):
        return {domain["name"]: domain for domain in self.api("GET", "/v1/domains")["domains"]}

    def wait_report(self, name, cmd, ident=None, timeout=WAIT_S):
        """Waits for the payload's report that answers `cmd` (with that id)."""
        after, deadline = 0, time.monotonic() + timeout
        while time.monotonic() < deadline:
            answer = self.api(
                "GET", f"/v1/domains/{name}/report?after={after}&wait_ms=5000")
            report = parse_report(answer["line"])
            if report.get("cmd") == cmd and (ident is None or report.get("id") == ident):
                return report
            after = answer["sequence"]
        raise TimeoutError(f"{name} on {self.name} did not answer '{cmd}' in {timeout} s")

    def ask(self, name, command, timeout=WAIT_S):
        """Gives the payload a console command and returns its answer."""
        ident = secrets.randbelow(1 << 31)
        self.api("POST", f"/v1/domains/{name}/input", {"text": f"{command} id={ident}\n"})
        return self.wait_report(name, command.split()[0], ident, timeout)

    # -------------------------------------------------------------- operations

    def operation(self, ident, timeout=WAIT_S):
        """Waits until an operation has finished and returns it."""
        after, deadline = 0, time.monotonic() + timeout
        while time.monotonic() < deadline:
            operation = self.api("GET", f"/v1/operations/{ident}?after={after}&wait_ms=5000")
            if operation["finished"]:
                return operation
            after = operation["sequence"]
        raise TimeoutError(f"operation {ident} on {self.name} did not finish in {timeout} s")

    def start_migrate(self, name, target, **options):
        to = target if isinstance(target, str) else target.peer
        options.setdefault("congestion", "cubic")
        return self.api("POST", f"/v1/domains/{name}/migrate", {"to": to, **options})["id"]

    def migrate(self, name, target, timeout=WAIT_S, **options):
        """Moves a domain and returns the finished operation; raises ApiError if it failed.

        Waits for the event of its end, not for each step of its progress, so that a benchmark
        does not measure its own questions."""
        after = self.api("GET", "/v1/events?after=0&wait_ms=0")["next"]
        ident = self.start_migrate(name, target, **options)
        self.wait_event(("migrated", "aborted", "unresolved"), name, timeout, after)
        operation = self.operation(ident, timeout)
        if operation["error"]:
            raise ApiError(0, operation["error"])
        return operation

    def _wait_operation(self, ident, reached, timeout):
        after, deadline = 0, time.monotonic() + timeout
        while time.monotonic() < deadline:
            operation = self.api("GET", f"/v1/operations/{ident}?after={after}&wait_ms=5000")
            if reached(operation) or operation["finished"]:
                return operation
            after = operation["sequence"]
        raise TimeoutError(f"operation {ident} did not come so far: {operation}")

    def wait_state(self, ident, states, timeout=WAIT_S):
        """Waits until an operation is in one of the states, or finished."""
        return self._wait_operation(ident, lambda now: now["state"] in states, timeout)

    def wait_sent(self, ident, size, timeout=WAIT_S):
        """Waits until a migration has sent so many bytes, so that all its channels are in use."""
        return self._wait_operation(
            ident, lambda now: now["progress"]["wire_bytes"] >= size, timeout)

    def events(self, what=None):
        events = self.api("GET", "/v1/events?after=0&wait_ms=0")["events"]
        return [event for event in events if what in (None, event["what"])]

    def wait_event(self, what, domain=None, timeout=WAIT_S, after=0):
        """Waits for an event of that kind (or one of those kinds) numbered above `after`."""
        what = (what,) if isinstance(what, str) else what
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            answer = self.api("GET", f"/v1/events?after={after}&wait_ms=5000")
            for event in answer["events"]:
                if event["what"] in what and domain in (None, event["domain"]):
                    return event
            after = answer["next"]
        raise TimeoutError(f"no event '{what}' on {self.name} in {timeout} s")

    def wait_empty(self, timeout=WAIT_S):
        """Waits until no domain's process is left on this host."""
        after, deadline = 0, time.monotonic() + timeout
        while self.vmm_pids():
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes are left on {self.name}: {self.vmm_pids()}")
            after = self.api("GET", f"/v1/events?after={after}&wait_ms=1000")["next"]

    # ------------------------------------------------------------------- the end

    def vmm_pids(self):
        """Processes of this host's domains, found by the run directory in their files."""
        pids = []
        base = os.path.join(self.run_dir, "domains")
        for name in os.listdir(base) if os.path.isdir(base) else []:
            with contextlib.suppress(OSError, ValueError, KeyError):
                path = os.path.join(base, name, "domain.json")
                with open(path, encoding="utf-8") as file:
                    pid = json.load(file)["pid"]
                with open(os.path.join(base, name, "lock"), "rb") as lock:
                    try:
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        pids.append(pid)
        return pids

    def finish(self):
        self.stop(signal.SIGKILL)
        for pid in self.vmm_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Hosts:
    """Two hosts, started. `faults` is a pair: XMIGRATE_FAULT of the first and of the second."""

    numbers = itertools.count()

    def __init__(self, build, faults=(None, None), namespaces=None, small_disk=None):
        """`small_disk`: size of a tmpfs to mount at run_dir/small of each host (root only)."""
        self.build = os.path.abspath(build)
        self.faults = faults
        self.namespaces = os.geteuid() == 0 if namespaces is None else namespaces
        self.small_disk = small_disk
        self.folder = None
        self.hosts = ()
        self.made = []
        self.mounts = []

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="xm-hosts.")
        try:
            places = self._make_network() if self.namespaces else [
                ("127.0.0.1", None), ("127.0.0.2", None)]
            self.hosts = tuple(
                Host(name, self.build, self.folder, address, namespace)
                for name, (address, namespace) in zip(("host1", "host2"), places))
            for host, faults in zip(self.hosts, self.faults):
                self._mount_small_disk(host)
                host.start(faults)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self.hosts

    def __exit__(self, *_):
        for host in self.hosts:
            host.finish()
        for mount in self.mounts:
            subprocess.run(["umount", "--lazy", mount], check=False)
        for namespace in self.made:
            subprocess.run(["ip", "netns", "del", namespace], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ip(self, *words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def _mount_small_disk(self, host):
        """Before the daemon starts: its network namespace has a mount namespace of its own."""
        if self.small_disk:
            place = os.path.join(host.run_dir, "small")
            os.mkdir(place)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.small_disk}", "none",
                            place], check=True)
            self.mounts.append(place)

    def _make_network(self):
        tag = f"xm{os.getpid()}.{next(self.numbers)}"
        places = [(f"10.89.7.{number}", f"{tag}-{number}") for number in (1, 2)]
        for _, namespace in places:
            self._ip("netns", "add", namespace)
            self.made.append(namespace)
            self._ip("-n", namespace, "link", "set", "lo", "up")
        self._ip("-n", places[0][1], "link", "add", "veth1", "type", "veth",
                 "peer", "name", "veth2", "netns", places[1][1])
        for number, (address, namespace) in enumerate(places, 1):
            self._ip("-n", namespace, "addr", "add", f"{address}/24", "dev", f"veth{number}")
            self._ip("-n", namespace, "link", "set", f"veth{number}", "up")
        return places

    def cut(self, up=False):
        """Takes the link between the hosts down (or up again). Needs namespaces."""
        self._ip("-n", self.made[0], "link", "set", "veth1", "up" if up else "down")
