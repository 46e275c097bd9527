#!/usr/bin/env python3
"""watch - what it costs a daemon that 100 clients watch a job, and that it has 1000 jobs.

Starts a daemon of its own on a folder of its own, trains a small net without end, and asks with and
without watchers: memory, processor time, latency of other requests, and how soon an event is with
each watcher. The clients run on the same machine, so their time is in every figure.

usage: watch.py [BINARY] [--watchers N] [--jobs N] [--seconds S]
`make bench-watch` builds what this needs.
"""
import argparse
import http.client
import json
import os
import pathlib
import selectors
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
REQUESTS = 300  # of each kind of which latency is measured
CANCELS = 20


class Daemon:
    def __init__(self, binary, folder):
        self.process = subprocess.Popen(
            [binary, "serve", "--no-bootstrap", "--listen", "127.0.0.1:0", "--threads", "1",
             "--data-dir", f"{folder}/data", "--no-access-log"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port)

    def ask(self, method, path, body=None):
        """The reply's body and the seconds it took."""
        start = time.monotonic()
        self.connection.request(method, path, body and json.dumps(body))
        reply = self.connection.getresponse()
        text = reply.read()
        seconds = time.monotonic() - start
        if reply.status >= 300:
            raise SystemExit(f"{method} {path}: {reply.status} {text.decode()}")
        return text, seconds

    def rss_kib(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1])

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Watchers(threading.Thread):
    """Clients that read a job's events; when each event was with each of them."""

    def __init__(self, daemon, job, count):
        super().__init__(daemon=True)
        self.arrivals = {}  # id of an event: times
        self.selector = selectors.DefaultSelector()
        self.open = count
        self.count = count
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", daemon.port))
            client.sendall(f"GET /jobs/{job}/events HTTP/1.0\r\nHost: x\r\n\r\n".encode())
            self.selector.register(client, selectors.EVENT_READ, [b""])
        self.start()

    def run(self):
        while self.open:
            for key, _ in self.selector.select(0.5):
                data = key.fileobj.recv(1 << 16)
                now = time.monotonic()
                *lines, key.data[0] = (key.data[0] + data).split(b"\n")
                for line in lines:
                    if line.startswith(b"id: "):
                        self.arrivals.setdefault(line, []).append(now)
                if not data:
                    self.leave(key.fileobj)

    def leave(self, client):
        self.selector.unregister(client)
        client.close()
        self.open -= 1


def percentiles(seconds):
    """"p50 / p99 / worst" in milliseconds."""
    ordered = sorted(seconds)
    return " / ".join(f"{1000 * ordered[min(len(ordered) - 1, int(len(ordered) * p))]:.2f}"
                      for p in (0.5, 0.99, 1))


def latency(daemon, path, count=REQUESTS):
    return percentiles([daemon.ask("GET", path)[1] for _ in range(count)])


def measure(daemon, seconds):
    """Processor time and training over a while, then latencies."""
    cpu, start = daemon.cpu_seconds(), time.monotonic()
    speeds = []
    while time.monotonic() - start < seconds:
        time.sleep(0.25)
        speed = json.loads(daemon.ask("GET", "/jobs/1")[0])["samples_per_second"]
        speeds.append(speed or 0)
    cpu = (daemon.cpu_seconds() - cpu) / (time.monotonic() - start)
    print(f"  RSS {daemon.rss_kib() / 1024:.1f} MiB; CPU of the daemon {100 * cpu:.1f} % of a core; "
          f"training {statistics.median(speeds):.0f} samples/s")
    print(f"  GET /health/live {latency(daemon, '/health/live')} ms, "
          f"GET /jobs/1 {latency(daemon, '/jobs/1')} ms (p50 / p99 / worst)")


def job(epochs):
    return {"model": "m", "dataset": "shapes", "architecture": "shapes-cnn", "epochs": epochs,
            "batch_size": 50}


def bench_watchers(daemon, count, seconds):
    print("nobody watches")
    measure(daemon, seconds)
    watchers = Watchers(daemon, 1, count)
    time.sleep(1)
    before = len(watchers.arrivals)
    print(f"{count} watch a running job")
    measure(daemon, seconds)
    time.sleep(1)
    events = list(watchers.arrivals.items())[before:]
    durable = [times for name, times in events if b"." not in name]
    complete = [times for _, times in events if len(times) == count]
    print(f"  {len(events)} events, {len(durable)} of them epochs, "
          f"{len(complete)} reached all {count}; from the first of them to the last "
          f"{percentiles([max(times) - min(times) for times in complete])} ms")
    return watchers


def bench_cancels(daemon, count):
    """From a cancel to its event, at clients that watch a job in the queue."""
    delays = []
    for _ in range(CANCELS):
        queued = json.loads(daemon.ask("POST", "/jobs", job(1))[0])["id"]
        watchers = Watchers(daemon, queued, count)
        while len(watchers.arrivals.get(b"id: 1", [])) < count:
            time.sleep(0.01)
        start = time.monotonic()
        daemon.ask("POST", f"/jobs/{queued}/cancel")
        watchers.join()
        delays += [at - start for at in watchers.arrivals[b"id: 2"]]
    print(f"a cancel is with each of {count} watchers after {percentiles(delays)} ms")


def bench_jobs(daemon, count):
    before = daemon.rss_kib()
    posts = [daemon.ask("POST", "/jobs", job(1))[1] for _ in range(count)]
    print(f"{count} jobs wait; posting one took {percentiles(posts)} ms, on disk when answered")
    text, _ = daemon.ask("GET", f"/jobs?limit={count}")
    print(f"  GET /jobs of all {count} ({len(text) / 1024:.0f} KiB) "
          f"{latency(daemon, f'/jobs?limit={count}', 100)} ms, "
          f"of the newest 20 {latency(daemon, '/jobs?limit=20')} ms, "
          f"GET /jobs/1 {latency(daemon, '/jobs/1')} ms")
    print(f"  RSS {before / 1024:.1f} MiB before, {daemon.rss_kib() / 1024:.1f} MiB after")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", nargs="?", default=ROOT / "build" / "strided")
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(arguments.binary, folder)
        try:
            print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
            daemon.ask("PUT", "/datasets/shapes",
                       {"generator": "shapes", "train": 10000, "test": 1000, "seed": 0})
            daemon.ask("POST", "/jobs", job(100000))
            time.sleep(1)
            bench_watchers(daemon, arguments.watchers, arguments.seconds)
            bench_cancels(daemon, arguments.watchers)
            bench_jobs(daemon, arguments.jobs)
        finally:
            daemon.stop()


main()
