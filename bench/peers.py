#!/usr/bin/env python3
"""peers - strided against oneDNN, PyTorch and onnxruntime, on this machine, in one run.

All programs stay open. A round asks for each case of each of them in turn, ours and the peer's next
to each other, first one first, then the other; the figure is the median of the rounds. Prints the
tables of table.py; a complete run is also kept in bench/results/.

usage: peers.py BUILD_FOLDER [--only layers|train|infer] [--isa avx2] [--quick]
`make bench-peers ONLY= ISA= QUICK=1` installs and builds what this needs.
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
import time

import table

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "build" / "peers"
THREADS = (1, 2)
LOAD_IDLE = 0.3
SETTLE_S = 0.01  # threads of the program before still spin that long
KINDS = ("layers", "train", "infer")
# What holds everyone to one instruction set. onnxruntime has no such switch.
RESTRICTIONS = {
    "": {},
    "avx2": {"STRIDED_CPU": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2",
             "ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell"},
}


class Program:
    """A program of this folder that answers requests, one a line."""

    def __init__(self, argv, environment):
        self.process = subprocess.Popen([*map(str, argv), "-"], env=environment, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, *request):
        """The CSV lines of the answer."""
        time.sleep(SETTLE_S)
        print(*request, file=self.process.stdin, flush=True)
        lines = []
        while (line := self.process.stdout.readline()) not in ("", "\n"):
            lines.append(line.strip())
        if not lines:
            raise SystemExit(f"no answer to '{' '.join(map(str, request))}'")
        return lines

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Run:
    def __init__(self, build, isa, seconds):
        self.bench = [build / "bench" / "bench"]
        self.torch = ["/usr/bin/python3", ROOT / "bench" / "peer_torch.py"]
        self.environment = {**os.environ, **RESTRICTIONS[isa], "BENCH_SECONDS": str(seconds),
                            "NODE_PATH": str(PEERS / "node_modules")}
        self.build = build
        self.programs = {}
        self.values = {}

    def threads_environment(self, threads):
        return {**self.environment, "OMP_NUM_THREADS": str(threads)}

    def program(self, engine, threads):
        """Opened at its first use. PyTorch sizes its pools at start: one for each number."""
        key = (engine, threads if engine == "torch" else 0)
        if key not in self.programs:
            argv, environment = {
                # As the daemon and its workers run (spin_briefly in server/main.c).
                "strided": (self.bench, {"GOMP_SPINCOUNT": "3000", **self.environment}),
                "onednn": ([self.build / "bench" / "peer_onednn"], self.environment),
                "torch": (self.torch, self.threads_environment(threads)),
                "onnxruntime": (["node", ROOT / "bench" / "peer_onnxruntime.js",
                                 self.build / "bench"], self.environment),
            }[engine]
            self.programs[key] = Program(argv, environment)
        return self.programs[key]

    def keep(self, lines):
        for line in lines:
            *key, value = line.split(",")
            self.values.setdefault(tuple(key), []).append(float(value))

    def ask(self, engine, kind, name, threads):
        self.keep(self.program(engine, threads).ask(kind, name, threads))

    def memory(self, name, threads):
        """In processes of their own; once, for it does not vary."""
        for argv in (self.bench, self.torch):
            done = subprocess.run([*map(str, argv), "memory", name, str(threads)], text=True,
                                  env=self.threads_environment(threads), check=True,
                                  stdout=subprocess.PIPE)
            self.keep(done.stdout.split())

    def close(self):
        for program in self.programs.values():
            program.close()


def case_names():
    """Layers and nets, out of cases.c."""
    text = (ROOT / "bench" / "cases.c").read_text()
    layers = re.findall(r'\{"([a-z-]+/conv\d)"', text)
    nets = re.findall(r'\{"([a-z-]+)", \d+\}', text)
    return layers, nets


def work_list(kinds):
    """(kind, name, threads, peer) of every case of a round."""
    layers, nets = case_names()
    peers = {"layers": "onednn", "train": "torch", "infer": "onnxruntime"}
    return [(kind, name, threads, peers[kind]) for kind in kinds
            for name in (layers if kind == "layers" else nets) for threads in THREADS]


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)


def measure_round(run, work, number, rounds):
    for threads in THREADS:
        run.ask("strided", "peak", "all", threads)
    for i, (kind, name, threads, peer) in enumerate(work):
        progress(f"round {number + 1}/{rounds}: {i + 1}/{len(work)} {kind} {name} {threads}")
        engines = ("strided", peer) if number % 2 == 0 else (peer, "strided")
        for engine in engines:
            run.ask(engine, kind, name, threads)
    if any(item[0] == "infer" for item in work):
        run.ask("onnxruntime", "infer", "identity", 1)


def measure(run, kinds, rounds, memory):
    start = time.monotonic()
    work = work_list(kinds)
    for number in range(rounds):
        measure_round(run, work, number, rounds)
    if memory and "train" in kinds:
        for name in case_names()[1]:
            for threads in THREADS:
                progress(f"memory {name} {threads}")
                run.memory(name, threads)
    progress("")
    print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)


def cpu():
    """Its name, and the numbers that tell generations of one name apart."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    field = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", text, re.MULTILINE))
    if "model name" not in field:
        return "unknown CPU"
    return f"{field['model name']} (family {field['cpu family']}, model {field['model']})"


def debian_version(package):
    done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.split("+")[0].split("-")[0] or "?"


def notes(isa, rounds, seconds, load):
    package = PEERS / "node_modules" / "onnxruntime-node" / "package.json"
    onnxruntime = json.loads(package.read_text())["version"]
    revision = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout.strip()
    held = f", everything but onnxruntime held to {isa}" if isa else ""
    busy = f"; NOT IDLE before the run, load {load:.1f}" if load > LOAD_IDLE else ""
    return [
        f"{cpu()}, {os.cpu_count()} CPUs, {datetime.date.today()}, strided {revision}{held}{busy}",
        f"Medians of {rounds} interleaved rounds of {seconds} s; oneDNN "
        f"{debian_version('libdnnl2')}, PyTorch {debian_version('python3-torch')} with OpenBLAS "
        f"{debian_version('libopenblas0-openmp')}, onnxruntime {onnxruntime}",
    ]


def csv_lines(run, heading):
    """Medians; of the peak the maximum, because nothing but disturbance moves it."""
    lines = [f"# {note}" for note in heading]
    lines.append("engine,threads,kind,name,metric,value,min,max,rounds")
    for key, values in run.values.items():
        middle = statistics.median(values) if key[2] != "peak" else max(values)
        lines.append(",".join([*key, f"{middle:.6g}", f"{min(values):.6g}",
                               f"{max(values):.6g}", str(len(values))]))
    return lines


def result_path(arguments, complete):
    name = re.sub(r"[^a-z0-9]+", "-", cpu().lower()).strip("-")
    isa = f"-{arguments.isa}" if arguments.isa else ""
    folder = ROOT / "bench" / "results" if complete else arguments.build / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{datetime.date.today()}-{name}{isa}.csv"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--only", choices=("", *KINDS), default="")
    parser.add_argument("--isa", choices=tuple(RESTRICTIONS), default="")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    rounds, seconds = (2, 0.02) if arguments.quick else (5, 0.15)
    load = os.getloadavg()[0]
    run = Run(arguments.build.resolve(), arguments.isa, seconds)
    try:
        measure(run, [arguments.only] if arguments.only else KINDS, rounds,
                not arguments.quick)
    finally:
        run.close()
    lines = csv_lines(run, notes(arguments.isa, rounds, seconds, load))
    path = result_path(arguments, complete=not (arguments.only or arguments.quick))
    path.write_text("\n".join(lines) + "\n")
    figures = table.Figures(lines)
    print(table.tables(figures))
    print(f"\n{table.missed(figures)}\nkept in {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
