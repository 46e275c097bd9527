#!/usr/bin/env python3
"""tables - the CSV lines of run.py as markdown tables, and what misses its goal.

usage: tables.py FILE     FILE: of bench/results/
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from table import number, ratio, table, times

PEERS = {"node": "Node", "fastapi": "FastAPI"}
# How often the daemon is to answer for each answer of the peer.
GOALS = {("lenet raw", "node"): 3.5, ("lenet JSON", "node"): 3,
         ("lenet JSON of 7 digits", "node"): 3, ("voxel-cnn JSON", "node"): 5,
         ("lenet raw", "fastapi"): 15, ("lenet JSON", "fastapi"): 15}
BESIDE_TRAINING = 2  # times the p99 of an idle daemon, at most
JSON_COST = 1.3      # times a raw body, at most
MIB = 2 ** 20
READY_MS, RSS_MIB, STRIPPED_MIB = 50, 30, 3


class Figures:
    """Values by (engine, setting, scenario, metric)."""

    def __init__(self, lines):
        lines = [line.strip() for line in lines if line.strip()]
        self.notes = [line[1:].strip() for line in lines if line.startswith("#")]
        self.values = {}
        for engine, setting, scenario, metric, value, *_ in (
                line.split(",") for line in lines
                if line[0] != "#" and not line.startswith("engine,")):
            self.values[engine, setting, scenario, metric] = float(value)

    def get(self, scenario, metric, engine="strided", setting="-"):
        return self.values.get((engine, setting, scenario, metric))

    def best_setting(self, engine, scenario):
        """That which answers most often."""
        rates = {setting: value for (e, setting, s, metric), value in self.values.items()
                 if (e, s, metric) == (engine, scenario, "requests/s")}
        return max(rates, key=rates.get) if rates else None

    def best(self, engine, scenario, metric):
        return self.get(scenario, metric, engine, self.best_setting(engine, scenario))

    def against(self, engine, scenario):
        return ratio(self.get(scenario, "requests/s"), self.best(engine, scenario, "requests/s"))

    def json_cost(self, scenario, metric):
        raw, text = self.get("lenet raw", metric), self.get(scenario, metric)
        return ratio(raw, text) if metric == "requests/s" else ratio(text, raw)

    def scenarios(self):
        return list(dict.fromkeys(s for e, _, s, _ in self.values if e in PEERS))


def milliseconds(us):
    return "-" if us is None else number(us / 1000)


def rate_row(f, scenario):
    row = [scenario, number(f.get(scenario, "requests/s"))]
    for engine in PEERS:
        row += [f"{number(f.best(engine, scenario, 'requests/s'))} "
                f"({f.best_setting(engine, scenario)})", f"**{times(f.against(engine, scenario))}**"]
    return row


def rate_table(f):
    heads = [head for name in PEERS.values() for head in (f"{name} (workers x threads)", "ratio")]
    return "Requests/s; of each peer its best setting\n\n" + table(
        ["request", "strided", *heads], [rate_row(f, s) for s in f.scenarios()])


def latency_row(f, scenario):
    row = [scenario]
    for engine in ("strided", *PEERS):
        row.append(" / ".join(milliseconds(f.best(engine, scenario, metric))
                              for metric in ("p50_us", "p99_us")))
    for engine in ("strided", *PEERS):
        row.append(number(f.best(engine, scenario, "cpu_us")))
    return row


def latency_table(f):
    names = ["strided", *PEERS.values()]
    return ("Milliseconds to an answer, half of them / 99 of 100; and microseconds of processor time "
            "the server takes for one\n\n") + table(
        ["request", *(f"{n}, ms" for n in names), *(f"{n}, CPU us" for n in names)],
        [latency_row(f, s) for s in f.scenarios()])


def training_rows(f):
    for load in ("500/s", "all out"):
        for metric, what in (("p50_us", "predict p50"), ("p99_us", "predict p99"),
                             ("health_p99_us", "/health/live p99")):
            idle, busy = (f.get(f"{load} {when}", metric) for when in ("idle", "training"))
            yield [f"lenet raw, {load}: {what}, ms", milliseconds(idle), milliseconds(busy),
                   times(ratio(busy, idle))]


def training_table(f):
    return "Beside a training job (mnist-cnn, a thread on every core, lower priority)\n\n" + table(
        ["", "idle", "training", "ratio"], training_rows(f))


def idle_row(f, metric, what, show):
    none, many = (f.get(f"{count} idle connections", metric) for count in (0, 1000))
    return [what, show(none), show(many), times(ratio(many, none))]


def idle_table(f):
    return "With 1000 idle connections held, lenet raw\n\n" + table(
        ["", "none", "1000", "ratio"],
        [idle_row(f, "requests/s", "requests/s", number),
         idle_row(f, "p99_us", "p99, ms", milliseconds)])


def footprint(f):
    return (f"Ready {number(f.get('start', 'ready_ms'))} ms after its start, "
            f"{f.get('lenet loaded', 'rss_bytes') / MIB:.1f} MiB resident with lenet loaded and asked, "
            f"stripped binary {f.get('binary', 'stripped_bytes') / MIB:.2f} MiB.")


def goals(f):
    """(what, value, goal, whether more is better) of everything that was measured."""
    for (scenario, engine), goal in GOALS.items():
        yield f"{scenario}, times {PEERS[engine]}", f.against(engine, scenario), goal, True
    for scenario in f.scenarios():
        for engine in PEERS:
            yield (f"{scenario}, p99 in {PEERS[engine]}'s",
                   ratio(f.get(scenario, "p99_us"), f.best(engine, scenario, "p99_us")), 1, False)
    for load in ("500/s", "all out"):
        for metric in ("p99_us", "health_p99_us"):
            idle, busy = (f.get(f"{load} {when}", metric) for when in ("idle", "training"))
            yield f"{metric} beside training, {load}", ratio(busy, idle), BESIDE_TRAINING, False
    for scenario in ("lenet JSON", "lenet JSON of 7 digits"):
        yield (f"{scenario} to raw, requests/s", f.json_cost(scenario, "requests/s"), JSON_COST,
               False)
    for what, metric, unit, goal in (("start", "ready_ms", 1, READY_MS),
                                     ("lenet loaded", "rss_bytes", MIB, RSS_MIB),
                                     ("binary", "stripped_bytes", MIB, STRIPPED_MIB)):
        yield what, ratio(f.get(what, metric), unit), goal, False


def tables(f):
    parts = ["\n".join(f.notes)]
    if f.scenarios():
        parts += [rate_table(f), latency_table(f)]
    if f.get("binary", "stripped_bytes"):
        parts += [training_table(f), idle_table(f), footprint(f)]
    return "\n\n".join(parts)


def missed(f):
    judged = [goal for goal in goals(f) if goal[1] is not None]
    bad = [f"  {what}: {value:.2f}, goal at {'least' if more else 'most'} {goal}"
           for what, value, goal, more in judged if (value < goal) == more and value != goal]
    return "\n".join([f"{len(judged) - len(bad)} of {len(judged)} goals met"] + bad)


def main():
    with open(sys.argv[1]) as file:
        figures = Figures(file)
    print(tables(figures))
    print("\n" + missed(figures), file=sys.stderr)


if __name__ == "__main__":
    main()
