"""A peer that has everything and is bad company: `choking|stalling HOST PORT TORRENT CONTENT TRACKER`.

choking   serves for a second, chokes for two, again and again; 64 KiB a second while it serves
stalling  unchokes, serves four chunks to each peer and is silent from then on

It announces itself and answers whoever dials it, until it is killed.
"""

import http.client
import os
import socket
import struct
import sys
import threading
import time
import urllib.parse

from torrent_file import info_of

SERVED, CHOKED = 1.0, 2.0
RATE = 64 << 10
CHUNKS = 4
LONGEST_MESSAGE = 1 << 20
CHOKE, UNCHOKE, INTERESTED, BITFIELD, REQUEST, PIECE = 0, 1, 2, 5, 6, 7


class Peer:
    def __init__(self, manner, torrent, content):
        self.manner, self.content = manner, content
        # Held by whoever is being served.
        self.line = threading.Lock()
        self.info_hash, self.pieces, self.piece_length = info_of(torrent)

    def announce(self, tracker, host, port):
        query = urllib.parse.urlencode({"info_hash": self.info_hash, "peer_id": b"-BENCH0-" + os.urandom(12), "port": port,
                                        "uploaded": 0, "downloaded": 0, "left": 0, "compact": 1, "event": "started"},
                                       quote_via=urllib.parse.quote)
        url = urllib.parse.urlsplit(tracker)
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10, source_address=(host, 0))
        connection.request("GET", f"{url.path}?{query}")
        connection.getresponse().read()

    def serve(self, connection):
        try:
            self.talk(connection)
        except OSError:
            pass  # it has left
        finally:
            connection.close()

    def talk(self, connection):
        connection.settimeout(600)
        handshake = self.exactly(connection, 68)
        if handshake[:20] != b"\x13BitTorrent protocol":
            return  # an encrypted handshake: it tries again without
        connection.sendall(b"\x13BitTorrent protocol" + bytes(8) + self.info_hash + b"-BENCH0-" + os.urandom(12))
        field = bytearray((self.pieces + 7) // 8)
        for piece in range(self.pieces):
            field[piece // 8] |= 0x80 >> piece % 8
        lock = threading.Lock()

        def send(kind, body=b""):
            with lock:
                connection.sendall(struct.pack(">IB", 1 + len(body), kind) + body)

        send(BITFIELD, bytes(field))
        choked, served = threading.Event(), 0
        if self.manner == "choking":
            threading.Thread(target=self.alternate, args=(send, choked), daemon=True).start()
        else:
            send(UNCHOKE)
        with open(self.content, "rb") as file:
            while True:
                (length,) = struct.unpack(">I", self.exactly(connection, 4))
                if length > LONGEST_MESSAGE:
                    return
                message = self.exactly(connection, length)
                if not message or message[0] != REQUEST or choked.is_set():
                    continue
                if self.manner == "stalling" and served == CHUNKS:
                    continue
                piece, begin, size = struct.unpack(">III", message[1:])
                file.seek(piece * self.piece_length + begin)
                chunk = file.read(min(size, 1 << 17))
                with self.line:
                    time.sleep(len(chunk) / RATE)
                if not choked.is_set():
                    send(PIECE, message[1:9] + chunk)
                served += 1

    @staticmethod
    def alternate(send, choked):
        try:
            while True:
                choked.clear()
                send(UNCHOKE)
                time.sleep(SERVED)
                choked.set()
                send(CHOKE)
                time.sleep(CHOKED)
        except OSError:
            pass  # it has left

    @staticmethod
    def exactly(connection, length):
        data = b""
        while len(data) < length:
            part = connection.recv(length - len(data))
            if not part:
                raise ConnectionError("the connection ended")
            data += part
        return data


def main():
    manner, host, port, torrent, content, tracker = sys.argv[1:]
    peer = Peer(manner, torrent, content)
    with socket.create_server((host, int(port)), backlog=100) as listener:
        peer.announce(tracker, host, int(port))
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=peer.serve, args=(connection,), daemon=True).start()


main()
