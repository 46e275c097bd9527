#!/usr/bin/env python3
"""Kills strided at every call that changes a file, and looks whether anything acknowledged is lost.

A short story is told to a daemon: datasets made, added to and deleted, jobs trained, models asked,
copied, activated and deleted. Told once without harm it gives the reference and the number of calls
by which daemon and worker change files below the data directory. Then, for each of these calls, it
is told to a new daemon on a new data directory, and the process is killed right there by the
library faults.so (faults.h); writes are also torn in half. The daemon is started again, must still
have whatever anyone was told, hears the rest of the story, and must end with what the reference
has: the same epochs, weights and predictions, an intact database, and no file too few or too many.
After some of the kills the start itself is killed, at each of its calls.

With --power the data directory lies on a small ext4 of its own, and a copy of that disk as it was
at the moment of the kill takes its place: what nobody synced is gone, as after a power cut.

usage: tests/kill_sweep.py [--all] [--power] [--jobs N] [POINT...]
  --all       every point: minutes; else some of them, evenly chosen: seconds
  --power     as root, where loop devices can be mounted
  --jobs N    so many at a time (default 2)
  POINT       only these, as they are named in the output: daemon:17, worker:3:torn; daemon:17+5:
              and the start after that at its fifth call
B (default build) is the folder of the binaries.
"""
import argparse
import concurrent.futures
import ctypes
import hashlib
import http.client
import json
import mmap
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("B", "build")
SAMPLE = 20  # of the first kills
BASES, SAMPLE_AGAIN = 10, 6  # first kills after which the start is killed; how many of these starts
WAIT_S = 300 if os.environ.get("STRIDED_TEST_SLOW") else 30

ROLES = ["daemon", "worker"]
CALLS = ["open", "write", "sync", "truncate", "allocate", "rename", "unlink", "mkdir"]
COUNT, FAIL, KILL, TEAR, CUT = range(5)


class Faults(ctypes.Structure):
    """struct faults of faults.h."""
    _fields_ = [("path", ctypes.c_char * 512)] + [
        (name, ctypes.c_uint32) for name in (
            "roles", "calls", "from_", "until", "action", "error", "matched", "acted", "acted_role",
            "acted_call")] + [("acted_path", ctypes.c_char * 512),
                              ("counts", ctypes.c_uint32 * len(CALLS) * len(ROLES))]


class Point:
    """Where to kill: at the n-th matching call of a process, and of the start after that."""

    def __init__(self, role, number, torn=False, again=0):
        self.role, self.number, self.torn, self.again = role, number, torn, again

    def __str__(self):
        return (f"{ROLES[self.role]}:{self.number}" + (":torn" if self.torn else "") +
                (f"+{self.again}" if self.again else ""))

    @staticmethod
    def parse(text):
        first, _, again = text.partition("+")
        role, number, *torn = first.split(":")
        return Point(ROLES.index(role), int(number), torn == ["torn"], int(again or 0))


class Gone(Exception):
    """The daemon did not answer."""


class Wrong(Exception):
    """What must not be."""


def expect(true, *about):
    if not true:
        raise Wrong(" ".join(str(part) for part in about))


# ---- the disk -------------------------------------------------------------------------------

class Disk:
    """A file system in a file, mounted below a folder. It writes nothing back by itself."""

    def __init__(self, folder):
        self.image, self.path = os.path.join(folder, "image"), os.path.join(folder, "disk")
        os.mkdir(self.path)
        with open(self.image, "wb") as file:
            file.truncate(48 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        self.mount()

    def mount(self):
        subprocess.run(["mount", "-o", "loop,commit=600", self.image, self.path], check=True)

    def unmount(self):
        # A worker may take a moment to follow its daemon.
        subprocess.run(["umount", "--lazy", self.path], check=True)

    def cut(self):
        """What has not come to the disk until now is lost."""
        after = self.image + "-after"
        subprocess.run(["cp", "--sparse=always", self.image, after], check=True)
        self.unmount()
        os.rename(after, self.image)
        self.mount()


# ---- the daemon -----------------------------------------------------------------------------

class Daemon:
    def __init__(self, folder, disk):
        self.disk = disk
        self.data = os.path.join(disk.path if disk else folder, "data")
        self.log = os.path.join(folder, "log")
        self.rule_file = os.path.join(folder, "faults")
        with open(self.rule_file, "wb") as file:
            file.truncate(ctypes.sizeof(Faults))
        with open(self.rule_file, "r+b") as file:
            self.faults = Faults.from_buffer(mmap.mmap(file.fileno(), 0))
        self.faults.path = (self.data + "/").encode()
        self.process = None

    def rule(self, action, roles, calls=CALLS, number=0):
        """From now on: what happens at the matching call of this number."""
        faults = self.faults
        faults.action = COUNT
        faults.roles = sum(1 << role for role in roles)
        faults.calls = sum(1 << CALLS.index(call) for call in calls)
        faults.from_ = faults.until = number
        faults.matched = faults.acted = 0
        faults.action = action

    def start(self):
        environment = dict(os.environ,
                           LD_PRELOAD=os.path.abspath(f"{BUILD}/tests/faults.so"),
                           STRIDED_FAULTS=self.rule_file)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [f"{BUILD}/strided", "serve", "--no-bootstrap", "--listen", "127.0.0.1:0",
                 "--data-dir", self.data, "--threads", "1", "--checkpoint-s", "0"],
                stdout=subprocess.PIPE, stderr=log, env=environment)
        line = self.process.stdout.readline()
        if not line:
            raise Gone
        self.port = int(line.rsplit(b":", 1)[1])

    def request(self, method, path, body=None, headers={}):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            if body and not isinstance(body, bytes):
                body = json.dumps(body)
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        except (ConnectionError, http.client.HTTPException):
            raise Gone from None
        finally:
            connection.close()

    def get(self, path):
        status, body = self.request("GET", path)
        expect(status == 200, "GET", path, "gave", status, body)
        return json.loads(body)

    def expect_killed(self):
        expect(self.process.wait(WAIT_S) == -signal.SIGKILL, "the daemon ended by itself:",
               self.process.returncode)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(WAIT_S)
        if status == -signal.SIGKILL:
            raise Gone
        expect(status == 0, "exit status", status)

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


def without(key, value):
    """The document without this member, anywhere in it."""
    if isinstance(value, list):
        return [without(key, item) for item in value]
    if isinstance(value, dict):
        return {name: without(key, item) for name, item in value.items() if name != key}
    return value


# ---- the story ------------------------------------------------------------------------------

SAMPLE_PIXELS = [[[(x * y) % 256 for x in range(28)] for y in range(28)]]


class Story:
    """What was told to a daemon so far, and what it acknowledged."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.told = 0       # steps
        self.there = {}     # path: the reply it must still give
        self.gone = set()   # paths that must be 404
        self.jobs = {}      # name: id
        self.versions = {}  # name of a job: version of its model
        self.result = {}    # to compare with the reference

    def steps(self):
        return [
            lambda: self.make("kept", 20, 10),
            lambda: self.make("unwanted", 10, 10),
            lambda: self.train("first", epochs=3),
            lambda: self.predict("m"),
            self.add_sample,
            lambda: self.delete("/datasets/unwanted"),
            lambda: self.train("second", epochs=1),
            self.copy_model,
            lambda: self.predict("copy"),
            self.activate,
            lambda: self.delete(f"/models/m/versions/{self.versions['first']}"),
            lambda: self.delete(f"/jobs/{self.jobs['second']}"),
        ]

    def go_on(self):
        steps = self.steps()
        while self.told < len(steps):
            steps[self.told]()
            self.told += 1

    def make(self, name, train, test):
        if self.daemon.request("GET", f"/datasets/{name}")[0] == 200:
            return  # what was cut short has happened
        status, body = self.daemon.request(
            "PUT", f"/datasets/{name}", {"generator": "shapes", "train": train, "test": test})
        expect(status == 201, "PUT gave", status, body)
        self.there[f"/datasets/{name}?version={json.loads(body)['version']}"] = None

    def add_sample(self):
        if self.daemon.get("/datasets/kept")["train"] == 21:
            return
        status, body = self.daemon.request(
            "POST", "/datasets/kept/samples?label=circle", {"inputs": SAMPLE_PIXELS})
        expect(status == 201, "POST samples gave", status, body)
        self.there[f"/datasets/kept?version={json.loads(body)['version']}"] = None

    def train(self, name, epochs):
        if name not in self.jobs:
            status, body = self.daemon.request(
                "POST", "/jobs", {"model": "m", "dataset": "kept", "architecture": "shapes-cnn",
                                  "epochs": epochs, "batch_size": 5},
                {"Idempotency-Key": name})
            expect(status == 202, "POST /jobs gave", status, body)
            self.jobs[name] = json.loads(body)["id"]
        path = f"/jobs/{self.jobs[name]}"
        job = self.follow(path)
        expect(job["state"] == "succeeded", path, job["state"], job["error"])
        self.versions[name] = job["model_version"]
        self.there[path] = job
        self.there[f"/models/m/versions/{job['model_version']}/onnx"] = None
        self.result.update({
            f"{name} weights_sha256": job["weights_sha256"],
            f"{name} test_loss": job["test_loss"],
            f"{name} best_epoch": job["best_epoch"],
            f"{name} loss": without("seconds", self.daemon.get(path + "/loss")),
            f"{name} confusion": without("job", self.daemon.get(path + "/confusion")),
            f"{name} failures": [without("link", without("picture", failure)) for failure in
                                 self.daemon.get(path + "/failures")["failures"]],
        })

    def follow(self, path):
        """Waits for a job's end; whatever epochs it showed meanwhile must not change any more, but
        for the seconds that they took when they were trained once more."""
        epoch = 0
        while True:
            job = self.daemon.get(path)
            if job["epoch"] > epoch:
                epoch = job["epoch"]
                for row in without("seconds", self.daemon.get(path + "/loss"))["epochs"]:
                    self.see(f"{path}/loss?since_epoch={row['epoch'] - 1}", row)
            if job["state"] not in ("queued", "running"):
                return job
            time.sleep(0.002)

    def see(self, path, row):
        expect(self.there.setdefault(path, row) == row, path, "became", row)

    def predict(self, model):
        status, body = self.daemon.request("POST", f"/predict?model={model}&scores=all",
                                           {"inputs": SAMPLE_PIXELS})
        expect(status == 200, "POST /predict gave", status, body)
        self.result["scores of " + model] = json.loads(body)["predictions"]

    def copy_model(self):
        if self.daemon.request("GET", "/models/copy")[0] != 200:
            second = f"/models/m/versions/{self.versions['second']}/onnx"
            onnx = self.daemon.request("GET", second)[1]
            status, body = self.daemon.request("PUT", "/models/copy", onnx)
            expect(status == 201, "PUT /models/copy gave", status, body)
        self.there["/models/copy/onnx"] = None

    def activate(self):
        first = self.versions["first"]
        status, body = self.daemon.request("POST", f"/models/m/versions/{first}/activate")
        expect(status == 200, "activate gave", status, body)
        active = self.daemon.get("/models/m")["version"]
        expect(active == first, "active is", active, "not", first)

    def delete(self, path):
        for known in [known for known in self.there if known.startswith(path)]:
            del self.there[known]
        status, body = self.daemon.request("DELETE", path)
        # One that was cut short may have happened.
        expect(status in (204, 404), "DELETE", path, "gave", status, body)
        self.gone.add(path)

    def look(self):
        """Whatever was acknowledged must be there; whatever was deleted must not."""
        for path, known in self.there.items():
            status, body = self.daemon.request("GET", path)
            expect(status == 200, "lost:", path, "gave", status, body)
            if known is not None:
                now = json.loads(body)
                now = without("seconds", now)["epochs"][0] if "/loss" in path else now
                expect(now == known, path, "was", known, "is", now)
        for path in self.gone:
            status, body = self.daemon.request("GET", path)
            expect(status in (404, 405), "came back:", path, status, body)


# ---- what must lie on the disk at the end ---------------------------------------------------

def files_below(folder):
    return {os.path.relpath(os.path.join(parent, name), folder)
            for parent, _, names in os.walk(folder) for name in names}


def check_disk(data):
    database = sqlite3.connect(f"file:{data}/strided.db?immutable=1", uri=True)
    try:
        for pragma, good in (("integrity_check", [("ok",)]), ("foreign_key_check", [])):
            found = database.execute(f"PRAGMA {pragma}").fetchall()
            expect(found == good, pragma, found)
        datasets = database.execute("SELECT name, version, bytes FROM datasets").fetchall()
        models = database.execute("SELECT name, version, sha256 FROM models").fetchall()
    finally:
        database.close()
    named = {"strided.db", "lock", "reserve"}
    for name, version, size in datasets:
        path = f"datasets/{name}/{version}.safetensors"
        named.add(path)
        expect(os.path.getsize(f"{data}/{path}") == size, "half a file:", path)
    for name, version, sha256 in models:
        path = f"models/{name}/{version}.onnx"
        named.add(path)
        with open(f"{data}/{path}", "rb") as file:
            expect(hashlib.sha256(file.read()).hexdigest() == sha256, "damaged:", path)
    there = files_below(data)
    expect(there == named, "too many:", sorted(there - named), "too few:", sorted(named - there))


# ---- one telling ----------------------------------------------------------------------------

class Told:
    """What came of telling the story: how many calls there were, where it was killed, how many
    calls the start after that made, and what to compare."""

    def __init__(self, counts, killed, restart_calls, result):
        self.counts, self.killed = counts, killed
        self.restart_calls, self.result = restart_calls, result


def killed_at(daemon):
    faults = daemon.faults
    path = faults.acted_path.decode().removeprefix(daemon.data + "/")
    return (CALLS[faults.acted_call], path) if faults.acted else None


def after_kill(daemon):
    daemon.expect_killed()
    if daemon.disk:
        daemon.disk.cut()


def tell_until_killed(daemon, story, point):
    """Returns where the last kill happened, if it did."""
    everything = range(len(ROLES))
    if point:
        daemon.rule(TEAR if point.torn else CUT if daemon.disk else KILL, [point.role],
                    ["write"] if point.torn else CALLS, point.number)
    else:
        daemon.rule(COUNT, everything)
    try:
        daemon.start()
        story.go_on()
        daemon.stop()
    except Gone:
        after_kill(daemon)
    killed = killed_at(daemon)
    if point and point.again:
        daemon.rule(KILL, everything, number=point.again)
        try:
            daemon.start()
            daemon.stop()
        except Gone:
            after_kill(daemon)
        killed = killed_at(daemon)
    return killed


def tell(point, power):
    """Tells the story, killing at `point` (None: nowhere)."""
    folder = tempfile.mkdtemp(prefix="strided-sweep-",
                              dir=os.environ.get("TMPDIR", "/dev/shm" if os.path.isdir("/dev/shm")
                                                 else None))
    disk = Disk(folder) if power else None
    daemon = Daemon(folder, disk)
    story = Story(daemon)
    killed = None
    try:
        killed = tell_until_killed(daemon, story, point)
        counts = [list(row) for row in daemon.faults.counts]
        daemon.rule(COUNT, range(len(ROLES)))
        daemon.start()
        restart_calls = daemon.faults.matched
        story.look()
        story.go_on()
        story.look()
        daemon.stop()
        check_disk(daemon.data)
        return Told(counts, killed, restart_calls, story.result)
    except Exception as problem:
        with open(daemon.log, errors="replace") as log:
            tail = "".join(line for line in log.readlines() if '"request"' not in line)[-1500:]
        raise Wrong(f"{point} {killed}: {problem!r}\n{tail}") from None
    finally:
        daemon.close()
        if disk:
            disk.unmount()
        shutil.rmtree(folder)


def try_point(point, power, reference):
    told = tell(point, power)
    for key, good in reference.result.items():
        expect(told.result[key] == good,
               f"{point} {told.killed}: {key} is {told.result[key]}, not {good}")
    return told


def first_points(counts):
    return [Point(role, number, torn)
            for role in range(len(ROLES))
            for torn in (False, True)
            for number in range(1, 1 + (counts[role][CALLS.index("write")] if torn
                                        else sum(counts[role])))]


def evenly(points, count):
    return [points[i * len(points) // count] for i in range(min(count, len(points)))]


class Sweep:
    def __init__(self, jobs, power, reference):
        self.pool = concurrent.futures.ThreadPoolExecutor(jobs)
        self.power, self.reference = power, reference
        self.told, self.failures, self.tried = {}, 0, 0

    def run(self, points):
        tries = [(point, self.pool.submit(try_point, point, self.power, self.reference))
                 for point in points]
        self.tried += len(points)
        for point, done in tries:
            try:
                self.told[point] = done.result()
            except Wrong as problem:
                self.failures += 1
                print("FAILED", str(problem)[:3000], flush=True)

    def again(self):
        """The starts after some of the kills, call by call."""
        bases = evenly([point for point, told in self.told.items()
                        if told.killed and point.role == ROLES.index("daemon")], BASES)
        return [Point(base.role, base.number, base.torn, number) for base in bases
                for number in range(1, 1 + self.told[base].restart_calls)]


def print_table(told):
    kinds = [(ROLES[point.role] + (", then its start" if point.again else ""),
              "torn write" if point.torn and not point.again else done.killed[0])
             for point, done in told.items() if done.killed]
    for role, call in sorted(set(kinds)):
        print(f"  {role}, {call}: {kinds.count((role, call))}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--all", action="store_true")
    options.add_argument("--power", action="store_true")
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("points", nargs="*", type=Point.parse)
    chosen = options.parse_args()
    started = time.monotonic()
    reference = tell(None, chosen.power)
    points = [point for point in first_points(reference.counts)
              if not (chosen.power and point.torn)]  # half of what is lost is lost
    sweep = Sweep(chosen.jobs, chosen.power, reference)
    if chosen.points:
        sweep.run(chosen.points)
    else:
        sweep.run(points if chosen.all else evenly(points, SAMPLE))
        again = sweep.again()
        sweep.run(again if chosen.all else evenly(again, SAMPLE_AGAIN))
    reached = sum(1 for told in sweep.told.values() if told.killed)
    print(f"{sweep.tried} kill points of {len(points)} and their starts', {reached} reached, "
          f"{sweep.failures} failed, {time.monotonic() - started:.1f} s")
    print_table(sweep.told)
    # In the words of libcheck, for tests/run.sh.
    print(f"{100 * (sweep.tried - sweep.failures) // max(1, sweep.tried)}%: "
          f"Checks: {sweep.tried}, Failures: {sweep.failures}, Errors: 0")
    return 1 if sweep.failures or not reached else 0


if __name__ == "__main__":
    sys.exit(main())
