# SPDX-License-Identifier: Apache-2.0
"""A daemon that is a script: it answers the API of docs/api.md as a test says, and remembers what it was asked."""

import collections
import http.server
import json
import os
import socketserver
import subprocess
import tempfile
import threading
import unittest

XMIGRATE = None  # the program under test: set by main()

Request = collections.namedtuple("Request", "method path body")

ID = "0123456789abcdef0123456789abcdef"

WEB1 = {
    "name": "web1", "uuid": "6f6b1f0e-6f0c-4d3b-9a3e-0d7e35f0a7a1", "id": 3, "state": "running",
    "memory_bytes": 1 << 30, "vcpus": 2, "epoch": 1, "pid": 4242, "console": "/nowhere/console.sock",
    "log_dirty": "bitmap", "cpu_ns": 12_340_000_000, "created_at": "2026-11-21T00:00:00Z",
    "config": 'name = "web1"\n', "operation": None, "crash": None,
    "vcpu": [{"run_ns": 1_000_000, "throttled_ns": 0, "exits": 17, "ring_full": 0, "dirty_pages": 5}],
}


def operation(sequence, state="pre-copy", finished=False, error=None, result=None, **progress):
    figures = {"round": 1, "memory_bytes": 1 << 30, "sent_pages": 0, "zero_pages": 0, "skipped_pages": 0,
               "wire_bytes": 0, "remaining_bytes": 1 << 30, "dirty_rate": 203_000_000,
               "bandwidth": 1_200_000_000, "predicted_pause_ms": 3.25, "eta_ms": 900.25, "elapsed_ms": 10.5}
    figures.update(progress)
    return {"id": ID, "kind": "migrate", "domain": "web1", "peer": "host2:4411", "sequence": sequence,
            "state": state, "finished": finished, "error": error, "progress": figures, "result": result}


RESULT = {"total_ms": 2100.4, "digest": "00112233445566778899aabbccddeeff", "source_cpu_ms": 900.0,
          "target_cpu_ms": 800.0, "engine_memory_bytes": 50 << 20, "audit_pages": 0,
          "pause": {"total_ms": 1.42, "engine_ms": 1.3, "kick_ms": 0.1, "quiesce_ms": 0.1, "state_ms": 0.2,
                    "pages_ms": 0.3, "transfer_ms": 0.3, "load_ms": 0.2, "commit_ms": 0.1, "resume_ms": 0.05,
                    "probe_ms": 0.4}}


def moved(sequence=9, **changes):
    return operation(sequence, "committed", True, result={**RESULT, **changes}, round=5,
                     wire_bytes=1_395_864_371, remaining_bytes=0)


def error(kind, text):
    return {"error": {"kind": kind, "text": text}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        request = Request(self.command, self.path, json.loads(body) if body else None)
        answer = self.server.script(request)
        if answer is None:  # the daemon dies instead of answering
            self.close_connection = True
            return
        status, value = answer
        data = b"" if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = serve

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        pass  # a client that left is no news


class Daemon:
    """Answers from `answers`: {(method, path without query): answer, list of answers, or function}."""

    def __init__(self, socket_path, answers):
        self.socket_path = socket_path
        self.answers = dict(answers)
        self.requests = []
        self.lock = threading.Lock()
        self.server = Server(socket_path, Handler)
        self.server.script = self.script
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def script(self, request):
        key = (request.method, request.path.split("?")[0])
        with self.lock:
            self.requests.append(request)
            answer = self.answers.get(key)
            if isinstance(answer, list):
                answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            answer = answer(request)
        elif answer is None:
            answer = (404, error("not-found", "there is nothing at " + request.path))
        return None if answer == "die" else answer

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        os.unlink(self.socket_path)


class CliTest(unittest.TestCase):
    """A folder that is the run directory, a daemon when one is asked for, and ways to run the program."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="xmcli")
        self.addCleanup(self.folder.cleanup)
        self.run_dir = self.folder.name
        self.environment = {**os.environ, "XMIGRATE_RUN_DIR": self.run_dir, "LC_ALL": "C.UTF-8"}
        self.daemon = None

    def start_daemon(self, answers):
        self.daemon = Daemon(os.path.join(self.run_dir, "api.sock"), answers)
        self.addCleanup(self.daemon.stop)
        return self.daemon

    def start(self, *args, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([XMIGRATE, *args], env=self.environment, cwd=self.run_dir, text=True, **options)

    def xmigrate(self, *args, status=0, **options):
        process = self.start(*args, **options)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, f"{args}: {out}{err}")
        return out, err

    def assert_one_sentence(self, err, *parts):
        self.assertEqual(err.count("\n"), 1, err)
        self.assertTrue(err.startswith("xmigrate: ") and err.endswith("\n"), err)
        for part in parts:
            self.assertIn(part, err)


def main():
    import sys
    global XMIGRATE
    XMIGRATE = os.path.abspath(sys.argv.pop(1))
    unittest.main(module="__main__")
