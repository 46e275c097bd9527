#!/usr/bin/env python3
"""table - the CSV lines of bench and its peers as markdown tables, and what misses its goal.

usage: table.py [FILE]     FILE: of bench/results/, or what `bench` prints (default: standard input)

Lines are engine,threads,kind,name,metric,value and more that is not read here; lines that begin
with # are printed above the tables. Ratios are above 1 where strided is better.
"""
import sys

LAYER_PEER, TRAIN_PEER, INFER_PEER = "onednn", "torch", "onnxruntime"
DIRECTIONS = {"forward": "forward", "data": "data gradient", "weight": "weight gradient"}
FEW_CHANNELS = ("/conv1", "lenet/conv2")  # layers that are to be twice as fast


class Figures:
    """Values by (engine, threads, kind, name, metric)."""

    def __init__(self, lines):
        self.notes, self.values, self.names = [], {}, {}
        for line in lines:
            if line.startswith("#"):
                self.notes.append(line[1:].strip())
            elif line.strip() and not line.startswith("engine,"):
                engine, threads, kind, name, metric, value = line.strip().split(",")[:6]
                self.values[engine, int(threads), kind, name, metric] = float(value)
                if engine == "strided":
                    self.names.setdefault(kind, {})[name] = True

    def get(self, *key):
        return self.values.get(key)

    def peak(self, threads):
        isa = next(iter(self.names.get("peak", {})), None)
        return self.get("strided", threads, "peak", isa, "gflops")

    def best(self, engine, kind, name, metric, least=False):
        """The engine's better setting of 1 or 2 threads."""
        found = [v for v in (self.get(engine, t, kind, name, metric) for t in (1, 2)) if v]
        return (min if least else max)(found) if found else None


def ratio(above, below):
    return above / below if above and below else None


def number(value):
    if value is None:
        return "-"
    if value >= 10000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def times(value):
    return "-" if value is None else f"{value:.2f}x"


def percent(value):
    return "-" if value is None else f"{100 * value:.0f} %"


def plural(threads):
    return f"{threads} thread{'s' * (threads > 1)}"


def mib(value):
    return "-" if value is None else f"{value / 2**20:.1f}"


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
                     + ["| " + " | ".join(row) + " |" for row in rows])


def layer_ratio(f, threads, name, direction):
    """One thread against one thread, two against the peer's better setting."""
    ours = f.get("strided", threads, "layers", name, direction)
    peer = (f.get(LAYER_PEER, 1, "layers", name, direction) if threads == 1
            else f.best(LAYER_PEER, "layers", name, direction))
    return ratio(ours, peer)


def layer_cell(f, threads, name, direction):
    ours = f.get("strided", threads, "layers", name, direction)
    if ours is None:
        return "(not needed)"
    cell = f"{number(ours)}, {percent(ratio(ours, f.peak(threads)))}"
    against = layer_ratio(f, threads, name, direction)
    return cell if against is None else f"{cell}, **{times(against)}**"


def layer_table(f, threads):
    names = [n for n in f.names["layers"]
             if any(f.get("strided", threads, "layers", n, d) for d in DIRECTIONS)]
    peer = "" if f.best(LAYER_PEER, "layers", names[0], "forward") is None else (
        ", times oneDNN" + (" on one" if threads == 1 else " (its better of 1 and 2 threads)"))
    title = f"Convolutions, {plural(threads)}: GFLOP/s, share of peak{peer}"
    return title + "\n\n" + table(
        ["layer", *DIRECTIONS.values()],
        [[n.replace("/", " "), *(layer_cell(f, threads, n, d) for d in DIRECTIONS)]
         for n in names])


def train_row(f, name):
    key = ("train", name, "samples/s")
    ours = [f.get("strided", t, *key) for t in (1, 2)]
    theirs = [f.get(TRAIN_PEER, t, *key) for t in (1, 2)]
    gflops = f.get("strided", 2, "train", name, "gflops")
    return [name, number(ours[0]), number(theirs[0]), times(ratio(ours[0], theirs[0])),
            number(ours[1]), number(theirs[1]), times(ratio(ours[1], theirs[1])),
            f"**{times(ratio(f.best('strided', *key), f.best(TRAIN_PEER, *key)))}**",
            percent(ratio(gflops, f.peak(2)))]


def train_table(f):
    return "Training, samples/s\n\n" + table(
        ["net", "1 thread", "PyTorch", "ratio", "2 threads", "PyTorch", "ratio", "better settings",
         "of the peak, 2 threads"], [train_row(f, name) for name in f.names["train"]])


def memory_row(f, name):
    ours = [f.get("strided", t, "memory", name, "bytes") for t in (1, 2)]
    counted = [f.get("strided", t, "memory", name, "counted") for t in (1, 2)]
    theirs = [f.get(TRAIN_PEER, t, "memory", name, "bytes") for t in (1, 2)]
    return [name, *(mib(v) for v in (counted[0], ours[0], theirs[0], counted[1], ours[1],
                                     theirs[1]))]


def memory_table(f):
    title = ("Memory of a training step beyond parameters, gradients and optimizer, MiB: counted "
             "by strided, growth of its process, growth of PyTorch's")
    return title + "\n\n" + table(
        ["net", "1 thread, counted", "grown", "PyTorch", "2 threads, counted", "grown", "PyTorch"],
        [memory_row(f, name) for name in f.names["memory"]])


def latency_row(f, name):
    ours = f.get("strided", 1, "infer", name, "us")
    theirs = [f.get(INFER_PEER, t, "infer", name, "us") for t in (1, 2)]
    best = f.best(INFER_PEER, "infer", name, "us", least=True)
    return [name, number(ours), number(theirs[0]), number(theirs[1]),
            times(ratio(theirs[0], ours)), f"**{times(ratio(best, ours))}**"]


def latency_table(f):
    title = "Inference, one sample, microseconds"
    call = f.best(INFER_PEER, "infer", "identity", "us", least=True)
    if call:
        title += f" (an empty onnxruntime net: {number(call)})"
    return title + "\n\n" + table(
        ["net", "strided, 1 thread", "onnxruntime, 1 thread", "2 threads", "ratio, 1 thread",
         "to its better setting"], [latency_row(f, name) for name in f.names["infer"]])


def throughput_row(f, name):
    key = ("infer", name, "samples/s")
    ours = [f.get("strided", t, *key) for t in (1, 2)]
    theirs = [f.get(INFER_PEER, t, *key) for t in (1, 2)]
    return [name, number(ours[0]), number(theirs[0]), times(ratio(ours[0], theirs[0])),
            number(ours[1]), number(theirs[1]), times(ratio(ours[1], theirs[1])),
            f"**{times(ratio(f.best('strided', *key), f.best(INFER_PEER, *key)))}**"]


def throughput_table(f):
    return "Inference, batches of 64, samples/s\n\n" + table(
        ["net", "1 thread", "onnxruntime", "ratio", "2 threads", "onnxruntime", "ratio",
         "better settings"], [throughput_row(f, name) for name in f.names["infer"]])


def goals(f):
    """(what, ratio, goal) of everything that has a peer."""
    for name in f.names.get("layers", {}):
        goal = 2 if any(part in name for part in FEW_CHANNELS) else 1
        for threads in (1, 2):
            for direction in DIRECTIONS:
                yield (f"{name} {direction}, {plural(threads)}",
                       layer_ratio(f, threads, name, direction), goal)
    for name in f.names.get("train", {}):
        key = ("train", name, "samples/s")
        yield f"{name} training", ratio(f.best("strided", *key), f.best(TRAIN_PEER, *key)), 4
    for name in f.names.get("memory", {}):
        for threads in (1, 2):
            key = (threads, "memory", name, "bytes")
            yield (f"{name} memory, {plural(threads)}",
                   ratio(f.get(TRAIN_PEER, *key), f.get("strided", *key)), 1)
    for name in f.names.get("infer", {}):
        us = f.best(INFER_PEER, "infer", name, "us", least=True)
        yield f"{name}, one sample", ratio(us, f.get("strided", 1, "infer", name, "us")), 2
        key = ("infer", name, "samples/s")
        yield f"{name}, batches", ratio(f.best("strided", *key), f.best(INFER_PEER, *key)), 1.5


def tables(f):
    parts = ["\n".join(f.notes)] if f.notes else []
    peaks = [f"{number(f.peak(t))} GFLOP/s on {t}" for t in (1, 2) if f.peak(t)]
    if peaks:
        parts.append(f"FMA peak in float32 ({next(iter(f.names['peak']))}): {', '.join(peaks)}")
    if "layers" in f.names:
        parts += [layer_table(f, t) for t in (1, 2)
                  if any(key[:3] == ("strided", t, "layers") for key in f.values)]
    for kind, makers in {"train": [train_table], "memory": [memory_table],
                         "infer": [latency_table, throughput_table]}.items():
        if kind in f.names:
            parts += [make(f) for make in makers]
    return "\n\n".join(parts)


def missed(f):
    judged = [goal for goal in goals(f) if goal[1] is not None]
    below = [f"  {what}: {times(value)}, goal {goal}x" for what, value, goal in judged
             if value < goal]
    return "\n".join([f"{len(judged) - len(below)} of {len(judged)} goals met"] + below)


def main():
    figures = Figures(open(sys.argv[1]) if len(sys.argv) > 1 else sys.stdin)
    print(tables(figures))
    if any(engine != "strided" for engine, *_ in figures.values):
        print("\n" + missed(figures), file=sys.stderr)


if __name__ == "__main__":
    main()
