#!/usr/bin/env python3
"""run - predictions over HTTP: the daemon against Node + onnxruntime-node and FastAPI + PyTorch, on
this machine, in one run; then what needs no peer (alone.py).

The nets are those of `export`, with its weights in all three, and the answers are compared before
anything is timed. wrk asks from 16 kept connections on one thread, on the cores of the servers. A
round asks each server for each request in turn, forwards, then backwards; the figure is the median
of the rounds. A peer is there in several settings, workers x threads, and counts by its best.
Prints the tables of tables.py; a complete run is also kept in bench/results/.

usage: run.py BUILD_FOLDER [--rounds 5] [--seconds 2] [--only peers|alone]
`make bench-http` installs and builds what this needs.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import alone
import load
import peers
import servers
import tables

SETTINGS = ((1, 1), (1, 2), (2, 1))  # workers, threads of each
NETS = ("lenet", "voxel-cnn")
TOLERANCE = 1e-5


class Figures:
    def __init__(self):
        self.values = {}

    def keep(self, engine, setting, scenario, figures):
        for metric, value in figures.items():
            self.values.setdefault((engine, setting, scenario, metric), []).append(value)

    def lines(self, heading):
        lines = [f"# {note}" for note in heading] + [
            "engine,setting,scenario,metric,value,min,max,rounds"]
        for key, values in self.values.items():
            figures = (statistics.median(values), min(values), max(values))
            lines.append(",".join([*key, *(f"{v:.6g}" for v in figures), str(len(values))]))
        return lines


def scores_of(server, request):
    document = server.need("POST", f"{request.path}?scores=all", request.body,
                           request.content_type)
    return document["predictions"][0]["scores"]


def compare(running, requests):
    """Every server gives the same scores for each body."""
    for request in requests:
        if not request.model:
            continue
        expected = scores_of(running[0], request)
        if max(expected) - min(expected) < 1e-3:
            raise SystemExit(f"{request.name}: the scores are all alike: {expected}")
        for server in running[1:]:
            scores = scores_of(server, request)
            worst = max(abs(a - b) for a, b in zip(expected, scores, strict=True))
            if worst > TOLERANCE:
                raise SystemExit(f"{request.name}: {server.engine} {server.setting} differs by "
                                 f"{worst}: {scores} instead of {expected}")


def measure_peers(figures, running, requests, rounds, seconds):
    for number in range(rounds):
        order = running if number % 2 == 0 else running[::-1]
        for request in requests:
            for server in order:
                peers.progress(f"round {number + 1}/{rounds}: {request.name}, {server.engine} "
                               f"{server.setting}")
                figures.keep(server.engine, server.setting, request.name,
                             load.wrk(server, request, seconds))


def run_peers(figures, build, nets, daemon, requests, rounds, seconds):
    running = [daemon]
    try:
        for start in (servers.node, servers.fastapi):
            for setting in SETTINGS:
                running.append(start(nets, *setting))
        compare(running, requests)
        measure_peers(figures, running, requests, rounds, seconds)
    finally:
        for server in running[1:]:
            server.stop()


def run_alone(figures, build, nets, daemon, requests, rounds, seconds):
    def keep(scenario, values):
        peers.progress(scenario)
        figures.keep("strided", "-", scenario, values)

    lenet = next(r for r in requests if r.name == "lenet raw")
    alone.measure_idle_connections(keep, daemon, lenet, rounds, seconds)
    alone.measure_training(keep, build, daemon, lenet, rounds, 2 * seconds)
    alone.measure_footprint(keep, build, nets, requests)


def versions():
    package = servers.NODE_MODULES / "onnxruntime-node" / "package.json"
    node = subprocess.run(["node", "--version"], text=True, stdout=subprocess.PIPE).stdout.strip()
    return (f"Node {node} with onnxruntime-node {json.loads(package.read_text())['version']}, "
            f"FastAPI {peers.debian_version('python3-fastapi')} with uvicorn "
            f"{peers.debian_version('python3-uvicorn')} and PyTorch "
            f"{peers.debian_version('python3-torch')}")


def notes(rounds, seconds, busy):
    revision = subprocess.run(["git", "-C", servers.ROOT, "describe", "--always", "--dirty"],
                              text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout.strip()
    idle = f"; NOT IDLE before the run, load {busy:.1f}" if busy > peers.LOAD_IDLE else ""
    return [f"{peers.cpu()}, {os.cpu_count()} CPUs, {datetime.date.today()}, strided {revision}"
            f"{idle}",
            f"Medians of {rounds} interleaved rounds of {seconds} s, wrk with one thread and "
            f"{load.CONNECTIONS} connections on the same CPUs; {versions()}"]


def result_path(build, complete):
    name = re.sub(r"[^a-z0-9]+", "-", peers.cpu().lower()).strip("-")
    folder = servers.ROOT / "bench" / "results" if complete else build / "bench"
    return folder / f"{datetime.date.today()}-{name}-http.csv"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--only", choices=("", "peers", "alone"), default="")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    heading = notes(arguments.rounds, arguments.seconds, os.getloadavg()[0])
    figures, nets = Figures(), build / "bench"
    with tempfile.TemporaryDirectory() as folder:
        requests = load.requests(folder)
        daemon = servers.strided(build, f"{folder}/data")
        try:
            for name in NETS:
                daemon.need("PUT", f"/models/{name}", (nets / f"{name}.onnx").read_bytes(),
                            load.RAW)
            for part, go in (("peers", run_peers), ("alone", run_alone)):
                if arguments.only in ("", part):
                    go(figures, build, nets, daemon, requests, arguments.rounds,
                       arguments.seconds)
        finally:
            daemon.stop()
    peers.progress("")
    lines = figures.lines(heading)
    path = result_path(build, not arguments.only and arguments.rounds >= 5)
    path.write_text("\n".join(lines) + "\n")
    read = tables.Figures(lines)
    print(tables.tables(read))
    print(f"\n{tables.missed(read)}\nkept in {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
