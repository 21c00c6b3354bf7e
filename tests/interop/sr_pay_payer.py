"""A payer of its own: written from docs/protocol.md and fixtures/receipts alone, with
Python's standard library. It buys a torrent of a seller, and ends with one line of JSON.

    sr_pay_payer.py vectors FILE
    sr_pay_payer.py session FILE
    sr_pay_payer.py buy --torrent FILE --seller HOST:PORT --genesis HEX --key HEX
                        --bid RAW_PER_GIB --out FILE [--free-first PIECES] [--cut-after PIECES]

    sr_pay_payer.py spite --torrent FILE --seller HOST:PORT --genesis HEX

`spite` bids with fresh keys without accounts, after a worthless receipt of each.
`--free-first` asks for so many pieces at no price before it bids; `--cut-after` drops the
connection in the middle of a piece after so many, and comes back.
"""

import argparse
import hashlib
import hmac
import json
import os
import socket
import struct
import sys
import time

CHUNK = 16 << 10
TOKEN = 1002000
DEADLINE = 120

# --- keccak256 and secp256k1 -------------------------------------------------------------

ROUNDS = [
    0x1, 0x8082, 0x800000000000808A, 0x8000000080008000, 0x808B, 0x80000001,
    0x8000000080008081, 0x8000000000008009, 0x8A, 0x88, 0x80008009, 0x8000000A, 0x8000808B,
    0x800000000000008B, 0x8000000000008089, 0x8000000000008003, 0x8000000000008002,
    0x8000000000000080, 0x800A, 0x800000008000000A, 0x8000000080008081, 0x8000000000008080,
    0x80000001, 0x8000000080008008,
]
MASK = (1 << 64) - 1


def rol(x, n):
    n %= 64
    return ((x << n) | (x >> (64 - n))) & MASK if n else x


def keccak_f(a):
    for rc in ROUNDS:
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
        d = [c[(x - 1) % 5] ^ rol(c[(x + 1) % 5], 1) for x in range(5)]
        a = [[a[x][y] ^ d[x] for y in range(5)] for x in range(5)]
        x, y, t = 1, 0, a[1][0]
        for n in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            t, a[x][y] = a[x][y], rol(t, (n + 1) * (n + 2) // 2)
        for y in range(5):
            row = [a[x][y] for x in range(5)]
            for x in range(5):
                a[x][y] = row[x] ^ (~row[(x + 1) % 5] & MASK & row[(x + 2) % 5])
        a[0][0] ^= rc
    return a


def keccak(data):
    rate = 136
    data = bytearray(data)
    pad = rate - len(data) % rate
    data += b"\x01" + b"\x00" * (pad - 1)
    data[-1] |= 0x80
    a = [[0] * 5 for _ in range(5)]
    for at in range(0, len(data), rate):
        for n in range(rate // 8):
            a[n % 5][n // 5] ^= struct.unpack_from("<Q", data, at + 8 * n)[0]
        a = keccak_f(a)
    return b"".join(struct.pack("<Q", a[n % 5][n // 5]) for n in range(4))


P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0:
            return None
        m = 3 * p[0] * p[0] * pow(2 * p[1], -1, P) % P
    else:
        m = (q[1] - p[1]) * pow(q[0] - p[0], -1, P) % P
    x = (m * m - p[0] - q[0]) % P
    return x, (m * (p[0] - x) - p[1]) % P


def mul(k, p):
    r = None
    while k:
        if k & 1:
            r = add(r, p)
        p, k = add(p, p), k >> 1
    return r


def address(key):
    x, y = mul(key, G)
    return b"\x41" + keccak(x.to_bytes(32, "big") + y.to_bytes(32, "big"))[-20:]


def nonce(key, digest):
    """RFC 6979 with SHA-256."""
    x, h = key.to_bytes(32, "big"), (int.from_bytes(digest, "big") % N).to_bytes(32, "big")
    v, k = b"\x01" * 32, b"\x00" * 32
    for tag in (b"\x00", b"\x01"):
        k = hmac.new(k, v + tag + x + h, hashlib.sha256).digest()
        v = hmac.new(k, v, hashlib.sha256).digest()
    while True:
        v = hmac.new(k, v, hashlib.sha256).digest()
        n = int.from_bytes(v, "big")
        if 0 < n < N:
            return n
        k = hmac.new(k, v + b"\x00", hashlib.sha256).digest()
        v = hmac.new(k, v, hashlib.sha256).digest()


def sign(key, digest):
    k = nonce(key, digest)
    x, y = mul(k, G)
    r = x % N
    s = pow(k, -1, N) * (int.from_bytes(digest, "big") + r * key) % N
    odd = y & 1
    if s > N // 2:
        s, odd = N - s, odd ^ 1
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + odd])


def recover(signature, digest):
    r, s = (int.from_bytes(signature[n : n + 32], "big") for n in (0, 32))
    assert s <= N // 2, "a high s is refused"
    y = pow(r**3 + 7, (P + 1) // 4, P)
    if (y & 1) != (signature[64] % 27 & 1):
        y = P - y
    z, inverse = int.from_bytes(digest, "big"), pow(r, -1, N)
    x, y = add(mul(s * inverse % N, (r, y)), mul(-z * inverse % N, G))
    return b"\x41" + keccak(x.to_bytes(32, "big") + y.to_bytes(32, "big"))[-20:]


# --- what is signed ----------------------------------------------------------------------

STRUCTS = {
    "Receipt": "address payer,address payee,address signer,address vault,trcToken token,"
    "uint64 epoch,uint64 sinceBlock,uint64 sequence,uint256 amount,uint256 deliveredBytes,"
    "uint64 issuedAt,bytes32 grant",
    "SpendGrant": "address payer,address signer,trcToken token,uint256 maxPerPayee,"
    "uint256 maxTotal,uint64 notBefore,uint64 notAfter,uint64 serial",
    "Hello": "address self,address peer,bytes32 nonceSelf,bytes32 noncePeer,bytes32 peerIds",
    "Quote": "address payee,trcToken token,uint256 floorPrice,uint256 window,uint256 cap,"
    "uint64 validUntil",
    "Revoke": "address payer,address signer,uint64 serial",
}


def word(value):
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    return value[1:].rjust(32, b"\x00") if len(value) == 21 else value


def struct_hash(name, values):
    fields = STRUCTS[name]
    names = [field.split()[1] for field in fields.split(",")]
    return keccak(
        keccak(f"{name}({fields})".encode()) + b"".join(word(values[n]) for n in names)
    )


def digest(genesis, name, values):
    domain = keccak(
        keccak(b"EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)")
        + keccak(b"Seedrail Receipt")
        + keccak(b"1")
        + word(int.from_bytes(genesis[-4:], "big"))
        + genesis
    )
    return keccak(b"\x19\x01" + domain + struct_hash(name, values))


# --- bencode -----------------------------------------------------------------------------


def bencode(v):
    if isinstance(v, int):
        return b"i%de" % v
    if isinstance(v, str):
        v = v.encode()
    if isinstance(v, bytes):
        return b"%d:%s" % (len(v), v)
    if isinstance(v, list):
        return b"l" + b"".join(map(bencode, v)) + b"e"
    pairs = sorted((k.encode(), x) for k, x in v.items())
    return b"d" + b"".join(bencode(k) + bencode(x) for k, x in pairs) + b"e"


def bdecode(data, at=0, spans=None):
    c = data[at : at + 1]
    if c == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if c == b"l":
        at, out = at + 1, []
        while data[at : at + 1] != b"e":
            v, at = bdecode(data, at)
            out.append(v)
        return out, at + 1
    if c == b"d":
        at, out = at + 1, {}
        while data[at : at + 1] != b"e":
            k, at = bdecode(data, at)
            begin = at
            out[k.decode()], at = bdecode(data, at)
            if spans is not None:
                spans[k.decode()] = data[begin:at]
        return out, at + 1
    colon = data.index(b":", at)
    n = int(data[at:colon])
    return data[colon + 1 : colon + 1 + n], colon + 1 + n


# --- the peer ----------------------------------------------------------------------------


class Payer:
    def __init__(self, args):
        spans = {}
        with open(args.torrent, "rb") as file:
            bdecode(file.read(), 0, spans)
        info, _ = bdecode(spans["info"])
        self.info_hash = hashlib.sha1(spans["info"]).digest()
        self.piece_length, self.length = info["piece length"], info["length"]
        hashes = info["pieces"]
        self.hashes = [hashes[n : n + 20] for n in range(0, len(hashes), 20)]
        self.genesis = bytes.fromhex(args.genesis)
        self.key = int(args.key, 16)
        self.address = address(self.key)
        self.content = bytearray(self.length)
        self.have = set()
        # The epoch, over all connections.
        self.epoch = int.from_bytes(os.urandom(8), "big") >> 1
        self.cost = self.delivered = self.sequence = self.acked = 0
        self.last = None
        self.holds, self.awards, self.paid_pieces, self.free_pieces = [], 0, 0, 0

    def dial(self, seller):
        host, port = seller.rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=DEADLINE)

    def connect(self, seller, bid, free_first=0, cut_after=None):
        self.socket = self.dial(seller)
        self.buffer = b""
        self.own_id = b"-PY0001-" + os.urandom(12)
        reserved = bytes([0, 0, 0, 0, 0, 0x10, 0, 0])
        self.socket.sendall(
            b"\x13BitTorrent protocol" + reserved + self.info_hash + self.own_id
        )
        hello = self.read(68)
        assert hello[28:48] == self.info_hash
        self.peer_id = hello[48:]
        self.bid, self.free_first, self.cut_after = bid, free_first, cut_after
        self.choked, self.pay_id, self.price, self.window = True, None, None, 0
        self.bidden = self.synced = self.over = False
        self.quoted = self.hello_in = None
        self.asked, self.pieces, self.due, self.due_since = {}, {}, 0, None
        self.signed_at = 0.0
        self.message(20, b"\x00" + bencode({"m": {"sr_pay": 1}, "reqq": 64}))
        self.message(2)

    def read(self, n):
        while len(self.buffer) < n:
            more = self.socket.recv(1 << 16)
            assert more, "the seller closed the connection"
            self.buffer += more
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def message(self, kind, payload=b""):
        self.socket.sendall(struct.pack(">IB", 1 + len(payload), kind) + payload)

    def say(self, name, **keys):
        self.message(20, bytes([self.pay_id]) + bencode({"t": name, **keys}))

    def greet(self):
        self.nonce = os.urandom(32)
        self.say(
            "hello", v=1, chain=self.genesis, token=TOKEN, addr=self.address,
            nonce=self.nonce, since=0, sells=0,
        )

    def pay_message(self, raw):
        m, _ = bdecode(raw)
        kind = m["t"]
        if kind == b"hello":
            self.payee, theirs = m["addr"], m["nonce"]
            hello = {
                "self": self.address, "peer": self.payee, "nonceSelf": self.nonce,
                "noncePeer": theirs, "peerIds": keccak(self.own_id + self.peer_id),
            }
            self.expected = {
                "self": self.payee, "peer": self.address, "nonceSelf": theirs,
                "noncePeer": self.nonce, "peerIds": keccak(self.peer_id + self.own_id),
            }
            self.say("auth", sig=sign(self.key, digest(self.genesis, "Hello", hello)))
        elif kind == b"auth":
            signer = recover(m["sig"], digest(self.genesis, "Hello", self.expected))
            assert signer == self.payee, "a seller that proves nothing"
            self.say("sync", issued=[self.last] if self.last else [], received=[])
        elif kind == b"sync":
            self.synced = True
        elif kind == b"quote":
            self.quoted = m
            quote = {
                "payee": self.payee, "token": TOKEN, "floorPrice": m["floor"],
                "window": m["window"], "cap": m["cap"], "validUntil": m["until"],
            }
            assert recover(m["sig"], digest(self.genesis, "Quote", quote)) == self.payee
        elif kind == b"award":
            assert m["price"] <= self.bid
            self.price, self.window = m["price"], m["window"]
            self.awards += 1
        elif kind == b"hold":
            self.holds.append(m.get("why", b"").decode())
            if m.get("why", b"window") != b"window":
                self.price = None
            self.pay(now=True)
        elif kind == b"ack" and m["epoch"] == self.epoch and m["durable"]:
            self.acked = max(self.acked, m["seq"])
        elif kind == b"bye":
            self.over = True

    def pay(self, now=False):
        if not self.synced or self.due == 0:
            return
        waited = time.monotonic() - self.due_since
        enough = self.due >= self.window // 4
        if not (enough or ((now or waited > 2) and time.monotonic() - self.signed_at > 0.05)):
            return
        self.sequence += 1
        body = {
            "payer": self.address, "payee": self.payee, "signer": self.address,
            "vault": b"\x41" + bytes(20), "token": TOKEN, "epoch": self.epoch,
            "sinceBlock": 0, "sequence": self.sequence, "amount": self.cost >> 30,
            "deliveredBytes": self.delivered, "issuedAt": int(time.time()),
            "grant": bytes(32),
        }
        body["sig"] = sign(self.key, digest(self.genesis, "Receipt", body))
        self.last = body
        self.say("receipt", **body)
        self.due, self.due_since, self.signed_at = 0, None, time.monotonic()

    def size(self, piece):
        return min(self.piece_length, self.length - piece * self.piece_length)

    def ask(self):
        free = self.free_pieces < self.free_first and not self.bidden
        if self.choked or not (free or self.price):
            return
        price = 0 if free else self.price
        most = self.free_first - self.free_pieces if free else 1 << 30
        for piece in range(len(self.hashes)):
            if len(self.asked) >= 48:
                return
            if piece in self.have or (piece not in self.pieces and len(self.pieces) >= most):
                continue
            begun = sum(self.size(p) for p in self.pieces)
            if piece not in self.pieces and self.pieces and begun + self.size(piece) > max(
                self.window, 1 << 20
            ):
                return
            chunks = self.pieces.setdefault(piece, {})
            for begin in range(0, self.size(piece), CHUNK):
                if len(self.asked) >= 48:
                    return
                if begin in chunks or (piece, begin) in self.asked:
                    continue
                n = min(CHUNK, self.size(piece) - begin)
                self.asked[piece, begin] = price
                self.message(6, struct.pack(">III", piece, begin, n))

    def chunk(self, payload):
        piece, begin = struct.unpack_from(">II", payload)
        data = payload[8:]
        price = self.asked.pop((piece, begin))
        at = piece * self.piece_length + begin
        self.content[at : at + len(data)] = data
        chunks = self.pieces[piece]
        chunks[begin] = (price, len(data))
        if sum(n for _, n in chunks.values()) < self.size(piece):
            return
        at = piece * self.piece_length
        good = hashlib.sha1(self.content[at : at + self.size(piece)]).digest()
        assert good == self.hashes[piece], "garbage is not paid for"
        self.have.add(piece)
        del self.pieces[piece]
        priced = sum(n for price, n in chunks.values() if price)
        self.cost += sum(price * n for price, n in chunks.values())
        self.delivered += priced
        self.due += priced
        if priced:
            self.paid_pieces += 1
            self.due_since = self.due_since or time.monotonic()
        else:
            self.free_pieces += 1

    def one(self):
        """One message of the seller's, or a quarter of a second."""
        self.socket.settimeout(0.25)
        try:
            (n,) = struct.unpack(">I", self.peek(4))
            frame = self.peek(4 + n)[4:]
        except socket.timeout:
            return
        finally:
            self.socket.settimeout(DEADLINE)
        self.read(4 + n)
        if not frame:
            return
        kind, payload = frame[0], frame[1:]
        if kind == 0:
            self.choked, self.asked = True, {}
        elif kind == 1:
            self.choked = False
        elif kind == 7:
            self.chunk(payload)
        elif kind == 20 and payload[0] == 0:
            self.pay_id = bdecode(payload[1:])[0]["m"]["sr_pay"]
            self.greet()
        elif kind == 20 and payload[0] == 1:
            self.pay_message(payload[1:])

    def peek(self, n):
        while len(self.buffer) < n:
            more = self.socket.recv(1 << 16)
            assert more, "the seller closed the connection"
            self.buffer += more
        return self.buffer[:n]

    def run(self):
        until = time.monotonic() + DEADLINE
        while len(self.have) < len(self.hashes):
            assert time.monotonic() < until, f"too slow: {self.result()}"
            assert not self.over, "the seller ended the exchange"
            free_left = self.free_pieces < self.free_first
            if self.quoted and not self.bidden and not free_left and not self.asked:
                self.say("bid", price=self.bid)
                self.bidden = True
            self.ask()
            self.one()
            self.pay()
            if self.cut_after is not None and self.paid_pieces >= self.cut_after and self.pieces:
                self.pay(now=True)
                self.socket.close()
                return False
        while self.acked < self.sequence or self.due:
            assert time.monotonic() < until, f"not acknowledged: {self.result()}"
            self.pay(now=True)
            self.one()
        return True

    def result(self):
        return json.dumps(
            {
                "amount_raw": self.cost >> 30, "delivered_bytes": self.delivered,
                "holds": self.holds, "awards": self.awards, "receipts": self.sequence,
                "acknowledged": self.acked == self.sequence, "free_pieces": self.free_pieces,
            }
        )


ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(text):
    n = 0
    for c in text:
        n = n * 58 + ALPHABET.index(c)
    raw = n.to_bytes(25, "big")
    check = hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()
    assert check[:4] == raw[21:]
    return raw[:21]


def vectors(path):
    with open(path) as file:
        data = json.load(file)
    genesis = bytes.fromhex(data["domain"]["salt"].removeprefix("0x"))
    checked = 0
    for one in data["vectors"]:
        values, kinds = {}, {}
        for field in STRUCTS[one["primaryType"]].split(","):
            kind, name = field.split()
            kinds[name] = kind
        for name, value in one["message"].items():
            if kinds[name] == "address":
                values[name] = base58(value)
            elif kinds[name] == "bytes32":
                values[name] = bytes.fromhex(value.removeprefix("0x"))
            else:
                values[name] = int(value)
        assert struct_hash(one["primaryType"], values).hex() == one["structHash"], one["name"]
        hashed = digest(genesis, one["primaryType"], values)
        assert hashed.hex() == one["digest"], one["name"]
        assert sign(int(one["privateKey"], 16), hashed).hex() == one["signature"], one["name"]
        checked += 1
    print(json.dumps({"vectors": checked}))


def session(path):
    """Reads a recorded session: every proof in it is good, and what is due is signed."""
    with open(path) as file:
        data = json.load(file)
    genesis = bytes.fromhex(data["genesis"])
    sides = {
        name: {
            "address": address(int(data[name]["private_key"], 16)),
            "id": bytes.fromhex(data[name]["peer_id"]),
        }
        for name in ("buyer", "seller")
    }
    other = {"buyer": "seller", "seller": "buyer"}
    seen, amount, sequence = [], 0, 0
    for step in data["steps"]:
        if "bytes" not in step:
            continue
        raw = bytes.fromhex(step["bytes"])
        m, end = bdecode(raw)
        assert end == len(raw) and bencode(m) == raw, "one spelling"
        kind, us, them = m["t"].decode(), sides[step["from"]], sides[other[step["from"]]]
        seen.append(kind)
        if kind == "hello":
            assert m["addr"] == us["address"] and m["chain"] == genesis
            us["nonce"] = m["nonce"]
        elif kind == "auth":
            hello = {
                "self": us["address"], "peer": them["address"], "nonceSelf": us["nonce"],
                "noncePeer": them["nonce"], "peerIds": keccak(us["id"] + them["id"]),
            }
            assert recover(m["sig"], digest(genesis, "Hello", hello)) == us["address"]
        elif kind == "quote":
            quote = {
                "payee": us["address"], "token": TOKEN, "floorPrice": m["floor"],
                "window": m["window"], "cap": m["cap"], "validUntil": m["until"],
            }
            assert recover(m["sig"], digest(genesis, "Quote", quote)) == us["address"]
        elif kind == "receipt":
            assert recover(m["sig"], digest(genesis, "Receipt", m)) == us["address"]
            assert m["sequence"] > sequence and m["amount"] > amount
            amount, sequence = m["amount"], m["sequence"]
            due = m["deliveredBytes"] * data["floor_raw_per_gib"] >> 30
            assert amount == due, "what was delivered, at its price"
    print(json.dumps({"messages": len(seen), "kinds": sorted(set(seen)), "amount_raw": amount}))


def spite(args):
    """Twelve keys that nobody knows each promise 100 BTT for nothing."""
    why = []
    for _ in range(12):
        args.key = os.urandom(32).hex()
        liar = Payer(args)
        liar.connect(args.seller, 1 << 40)
        until = time.monotonic() + DEADLINE
        while not (liar.synced and liar.quoted):
            assert time.monotonic() < until, "the seller does not greet"
            liar.one()
        liar.cost, liar.due, liar.due_since = 100_000_000 << 30, 1, time.monotonic()
        liar.pay(now=True)
        liar.say("bid", price=liar.bid)
        while not liar.holds:
            assert time.monotonic() < until, "the seller says nothing"
            liar.one()
        assert liar.acked == 0 and not liar.awards and not liar.over
        why += liar.holds
        liar.socket.close()
    print(json.dumps({"why": sorted(set(why))}))


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("vectors", "session"):
        commands.add_parser(name).add_argument("file")
    buy = commands.add_parser("buy")
    for name in ("torrent", "seller", "genesis", "key", "out"):
        buy.add_argument(f"--{name}", required=True)
    buy.add_argument("--bid", type=int, required=True)
    buy.add_argument("--free-first", type=int, default=0)
    buy.add_argument("--cut-after", type=int)
    harm = commands.add_parser("spite")
    for name in ("torrent", "seller", "genesis"):
        harm.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    if args.command != "buy":
        run = {"vectors": vectors, "session": session, "spite": spite}[args.command]
        return run(args if args.command == "spite" else args.file)
    payer = Payer(args)
    payer.connect(args.seller, args.bid, args.free_first, args.cut_after)
    while not payer.run():
        payer.connect(args.seller, args.bid)
    with open(args.out, "wb") as file:
        file.write(payer.content)
    print(payer.result())


if __name__ == "__main__":
    sys.exit(main())
