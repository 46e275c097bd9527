"""servers - the daemon and its peers as processes of their own, each on a free port."""
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NODE_MODULES = ROOT / "build" / "peers" / "node_modules"
START_S = 60  # PyTorch takes long to load on a busy machine


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def descendants(pid):
    yield pid
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from descendants(int(child))


class Server:
    """Answers GET /health/live once this returns."""

    def __init__(self, engine, setting, argv, port, environment=None, log=None):
        self.engine, self.setting, self.port = engine, setting, port
        # A group, to be stopped whole, but not a session: Linux shares processors out between
        # sessions first, and the priority of a training job would not count against wrk's.
        self.process = subprocess.Popen([*map(str, argv)], process_group=0, cwd=HERE,
                                        env={**os.environ, **(environment or {})},
                                        stdout=subprocess.DEVNULL, stderr=log)
        self.await_status("/health/live")

    def await_status(self, path):
        deadline = time.monotonic() + START_S
        while self.status(path) != 200:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"{self.engine} {self.setting} does not start")
            time.sleep(0.0002)

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def status(self, path):
        """Of the reply; None: no connection."""
        try:
            return self.ask("GET", path)[0]
        except OSError:
            return None

    def ask(self, method, path, body=None, content_type="application/json"):
        """Status and the JSON document of the reply; body: bytes, or what becomes JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        try:
            connection.request(method, path, data, {"Content-Type": content_type})
            reply = connection.getresponse()
            text = reply.read()
            kind = reply.getheader("Content-Type") or ""
            return reply.status, json.loads(text) if kind.endswith("json") else text
        finally:
            connection.close()

    def need(self, *request):
        status, document = self.ask(*request)
        if status >= 300:
            raise SystemExit(f"{self.engine}, {request[:2]}: {status} {document}")
        return document

    def cpu_s(self):
        """Processor time of its processes so far."""
        ticks = 0
        for pid in descendants(self.process.pid):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024

    def stop(self):
        """Workers that outlive their parent go with it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def strided(build, data):
    port = free_port()
    argv = [build / "strided", "serve", "--no-bootstrap", "--no-access-log", "--listen",
            f"127.0.0.1:{port}", "--data-dir", data]
    return Server("strided", "-", argv, port, log=subprocess.DEVNULL)


def node(nets, workers, threads):
    port = free_port()
    argv = ["node", HERE / "peer_node.js", nets, port, workers, threads]
    return Server("node", f"{workers}x{threads}", argv, port,
                  {"NODE_PATH": str(NODE_MODULES), "NODE_ENV": "production"})


def fastapi(nets, workers, threads):
    port = free_port()
    argv = ["/usr/bin/python3", HERE / "peer_fastapi.py", nets, port, workers, threads]
    return Server("fastapi", f"{workers}x{threads}", argv, port,
                  {"OMP_NUM_THREADS": str(threads)})
