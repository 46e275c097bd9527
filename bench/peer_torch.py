#!/usr/bin/python3
"""peer_torch - training steps of the same nets in PyTorch, as its users write them: float32 tensors
in memory, a batch taken by index, cross-entropy, Adam, the loss read each step.

usage: peer_torch.py KIND [NAME [THREADS]]   or   peer_torch.py -     KIND: train, memory
The requests, CSV lines and BENCH_SECONDS are those of measure.h. Set OMP_NUM_THREADS to THREADS as
well. memory measures the process, so it wants one that has done nothing else. Needs Debian's
python3-torch, and a fast BLAS (libopenblas0-openmp).
"""
import os
import sys
import time
import torch
from torch import nn

ROUNDS_MAX, BATCHES = 5, 4
BUDGET_S = float(os.environ.get("BENCH_SECONDS", "0.2"))


def mnist_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 64),
        nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84),
        nn.ReLU(), nn.Linear(84, 10))


def scratch():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(1568, 64), nn.ReLU(), nn.Linear(64, 10))


def shapes_cnn(first=8, second=16):
    return nn.Sequential(
        nn.Conv2d(1, first, 3, padding="same"), nn.Tanh(), nn.MaxPool2d(3),
        nn.Conv2d(first, second, 3, padding="same"), nn.Tanh(), nn.MaxPool2d(3), nn.Flatten(),
        nn.Linear(9 * second, 2), nn.Softmax(dim=1))


def shapes_tiny():
    return shapes_cnn(1, 1)


def voxel_cnn():
    return nn.Sequential(
        nn.Conv3d(1, 16, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(16, 32, 3), nn.ReLU(),
        nn.MaxPool3d(2), nn.Conv3d(32, 64, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(),
        nn.Linear(64, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 4), nn.LogSoftmax(dim=1))


def voxel_cnn_wide():
    return nn.Sequential(
        nn.Conv3d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool3d(3, stride=1), nn.Flatten(),
        nn.Linear(8192, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 4), nn.LogSoftmax(dim=1))


# name: (net, its input, classes, batch); as in cases.c
NETS = {
    "mnist-cnn": (mnist_cnn, (1, 28, 28), 10, 150),
    "lenet": (lenet, (1, 28, 28), 10, 100),
    "scratch": (scratch, (1, 28, 28), 10, 100),
    "shapes-cnn": (shapes_cnn, (1, 28, 28), 2, 10),
    "voxel-cnn": (voxel_cnn, (1, 24, 24, 24), 4, 32),
    "voxel-cnn-wide": (voxel_cnn_wide, (1, 24, 24, 24), 4, 32),
}


class Training:
    def __init__(self, make, shape, classes, batch):
        torch.manual_seed(1)
        count = BATCHES * batch
        self.net = make()
        self.x = torch.rand((count,) + shape) * 2 - 1
        self.y = torch.arange(count) % classes
        self.batches = torch.randperm(count).split(batch)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=0.001)
        self.number = 0

    def step(self):
        index = self.batches[self.number % BATCHES]
        self.number += 1
        self.optimizer.zero_grad()
        loss = self.loss(self.net(self.x[index]), self.y[index])
        loss.backward()
        self.optimizer.step()
        return loss.item()


def time_calls(call, calls):
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def measure_call_s(call):
    """As in measure.c."""
    call()
    once = time_calls(call, 1)
    warm = int(BUDGET_S / ROUNDS_MAX / once)
    if warm > 1:
        once = time_calls(call, warm)
    rounds = min(ROUNDS_MAX, 1 + int(BUDGET_S / once))
    calls = int(BUDGET_S / rounds / once) + 1
    return sorted(time_calls(call, calls) for _ in range(rounds))[rounds // 2]


def process_bytes(key):
    for line in open("/proc/self/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


def memory_bytes(name):
    """What steps add to a process that has already trained a tiny net: PyTorch's code, its
    threads and its own first allocations are not counted. Nor are this net's gradients and Adam's
    two moments."""
    Training(shapes_tiny, (1, 28, 28), 2, 2).step()
    training = Training(*NETS[name])
    held = 3 * sum(p.numel() * p.element_size() for p in training.net.parameters())
    open("/proc/self/clear_refs", "w").write("5")
    before = process_bytes("VmRSS")
    for _ in range(2 * BATCHES):
        training.step()
    return process_bytes("VmHWM") - before - held


def answer(line):
    words = line.split() + ["all", "0"][len(line.split()) - 1:]
    kind, wanted_name, wanted_threads = words[:3]
    if kind not in ("train", "memory"):
        return False
    for name, case in NETS.items():
        for threads in (1, 2):
            if wanted_name not in ("all", name) or int(wanted_threads) not in (0, threads):
                continue
            torch.set_num_threads(threads)
            if kind == "train":
                rate = case[3] / measure_call_s(Training(*case).step)
                print(f"torch,{threads},train,{name},samples/s,{rate:.6g}", flush=True)
            else:
                print(f"torch,{threads},memory,{name},bytes,{memory_bytes(name):.6g}", flush=True)
    return True


def main():
    if sys.argv[1:] == ["-"]:
        for request in sys.stdin:
            if not answer(request):
                print(f"cannot answer: {request}", file=sys.stderr)
            print(flush=True)
    elif len(sys.argv) < 2 or not answer(" ".join(sys.argv[1:])):
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
