#!/usr/bin/env python3
"""ModelNet10's occupancy grids as a dataset of a running daemon: 24^3 voxels, npy parts, one curl.

    bench/modelnet.py [--classes 4|10] [--url http://127.0.0.1:8080] [--dataset NAME]

Looks for modelnet10-voxels.tar.xz in $STRIDED_DATA, then in ../shared/data; says so and exits with
status 77 where it is absent. The published grids are 30^3: 24^3 with 3 empty voxels on every side,
bits most significant first, C order [x][y][z], filled inside. --classes 4 keeps the first four in
alphabetical order (bathtub, bed, chair, desk). What turns a mesh of ModelNet into such a grid is
said with the upload (MESHES below) and travels into the models trained on it, which therefore take
OFF files. ModelNet is for academic research only.

Needs python3 and curl.
"""
import argparse
import os
import subprocess
import sys
import tarfile
import tempfile

ARCHIVE = "modelnet10-voxels.tar.xz"
CLASSES = "bathtub bed chair desk dresser monitor night_stand sofa table toilet".split()
SIDE, PUBLISHED, MARGIN = 24, 30, 3
OBJECT_BYTES = PUBLISHED**3 // 8
MESHES = "axes=yxz&aspect=keep&solid=true&points=16384"
BITS = [bytes(byte >> (7 - bit) & 1 for bit in range(8)) for byte in range(256)]


def find_archive():
    here = os.path.dirname(os.path.abspath(__file__))
    folders = [os.environ.get("STRIDED_DATA"), os.path.join(here, "..", "..", "shared", "data")]
    for folder in filter(None, folders):
        path = os.path.join(folder, ARCHIVE)
        if os.path.exists(path):
            return path
    print(f"skipped: no {ARCHIVE} in $STRIDED_DATA or ../shared/data")
    sys.exit(77)


def crop(packed):
    """3375 bytes of 30^3 bits to 24^3 bytes of 0 and 1."""
    grid = b"".join(map(BITS.__getitem__, packed))
    inner = range(MARGIN, MARGIN + SIDE)
    starts = ((x * PUBLISHED + y) * PUBLISHED + MARGIN for x in inner for y in inner)
    return b"".join(grid[start : start + SIDE] for start in starts)


def write_npy(path, shape, chunks):
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode())
        for chunk in chunks:
            file.write(chunk)


def convert(archive, split, classes, folder):
    """The split's two npy files; returns how many objects they hold."""
    members = {os.path.basename(m.name): m for m in archive.getmembers()}
    bits = archive.extractfile(members[f"rot1_{split}_30cube_bits.bin"]).read()
    name = next(n for n in members if split in n and n.endswith("labels.u8"))
    labels = archive.extractfile(members[name]).read()
    assert len(bits) == len(labels) * OBJECT_BYTES, "sizes of grids and labels disagree"
    kept = [i for i, label in enumerate(labels) if label < classes]
    grids = (crop(bits[i * OBJECT_BYTES : (i + 1) * OBJECT_BYTES]) for i in kept)
    write_npy(f"{folder}/{split}_x.npy", (len(kept), 1, SIDE, SIDE, SIDE), grids)
    write_npy(f"{folder}/{split}_y.npy", (len(kept),), [bytes(labels[i] for i in kept)])
    return len(kept)


def main():
    parser = argparse.ArgumentParser(description="Upload ModelNet10's grids to a daemon.")
    parser.add_argument("--classes", type=int, choices=[4, 10], default=10)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--dataset", help="default: modelnet4 or modelnet10")
    options = parser.parse_args()
    name = options.dataset or f"modelnet{options.classes}"
    labels = ",".join(CLASSES[: options.classes])
    with tarfile.open(find_archive()) as archive, tempfile.TemporaryDirectory() as folder:
        counts = {s: convert(archive, s, options.classes, folder) for s in ("train", "test")}
        parts = [f"{s}_{p}" for s in counts for p in "xy"]
        command = ["curl", "-sS", "--fail-with-body", "-X", "PUT"]
        command += [f"{options.url}/datasets/{name}?labels={labels}&{MESHES}"]
        for part in parts:
            command += ["-F", f"{part}=@{folder}/{part}.npy"]
        status = subprocess.run(command, check=False).returncode
    print(f"\n{name}: {counts['train']} training and {counts['test']} test objects", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
