"""Payers with worthless keys, and an honest one beside them: used by `bench_economy.py`.

    spiteful_payers.py flood --torrent FILE --seller HOST:PORT --genesis HEX --keys N --rate BYTES
    spiteful_payers.py award --torrent FILE --seller HOST:PORT --genesis HEX --key HEX --bid RAW_PER_GIB

`flood` connects with N fresh keys without accounts, each from an address of its own, and sends what costs a
seller most: receipts that raise only their number, bids, payments that never were, new connections; all keys together so
many bytes a second, until it is ended. It prints a line when all have greeted. `award` prints the milliseconds from its connection to
its bid's award.
"""

import argparse
import os
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/interop"))
import sr_pay_payer as payer  # noqa: E402

# Signed beforehand by each key: signing in Python takes longer than sending.
RECEIPTS = 64


class Pace:
    """So many bytes a second, of all together."""

    def __init__(self, rate):
        self.rate, self.lock, self.next = rate, threading.Lock(), time.monotonic()

    def take(self, count):
        with self.lock:
            now = time.monotonic()
            self.next = max(self.next, now - 1) + count / self.rate
            wait = self.next - now
        if wait > 0:
            time.sleep(wait)


class Spiteful(payer.Payer):
    def __init__(self, args, number, pace):
        args.key = os.urandom(32).hex()
        super().__init__(args)
        self.number, self.pace, self.seller, self.greeted = number, pace, args.seller, threading.Event()
        self.promises = []

    def dial(self, seller):
        """A connection from an address of its own, as its seller sees it."""
        host, port = seller.rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=10, source_address=(f"127.0.{1 + self.number}.1", 0))

    def promise(self):
        """Receipts of amount 0 with ever higher numbers."""
        for sequence in range(1, RECEIPTS + 1):
            body = {
                "payer": self.address, "payee": self.payee, "signer": self.address, "vault": b"\x41" + bytes(20),
                "token": payer.TOKEN, "epoch": self.epoch, "sinceBlock": 0, "sequence": sequence, "amount": 0,
                "deliveredBytes": 0, "issuedAt": int(time.time()), "grant": bytes(32),
            }
            body["sig"] = payer.sign(self.key, payer.digest(self.genesis, "Receipt", body))
            self.promises.append(body)

    def send(self, name, **keys):
        self.pace.take(len(payer.bencode({"t": name, **keys})) + 6)
        self.say(name, **keys)

    def harm(self):
        """Once: a greeting, then whatever it can say until it is cut off."""
        self.connect(self.seller, 1 << 40)
        while not (self.synced and self.quoted):
            self.one()
        if not self.promises:
            self.promise()
        self.greeted.set()
        while True:
            for body in self.promises:
                self.send("receipt", **body)
                self.send("settled", txid=os.urandom(32))
                self.send("bid", price=1 << 40)
                self.drain()

    def drain(self):
        """What the seller says is not to fill our buffers."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(1 << 16):
                pass
        except BlockingIOError:
            pass
        finally:
            self.socket.settimeout(payer.DEADLINE)

    def run(self):
        while True:
            try:
                self.harm()
            except (AssertionError, OSError):
                # Cut off: again. What a connection costs counts, too.
                self.pace.take(2_000)
            if hasattr(self, "socket"):
                self.socket.close()


def flood(args):
    pace = Pace(args.rate)
    all_of_them = [Spiteful(args, number, pace) for number in range(args.keys)]
    for one in all_of_them:
        threading.Thread(target=one.run, daemon=True).start()
    for one in all_of_them:
        one.greeted.wait()
    print("greeted", flush=True)
    threading.Event().wait()


def award(args):
    honest = payer.Payer(args)
    begun = time.monotonic()
    honest.connect(args.seller, args.bid)
    while not honest.awards:
        if time.monotonic() - begun > 60:
            sys.exit(f"no award in a minute: {honest.holds}")
        if honest.quoted and honest.synced and not honest.bidden:
            honest.say("bid", price=honest.bid)
            honest.bidden = True
        honest.one()
    print(1000 * (time.monotonic() - begun))


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name, more in (("flood", ("keys", "rate")), ("award", ("bid",))):
        command = commands.add_parser(name)
        for flag in ("torrent", "seller", "genesis", *(["key"] if name == "award" else [])):
            command.add_argument(f"--{flag}", required=True)
        for flag in more:
            command.add_argument(f"--{flag}", type=int, required=True)
    args = parser.parse_args()
    {"flood": flood, "award": award}[args.command](args)


if __name__ == "__main__":
    main()
