"""What no client can do without: `PORT FILE` sends a file to whoever comes; `PORT FILE BYTES` receives,
hashes and writes one, and prints how many seconds that took."""

import hashlib
import os
import socket
import sys
import time

READ = 1 << 20


def send(port, path):
    with socket.create_server(("127.0.0.1", port)) as server, open(path, "rb") as file:
        while True:
            peer, _ = server.accept()
            with peer:
                at = 0
                while sent := os.sendfile(peer.fileno(), file.fileno(), at, READ):
                    at += sent


def receive(port, path, left):
    buffer = memoryview(bytearray(READ))
    start = time.monotonic()
    digest = hashlib.sha1()
    with socket.create_connection(("127.0.0.1", port)) as peer, open(path, "wb", buffering=0) as file:
        while left:
            part = buffer[:peer.recv_into(buffer)]
            digest.update(part)
            file.write(part)
            left -= len(part)
    print(time.monotonic() - start, flush=True)


if len(sys.argv) == 3:
    send(int(sys.argv[1]), sys.argv[2])
else:
    receive(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
