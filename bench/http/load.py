"""load - the requests that are timed, and wrk, which sends them."""
import pathlib
import random
import struct
import subprocess
import zlib

HERE = pathlib.Path(__file__).resolve().parent
CONNECTIONS = 16
RAW, JSON, PNG = "application/octet-stream", "application/json", "image/png"


def png(pixels, side):
    """A grey picture of 8 bits."""
    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check
    lines = b"".join(b"\0" + bytes(pixels[i:i + side]) for i in range(0, side * side, side))
    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def floats(values):
    return struct.pack(f"<{len(values)}f", *values)


def listed(values, sizes):
    """A list of so many lists of lists; sizes (): one flat list."""
    if not sizes:
        return "[" + ",".join(f"{v:.7g}" for v in values) + "]"
    part = len(values) // sizes[0]
    return "[" + ",".join(listed(values[i * part:(i + 1) * part], sizes[1:])
                          for i in range(sizes[0])) + "]"


def numbers(values, sizes=()):
    return f'{{"inputs":{listed(values, sizes)}}}'.encode()


def drawing(side):
    """Grey values, light on dark: a ring, soft at its edges, with some noise."""
    def value(x, y):
        distance = abs(((x - side / 2) ** 2 + (y - side / 2) ** 2) ** 0.5 - side / 4)
        return max(0, round(255 - 85 * distance - random.random() * 30)) if distance < 3 else 0
    return [value(x, y) for y in range(side) for x in range(side)]


class Request:
    """model None: GET /health/live."""

    def __init__(self, name, model=None, content_type=None, body=b""):
        self.name, self.model, self.content_type, self.body = name, model, content_type, body
        self.path = f"/models/{model}/predict" if model else "/health/live"

    def write(self, folder):
        self.file = pathlib.Path(folder) / self.name.replace(" ", "-").replace("^", "")
        self.file.write_bytes(self.body)


def requests(folder):
    random.seed(1)
    digit = drawing(28)
    grid = [float(random.random() < 0.1) for _ in range(24 ** 3)]
    grey = [v / 255 for v in digit]
    noise = [random.random() for _ in range(784)]
    found = [
        Request("empty reply"),
        Request("lenet raw", "lenet", RAW, floats(grey)),
        Request("lenet JSON", "lenet", JSON, numbers(grey)),
        Request("lenet JSON of 7 digits", "lenet", JSON, numbers(noise)),
        Request("lenet PNG", "lenet", PNG, png(digit, 28)),
        Request("voxel-cnn raw", "voxel-cnn", RAW, floats(grid)),
        Request("voxel-cnn JSON", "voxel-cnn", JSON, numbers(grid, (24, 24))),
        Request("voxel-cnn JSON in one list", "voxel-cnn", JSON, numbers(grid)),
    ]
    for request in found:
        request.write(folder)
    return found


def wrk(server, request, seconds):
    """Figures by metric: requests/s, p50_us, p99_us, and cpu_us of the server for each request."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", HERE / "wrk.lua",
               server.url(request.path)]
    if request.model:
        command += ["--", "POST", request.content_type, request.file]
    before = server.cpu_s()
    done = subprocess.run([*map(str, command)], text=True, stdout=subprocess.PIPE, check=True)
    cpu = server.cpu_s() - before
    line = next(line for line in done.stdout.splitlines() if line.startswith("figures:"))
    fields = map(float, line.removeprefix("figures:").split(","))
    count, took, p50, p99, refused, broken = fields
    if refused or broken:
        raise SystemExit(f"{server.engine} {server.setting}, {request.name}: {refused:.0f} answers "
                         f"were not 200, {broken:.0f} connections failed")
    return {"requests/s": count / took, "p50_us": p50, "p99_us": p99, "cpu_us": cpu / max(count, 1) * 1e6}


def steady(build, server, request, rate, seconds):
    """bench/overload.c: so many requests a second whatever comes of them (0: as many as are
    answered), and GET /health/live every 20 ms."""
    done = subprocess.run([*map(str, [build / "bench" / "overload", server.port, request.path,
                                      request.file, rate, seconds, CONNECTIONS])],
                          text=True, stdout=subprocess.PIPE, check=True)
    fields = [float(field) for field in done.stdout.split(",")]
    if fields[4] or fields[5]:
        raise SystemExit(f"{fields[4]:.0f} requests were refused, {fields[5]:.0f} went wrong")
    return {"requests/s": fields[6], "p50_us": fields[7] * 1e3, "p99_us": fields[8] * 1e3,
            "health_p99_us": fields[11] * 1e3}
