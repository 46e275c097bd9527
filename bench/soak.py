#!/usr/bin/env python3
"""Mixed load on one daemon for a while: do memory and descriptors stay where they are?

Predictions as JSON, raw floats, PNG and by /v2, bad bodies, connections that come and go or hang up
in the middle, a dataset put and deleted, a model put and activated, jobs that train, are watched,
cancelled and deleted, scrapes of /metrics. After a warm-up of a quarter of the time the resident
memory and the open descriptors are sampled; at the end both must be near what they were.
    bench/soak.py [build] [--minutes 10]
Works on sanitizer builds too; then memory is only printed, and a report of theirs is a failure.
"""
import argparse
import base64
import http.client
import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

CLIENTS = 6
GROWN_MIB_MAX = 24
GROWN_FDS_MAX = 8


def png(side=28):
    def chunk(kind, data):
        return (struct.pack('>I', len(data)) + kind + data +
                struct.pack('>I', zlib.crc32(kind + data)))
    rows = b''.join(b'\0' + bytes(random.randrange(256) for _ in range(side)) for _ in range(side))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


class Daemon:
    def __init__(self, build, folder):
        self.log = open(os.path.join(folder, 'log'), 'wb')
        self.process = subprocess.Popen(
            [os.path.join(build, 'strided'), 'serve', '--no-bootstrap', '--no-access-log', '--listen',
             '127.0.0.1:0', '--data-dir', os.path.join(folder, 'data')],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        ready = self.process.stdout.readline()
        match = re.search(r':(\d+)$', ready.strip())
        if not match:
            raise SystemExit('the daemon does not start: ' + ready)
        self.port = int(match.group(1))

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=120)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def resident_mib(self):
        with open(f'/proc/{self.process.pid}/status') as status:
            return int(re.search(r'VmRSS:\s+(\d+)', status.read()).group(1)) / 1024

    def descriptors(self):
        return len(os.listdir(f'/proc/{self.process.pid}/fd'))

    def stop(self):
        self.process.terminate()
        return self.process.wait(120)


class Load:
    def __init__(self, daemon, model_file):
        self.daemon = daemon
        self.model_file = model_file
        self.end = False
        self.counts = {}
        self.wrong = []
        self.lock = threading.Lock()

    def count(self, what, status, expected):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1
            if status not in expected:
                self.wrong.append(f'{what}: {status}')

    def expect(self, what, expected, method, path, body=None, headers=None):
        status, reply = self.daemon.ask(method, path, body, headers)
        self.count(what, status, expected)
        return reply

    def predictions(self):
        """One of each kind on a connection that is kept, now and then a new one."""
        numbers = [random.random() for _ in range(784)]
        raw = struct.pack('<784f', *numbers)
        bodies = [
            ('json', '/predict?model=m', json.dumps({'inputs': numbers}), {}, (200, 503)),
            ('raw', '/predict?model=m', raw, {'Content-Type': 'application/octet-stream'}, (200, 503)),
            ('png', '/predict?model=m', png(), {'Content-Type': 'image/png'}, (200, 503)),
            ('base64', '/predict?model=m',
             json.dumps({'image': base64.b64encode(png()).decode()}), {}, (200, 503)),
            ('v2', '/v2/models/m/infer', json.dumps({'inputs': [{
                'name': 'input', 'datatype': 'FP32', 'shape': [1, 784], 'data': numbers}]}), {},
             (200, 503)),
            ('bad json', '/predict?model=m', '{"inputs":[1,2', {}, (400,)),
            ('bad png', '/predict?model=m', png()[:99], {'Content-Type': 'image/png'}, (422,)),
            ('no model', '/predict?model=none', raw, {}, (404,)),
        ]
        while not self.end:
            connection = http.client.HTTPConnection('127.0.0.1', self.daemon.port, timeout=120)
            for _ in range(random.randrange(1, 400)):
                name, path, body, headers, expected = random.choice(bodies)
                connection.request('POST', path, body, headers)
                reply = connection.getresponse()
                reply.read()
                self.count(name, reply.status, expected)
                if self.end or reply.getheader('Connection') == 'close':
                    break
            connection.close()

    def hang_ups(self):
        """Clients that leave in the middle of a request, or before the reply."""
        raw = struct.pack('<784f', *([0.5] * 784))
        request = (b'POST /predict?model=m HTTP/1.1\r\nHost: x\r\nContent-Type: '
                   b'application/octet-stream\r\nContent-Length: 3136\r\n\r\n' + raw)
        while not self.end:
            with socket.create_connection(('127.0.0.1', self.daemon.port)) as s:
                s.sendall(request[:random.randrange(1, len(request) + 1)])
            self.count('hang-up', 0, (0,))
            time.sleep(0.01)

    def changes(self):
        """Models, datasets and jobs come and go."""
        turn = 0
        while not self.end:
            turn += 1
            self.expect('put model', (201,), 'PUT', '/models/m', self.model_file)
            versions = json.loads(self.expect('models', (200,), 'GET', '/models/m'))['versions']
            oldest = min(v['version'] for v in versions)
            if len(versions) > 3:
                self.expect('activate', (200,), 'POST', f'/models/m/versions/{oldest + 1}/activate')
                self.expect('delete version', (204,), 'DELETE', f'/models/m/versions/{oldest}')
            self.expect('put dataset', (201,), 'PUT', f'/datasets/d{turn}', json.dumps(
                {'generator': 'shapes', 'train': 400, 'test': 100, 'seed': turn}))
            self.jobs(f'd{turn}')
            self.expect('delete dataset', (204,), 'DELETE', f'/datasets/d{turn}')
            self.expect('metrics', (200,), 'GET', '/metrics')
            self.expect('list', (200,), 'GET', '/jobs')

    def jobs(self, dataset):
        for epochs in (2, 100000):
            job = json.loads(self.expect('post job', (202,), 'POST', '/jobs', json.dumps(
                {'model': 'trained', 'dataset': dataset, 'architecture': 'shapes-cnn',
                 'epochs': epochs})))['id']
            if epochs > 2:
                time.sleep(1)
                self.expect('cancel', (202,), 'POST', f'/jobs/{job}/cancel')
            self.expect('events', (200,), 'GET', f'/jobs/{job}/events')
            # On a slow build a job may be cancelled before its first epoch ends.
            self.expect('confusion', (200,) if epochs == 2 else (200, 404), 'GET',
                        f'/jobs/{job}/confusion')
            self.expect('delete job', (204,), 'DELETE', f'/jobs/{job}')
        versions = json.loads(self.expect('models', (200,), 'GET', '/models/trained'))['versions']
        if len(versions) > 1:
            oldest = min(v['version'] for v in versions)
            self.expect('delete version', (204,), 'DELETE', f'/models/trained/versions/{oldest}')


def first_model(daemon):
    daemon.ask('PUT', '/datasets/first', '{"generator":"shapes","train":200,"test":50}')
    status, reply = daemon.ask('POST', '/jobs', json.dumps(
        {'model': 'm', 'dataset': 'first', 'architecture': 'lenet', 'epochs': 1}))
    daemon.ask('GET', f'/jobs/{json.loads(reply)["id"]}?wait=600')
    status, model = daemon.ask('GET', '/models/m/onnx')
    if status != 200:
        raise SystemExit('no model to begin with')
    return model


def soak(daemon, minutes):
    load = Load(daemon, first_model(daemon))
    threads = [threading.Thread(target=load.predictions) for _ in range(CLIENTS)]
    threads += [threading.Thread(target=load.hang_ups), threading.Thread(target=load.changes)]
    for thread in threads:
        thread.start()
    begin, seconds, rows = time.time(), minutes * 60, []
    while time.time() - begin < seconds and daemon.process.poll() is None:
        time.sleep(seconds / 20)
        rows.append((time.time() - begin, daemon.resident_mib(), daemon.descriptors(),
                     sum(load.counts.values())))
        print('%6.0f s  %7.1f MiB  %4d descriptors  %9d requests' % rows[-1], flush=True)
    load.end = True
    for thread in threads:
        thread.join()
    return load, rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('build', nargs='?', default='build')
    parser.add_argument('--minutes', type=float, default=10)
    arguments = parser.parse_args()
    random.seed(1)
    folder = tempfile.mkdtemp(prefix='strided-soak-')
    daemon = Daemon(arguments.build, folder)
    try:
        load, rows = soak(daemon, arguments.minutes)
    finally:
        status = daemon.stop()
    log = open(os.path.join(folder, 'log'), errors='replace').read()
    shutil.rmtree(folder)
    print('requests:', ', '.join(f'{k} {v}' for k, v in sorted(load.counts.items())))
    settled = rows[len(rows) // 4:]
    third = max(1, len(settled) // 3)
    grown = [max(r[k] for r in settled[-third:]) - max(r[k] for r in settled[:third]) for k in (1, 2)]
    print('after the warm-up: %+.1f MiB, %+d descriptors (largest of the last third against the '
          'first)' % tuple(grown))
    sanitized = 'san' in os.path.basename(os.path.normpath(arguments.build))
    failures = [f'{len(load.wrong)} unexpected answers: {load.wrong[:5]}'] if load.wrong else []
    if status != 0:
        failures.append(f'exit status {status}')
    if 'Sanitizer' in log:
        failures.append(log[log.index('Sanitizer') - 200:][:3000])
    if not sanitized and grown[0] > GROWN_MIB_MAX:
        failures.append(f'memory grew by {grown[0]:.1f} MiB')
    if grown[1] > GROWN_FDS_MAX:
        failures.append(f'descriptors grew by {grown[1]}')
    for failure in failures:
        print('not kept:', failure)
    sys.exit(1 if failures else 0)


main()
