"""A seller of its own: written from docs/protocol.md alone, with Python's standard library.
What is signed, and how, it has in common with the payer beside it. It shares a torrent with
whoever connects, one after the other, until somebody has bought of it and left, and ends with
one line of JSON.

    sr_pay_seller.py --torrent FILE --content FILE --genesis HEX --key HEX --ask RAW_PER_GIB

The first line that it prints says where it listens.
"""

import argparse
import hashlib
import json
import os
import socket
import struct
import time

from sr_pay_payer import (
    CHUNK, DEADLINE, TOKEN, address, bdecode, bencode, digest, keccak, recover, sign,
)

PIPELINE = 1 << 20
CAP = 10_000_000


class Gone(Exception):
    """The buyer has left."""


class Seller:
    def __init__(self, args):
        spans = {}
        with open(args.torrent, "rb") as file:
            bdecode(file.read(), 0, spans)
        info, _ = bdecode(spans["info"])
        self.info_hash = hashlib.sha1(spans["info"]).digest()
        self.piece_length, self.length = info["piece length"], info["length"]
        self.pieces = len(info["pieces"]) // 20
        with open(args.content, "rb") as file:
            self.content = file.read()
        self.genesis = bytes.fromhex(args.genesis)
        self.key, self.floor = int(args.key, 16), args.ask
        self.address = address(self.key)
        self.window = max(2 * self.piece_length, 256 << 10) + PIPELINE
        # Of the only buyer, over all connections.
        self.free = self.priced = self.receipts = self.acks = 0
        self.holds, self.newest = 0, None

    def meet(self, line):
        self.line, self.buffer = line, b""
        self.own_id = b"-PS0001-" + os.urandom(12)
        hello = self.read(68)
        assert hello[:20] == b"\x13BitTorrent protocol" and hello[28:48] == self.info_hash
        self.peer_id = hello[48:]
        reserved = bytes([0, 0, 0, 0, 0, 0x10, 0, 0])
        line.sendall(b"\x13BitTorrent protocol" + reserved + self.info_hash + self.own_id)
        self.queue, self.pay_id, self.payer, self.established = [], None, None, False
        self.price, self.is_held = 0, False
        self.message(20, b"\x00" + bencode({"m": {"sr_pay": 1}, "reqq": 250}))
        bits = bytearray((self.pieces + 7) // 8)
        for piece in range(self.pieces):
            bits[piece // 8] |= 0x80 >> piece % 8
        self.message(5, bytes(bits))

    def read(self, n):
        while len(self.buffer) < n:
            more = self.line.recv(1 << 16)
            if not more:
                raise Gone
            self.buffer += more
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def message(self, kind, payload=b""):
        self.line.sendall(struct.pack(">IB", 1 + len(payload), kind) + payload)

    def say(self, name, **keys):
        self.message(20, bytes([self.pay_id]) + bencode({"t": name, **keys}))

    def unpaid(self):
        """Bytes sent at a price and not receipted; what the buyer may have asked for before
        it saw the award is its own."""
        delivered = self.newest["deliveredBytes"] if self.newest else 0
        return max(0, self.priced - delivered - PIPELINE)

    def pay_message(self, m):
        kind = m["t"]
        if kind == b"hello":
            assert m["v"] == 1 and m["chain"] == self.genesis and m["token"] == TOKEN
            assert self.payer is None, "it greets once"
            self.payer, theirs = m["addr"], m["nonce"]
            hello = {
                "self": self.address, "peer": self.payer, "nonceSelf": self.nonce,
                "noncePeer": theirs, "peerIds": keccak(self.own_id + self.peer_id),
            }
            self.expected = {
                "self": self.payer, "peer": self.address, "nonceSelf": theirs,
                "noncePeer": self.nonce, "peerIds": keccak(self.peer_id + self.own_id),
            }
            self.say("auth", sig=sign(self.key, digest(self.genesis, "Hello", hello)))
        elif kind == b"auth":
            signer = recover(m["sig"], digest(self.genesis, "Hello", self.expected))
            assert signer == self.payer, "a buyer that proves nothing"
            self.established = True
            self.say("sync", issued=[], received=[self.newest] if self.newest else [])
            until = int(time.time()) + 600
            quote = {
                "payee": self.address, "token": TOKEN, "floorPrice": self.floor,
                "window": self.window, "cap": CAP, "validUntil": until,
            }
            self.say(
                "quote", floor=self.floor, window=self.window, cap=CAP, until=until,
                sig=sign(self.key, digest(self.genesis, "Quote", quote)),
            )
        elif kind == b"sync":
            for receipt in m.get("issued", []):
                self.receipt(receipt)
        elif kind == b"bid":
            assert self.established, "a bid before its time"
            # Nobody else is here: the floor is the price.
            self.price = self.floor if m["price"] >= self.floor else 0
            if self.price:
                self.say("award", price=self.price, window=self.window)
        elif kind == b"receipt":
            self.receipt(m)
            self.say("ack", epoch=m["epoch"], seq=m["sequence"], durable=1)
            self.acks += 1
            if self.is_held and self.unpaid() + CHUNK <= self.window:
                self.is_held = False
                self.say("resume", unpaid=self.unpaid(), window=self.window)

    def receipt(self, m):
        assert (m["payer"], m["payee"], m["signer"]) == (self.payer, self.address, self.payer)
        assert m["token"] == TOKEN and m["grant"] == bytes(32)
        assert m["vault"] == b"\x41" + bytes(20)
        assert recover(m["sig"], digest(self.genesis, "Receipt", m)) == self.payer
        assert m["issuedAt"] <= time.time() + 600
        assert m["amount"] == m["deliveredBytes"] * self.floor >> 30, "each byte at its price"
        assert m["deliveredBytes"] <= self.priced, "nobody pays for what was not sent"
        if self.newest is not None:
            assert m["epoch"] == self.newest["epoch"], "one process, one epoch"
            assert m["sequence"] >= self.newest["sequence"]
            assert m["amount"] >= self.newest["amount"]
        self.newest = m
        self.receipts += 1

    def one(self):
        """One message of the buyer's."""
        (n,) = struct.unpack(">I", self.read(4))
        assert n <= 1 << 17
        frame = self.read(n)
        if not frame:
            return
        kind, payload = frame[0], frame[1:]
        if kind == 2:
            self.message(1)
        elif kind == 6:
            piece, begin, n = struct.unpack(">III", payload)
            at = piece * self.piece_length + begin
            assert n <= CHUNK and at + n <= self.length
            self.queue.append((piece, begin, n, self.price))
        elif kind == 8:
            asked = struct.unpack(">III", payload)
            self.queue = [one for one in self.queue if one[:3] != asked]
        elif kind == 20 and payload[0] == 0:
            known = bdecode(payload[1:])[0].get("m", {}).get("sr_pay", 0)
            if known and self.pay_id is None:
                self.pay_id, self.nonce = known, os.urandom(32)
                self.say(
                    "hello", v=1, chain=self.genesis, token=TOKEN, addr=self.address,
                    nonce=self.nonce, since=0, sells=1,
                )
        elif kind == 20 and payload[0] == 1:
            self.pay_message(bdecode(payload[1:])[0])

    def serve(self):
        while self.queue and not self.is_held:
            piece, begin, n, price = self.queue[0]
            if price and self.unpaid() + n > self.window:
                self.is_held = True
                self.holds += 1
                self.say("hold", unpaid=self.unpaid(), window=self.window, why="window")
                return
            self.queue.pop(0)
            at = piece * self.piece_length + begin
            self.message(7, struct.pack(">II", piece, begin) + self.content[at : at + n])
            if price:
                self.priced += n
            else:
                self.free += n

    def run(self, line):
        try:
            self.meet(line)
            while True:
                self.serve()
                self.one()
        except (Gone, ConnectionError):
            return self.newest is not None


def main():
    parser = argparse.ArgumentParser()
    for name in ("torrent", "content", "genesis", "key"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--ask", type=int, required=True)
    seller = Seller(parser.parse_args())
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(DEADLINE)
    print(json.dumps({"listen": "127.0.0.1:%d" % listener.getsockname()[1]}), flush=True)
    is_over = False
    while not is_over:
        line, _ = listener.accept()
        line.settimeout(DEADLINE)
        with line:
            is_over = seller.run(line)
    print(
        json.dumps(
            {
                "amount_raw": seller.newest["amount"],
                "delivered_bytes": seller.newest["deliveredBytes"],
                "priced_bytes": seller.priced, "free_bytes": seller.free,
                "receipts": seller.receipts, "acks": seller.acks, "holds": seller.holds,
            }
        )
    )


main()
