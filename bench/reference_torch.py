#!/usr/bin/python3
"""The from-scratch notebook's run in PyTorch: the first 1000 training and 200 test images of
MNIST, SGD .01, batch 100, 3 epochs, default initialisation; one line a net with the mean and the
standard deviation of loss and test accuracy over several seeds. Needs python3-torch.

usage: reference_torch.py DATA_DIR [SEEDS] [EPOCHS]
"""
import sys
import numpy as np
import torch
from torch import nn


def idx(path, header):
    return np.frombuffer(open(path, "rb").read(), np.uint8, offset=header)


def load(folder, part, count):
    x = idx(f"{folder}/{part}-images", 16)[: count * 784].reshape(count, 1, 28, 28)
    y = idx(f"{folder}/{part}-labels", 8)[:count]
    return torch.tensor(x / np.float32(255)), torch.tensor(y.astype(np.int64))


def scratch():
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(1568, 64), nn.ReLU(), nn.Linear(64, 10))


def lenet():
    return nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5),
                         nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 120), nn.ReLU(),
                         nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))


def run(make, seed, epochs, train, test):
    torch.manual_seed(seed)
    net, loss_of = make(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(epochs):
        order, total = torch.randperm(len(train[1])), 0.0
        for batch in order.split(100):
            optimizer.zero_grad()
            loss = loss_of(net(train[0][batch]), train[1][batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
    with torch.no_grad():
        accuracy = (net(test[0]).argmax(1) == test[1]).float().mean().item()
    return total / len(train[1]), accuracy


folder = sys.argv[1]
seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 3
train, test = load(folder, "train", 1000), load(folder, "t10k", 200)
for make in (scratch, lenet):
    losses, accuracies = zip(*(run(make, seed, epochs, train, test) for seed in range(seeds)))
    print(f"torch {make.__name__} seeds {seeds} epochs {epochs} "
          f"loss {np.mean(losses):.4f} +- {np.std(losses, ddof=1):.4f} "
          f"accuracy {np.mean(accuracies):.4f} +- {np.std(accuracies, ddof=1):.4f}")
