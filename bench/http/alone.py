"""alone - what needs no peer: the daemon beside a training job, with idle connections, at start."""
import contextlib
import os
import resource
import socket
import subprocess
import tempfile
import time

import load
import servers

IDLE_CONNECTIONS = 1000
STEADY_PER_S = 500
STARTS = 11
JOB = {"model": "trained", "dataset": "shapes", "architecture": "mnist-cnn", "epochs": 100000,
       "batch_size": 150}


@contextlib.contextmanager
def training(server):
    """A job runs meanwhile, with a thread on every core."""
    job = server.need("POST", "/jobs", JOB)["id"]
    while not (state := server.need("GET", f"/jobs/{job}"))["samples_per_second"]:
        if state["state"] not in ("queued", "running"):
            raise SystemExit(f"the job is {state['state']}: {state['error']}")
        time.sleep(0.05)
    try:
        yield
    finally:
        server.need("POST", f"/jobs/{job}/cancel")
        while server.need("GET", f"/jobs/{job}")["state"] == "running":
            time.sleep(0.05)


@contextlib.contextmanager
def idle_connections(server, count):
    """So many kept connections, each answered once and silent since; still open at the end."""
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(count)]
    for client in clients:
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    for client in clients:
        client.recv(4096)
        client.setblocking(False)
    yield
    for client in clients:
        with contextlib.suppress(BlockingIOError):
            if not client.recv(1):
                raise SystemExit("the daemon has closed an idle connection")
    for client in clients:
        client.close()


def beside(keep, situation, build, server, request, seconds):
    """At a moderate rate, then as much as 16 connections ask."""
    keep(f"{STEADY_PER_S}/s {situation}",
         load.steady(build, server, request, STEADY_PER_S, seconds))
    keep(f"all out {situation}", load.steady(build, server, request, 0, seconds))


def measure_training(keep, build, server, request, rounds, seconds):
    server.need("PUT", "/datasets/shapes", {"generator": "shapes", "train": 20000, "test": 100})
    for number in range(rounds):
        for busy in ((False, True), (True, False))[number % 2]:
            with training(server) if busy else contextlib.nullcontext():
                beside(keep, "training" if busy else "idle", build, server, request, seconds)


def measure_idle_connections(keep, server, request, rounds, seconds):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < IDLE_CONNECTIONS + 100:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for number in range(rounds):
        for count in ((0, IDLE_CONNECTIONS), (IDLE_CONNECTIONS, 0))[number % 2]:
            with idle_connections(server, count):
                keep(f"{count} idle connections", load.wrk(server, request, seconds))


def start_s(build, folder):
    port = servers.free_port()
    argv = [build / "strided", "serve", "--no-bootstrap", "--listen", f"127.0.0.1:{port}",
            "--data-dir", folder]
    start = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    request = b"GET /health/ready HTTP/1.0\r\nHost: x\r\n\r\n"
    while True:
        with contextlib.suppress(ConnectionError), \
                socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(request)
            if client.recv(12).endswith(b" 200"):
                break
        time.sleep(0.0002)
    seconds = time.monotonic() - start
    process.terminate()
    process.wait()
    return seconds


def stripped_bytes(build):
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(["strip", "-o", file.name, build / "strided"], check=True)
        return os.path.getsize(file.name)


def measure_footprint(keep, build, nets, requests):
    """A daemon that has lenet and nothing else: its start, and its memory after predictions."""
    lenet = next(r for r in requests if r.name == "lenet raw")
    with tempfile.TemporaryDirectory() as folder:
        server = servers.strided(build, folder)
        server.need("PUT", "/models/lenet", (nets / "lenet.onnx").read_bytes(), load.RAW)
        server.stop()
        for _ in range(STARTS):
            keep("start", {"ready_ms": start_s(build, folder) * 1e3})
        server = servers.strided(build, folder)
        server.await_status("/health/ready")
        load.wrk(server, lenet, 1)
        keep("lenet loaded", {"rss_bytes": server.rss_bytes()})
        server.stop()
    keep("binary", {"stripped_bytes": stripped_bytes(build)})
