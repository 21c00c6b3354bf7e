"""Writes what a fuzz target begins with: seeds.py TARGET FOLDER."""

import hashlib
import json
import sys
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent.parent / "fixtures"


def recordings():
    for path in sorted((FIXTURES / "tron").glob("*.json")):
        document = json.loads(path.read_text())
        yield document if isinstance(document, dict) else {}


def objects(value):
    """Every JSON object within a value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from objects(inner)


def node_json():
    for document in recordings():
        for value in objects(document.get("response")):
            if "raw_data" in value or "block_header" in value:
                yield json.dumps(value).encode()


def transaction():
    for document in recordings():
        for value in objects(document):
            raw, signatures = value.get("raw_data_hex"), value.get("signature") or []
            whole = value.get("transaction")
            try:
                if isinstance(raw, str) and isinstance(signatures, list):
                    raw = bytes.fromhex(raw)
                    yield field(1, raw) + b"".join(field(2, bytes.fromhex(one)) for one in signatures)
                if isinstance(whole, str):
                    yield bytes.fromhex(whole.removeprefix("0x"))
            except ValueError:  # a recording of what is no hex
                continue


def field(number, data):
    length = len(data)
    varint = b""
    while length > 127:
        varint += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + varint + bytes([length]) + data


def words():
    yield from (b"TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC", b"417e5f4552091a69125d5dfcb7b8c2659029395bdf", b"12.5BTT", b"1500000sun",
                b"7raw:1000001", b"3 TRX", b"1002000", b"ab" * 32)


def keystore():
    yield json.dumps({
        "version": 3, "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "address": "7e5f4552091a69125d5dfcb7b8c2659029395bdf",
        "crypto": {"cipher": "aes-128-ctr", "ciphertext": "ab" * 32, "cipherparams": {"iv": "cd" * 16}, "kdf": "scrypt",
                   "kdfparams": {"dklen": 32, "n": 262144, "p": 1, "r": 8, "salt": "ef" * 32}, "mac": "01" * 32},
    }).encode()
    yield json.dumps({
        "version": 3, "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "crypto": {"cipher": "aes-128-ctr", "ciphertext": "ab" * 32, "cipherparams": {"iv": "cd" * 16}, "kdf": "pbkdf2",
                   "kdfparams": {"dklen": 32, "c": 262144, "prf": "hmac-sha256", "salt": "ef" * 32}, "mac": "01" * 32},
    }).encode()


def receipt_file():
    for name in ("good.jsonl", "bad.jsonl"):
        text = (FIXTURES / "receipts" / name).read_bytes()
        yield text
        yield from text.splitlines()


def typed_data():
    kinds = ["address", "trcToken", "bool", "string", "bytes", "bytes32", "uint256", "int8", "uint8[2]", "Inner[]"]
    inner = {"n": "-5"}
    address = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"
    values = [address, "1002000", True, "text", "0x00ff", "0x" + "07" * 32, "0xff", -128, [1, 255], [inner, inner]]
    yield json.dumps({
        "types": {"Outer": [{"name": f"f{n}", "type": kind} for n, kind in enumerate(kinds)], "Inner": [{"name": "n", "type": "int64"}]},
        "primaryType": "Outer", "domain": {"name": "Example", "version": "1", "chainId": "0x2b6653dc", "verifyingContract": address},
        "message": {f"f{n}": value for n, value in enumerate(values)},
    }).encode()
    yield b'{"types":{"A":[{"name":"a","type":"A[]"}]},"primaryType":"A","domain":{},"message":{"a":[{"a":[]}]}}'


def payout_file():
    address = b"TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"
    yield b"address,amount\n" + address + b",12.5BTT\n" + address + b",3TRX\n"
    yield b'\xef\xbb\xbfid,address,amount,memo\r\na-1,' + address + b',"1,5 BTT","say ""hi"""\r\nb,' + address + b",7raw:1000001,\r\n"
    yield b"memo,id,amount,address\n,x,1500000sun," + address + b"\n"


def bencoded(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencoded, value)) + b"e"
    return b"d" + b"".join(bencoded(key) + bencoded(value[key]) for key in sorted(value)) + b"e"


INFO = {b"name": b"film.bin", b"piece length": 16384, b"pieces": b"\1" * 40, b"length": 20000}
FOLDER = {b"name": b"film", b"piece length": 16384, b"pieces": b"\1" * 40, b"private": 1,
          b"files": [{b"length": 16384, b"path": [b"a", b"b.bin"]}, {b"length": 9, b"path": [b".pad", b"9"], b"attr": b"p"}]}


def metainfo():
    for info in (INFO, FOLDER):
        yield bencoded({b"info": info, b"announce": b"http://127.0.0.1:6969/announce", b"announce-list": [[b"udp://127.0.0.1:1"]],
                        b"creation date": 1790000000, b"comment": b"a film"})


def magnet():
    yield b"magnet:?xt=urn:btih:" + b"0a" * 20 + b"&dn=film.bin&tr=http%3A%2F%2F127.0.0.1%3A6969&x.pe=127.0.0.1:6881&so=0,2-4"
    yield b"magnet:?xt=urn:btih:" + b"A2" * 16


def tracker_reply():
    yield bencoded({b"interval": 1800, b"peers": b"\x7f\0\0\1\x1a\xe1", b"peers6": b"\0" * 15 + b"\1\x1a\xe1"})
    yield bencoded({b"interval": 1800, b"peers": [{b"ip": b"127.0.0.1", b"port": 6881}], b"warning message": b"soon full"})
    yield bencoded({b"failure reason": b"not here"})


def dht():
    who = b"abcdefghij0123456789"
    node, node6 = who + b"\x7f\0\0\1\x1a\xe1", who + b"\0" * 15 + b"\1\x1a\xe1"
    for name, given in ((b"ping", {}), (b"find_node", {b"target": who}), (b"get_peers", {b"info_hash": who, b"want": [b"n4", b"n6"]}),
                        (b"announce_peer", {b"info_hash": who, b"port": 6881, b"implied_port": 1, b"token": b"12345678"})):
        yield bencoded({b"t": b"aa", b"y": b"q", b"q": name, b"a": {b"id": who, **given}})
    yield bencoded({b"t": b"aa", b"y": b"r", b"ip": node[20:], b"r": {b"id": who, b"nodes": node, b"nodes6": node6, b"token": b"x" * 8,
                                                                      b"values": [node[20:], node6[20:]]}})
    yield bencoded({b"t": b"aa", b"y": b"e", b"e": [201, b"A Generic Error Occurred"]})
    yield b"\0\0\0\1\0\0\0\0" + b"\0\0\0\x78" + b"\0" * 8 + node[20:] + node6[20:]
    yield b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: " + b"0a" * 20 + b"\r\ncookie: 1a\r\n\r\n\r\n"


def ports():
    port, outside = b"\x30\x30", b"\xcb\0\x71\5"
    mapped = b"\0" * 10 + b"\xff\xff" + outside
    for protocol, lifetime in ((b"\6", 3600), (b"\x11", 0)):
        head = b"\2\x81\0\0" + lifetime.to_bytes(4, "big") + b"\0\0\0\x09" + b"\0" * 12
        yield head + b"0" * 12 + protocol + b"\0\0\0" + port * 2 + mapped
    yield b"\0\x82\0\0\0\0\0\x09" + port * 2 + b"\0\0\x0e\x10"
    yield b"\0\x81\0\0\0\0\0\x09" + port + b"\0\0" + b"\0" * 4
    yield b"\0\x80\0\0\0\0\0\x09" + outside
    yield b"\0\x81\0\1\0\0\0\x09"
    yield b"HTTP/1.1 200 OK\r\nLOCATION: http://10.0.0.1:5000/rootDesc.xml\r\n\r\n"
    yield (b"<root><URLBase>http://10.0.0.1:5000/</URLBase><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1"
           b"</serviceType><controlURL>/ctl?a=1&amp;b=2</controlURL></service></root>")
    yield b"<errorCode>725</errorCode><errorDescription>OnlyPermanentLeasesSupported</errorDescription>"


def wire():
    yield b"\x13BitTorrent protocol" + b"\0" * 5 + b"\x10\0\x05" + b"\1" * 40
    messages = [b"", b"\0", b"\1", b"\2", b"\3", b"\4\0\0\0\7", b"\5\xff\x80", b"\6" + b"\0" * 8 + b"\0\0\x40\0",
                b"\7" + b"\0" * 8 + b"chunk", b"\x08" + b"\0" * 8 + b"\0\0\x40\0", b"\x09\x1a\xe1", b"\x0d\0\0\0\1", b"\x0e",
                b"\x0f", b"\x10" + b"\0" * 8 + b"\0\0\x40\0", b"\x11\0\0\0\1", b"\x14\0de"]
    yield b"".join(len(message).to_bytes(4, "big") + message for message in messages)


def extended():
    yield bencoded({b"m": {b"ut_metadata": 1, b"ut_pex": 2, b"sr_pay": 3}, b"v": b"Seedrail 0.1", b"p": 6881, b"reqq": 512,
                    b"metadata_size": 31235, b"upload_only": 1})
    yield bencoded({b"msg_type": 1, b"piece": 0, b"total_size": 5}) + b"12345"
    yield bencoded({b"msg_type": 0, b"piece": 7})
    yield bencoded({b"added": b"\x7f\0\0\1\x1a\xe1", b"added.f": b"\0", b"added6": b"", b"dropped": b""})


def sr_pay():
    address, sig = b"A" + b"\1" * 20, b"\1" * 64 + b"\x1b"
    receipt = {b"payer": address, b"payee": address, b"signer": address, b"vault": b"A" + b"\0" * 20, b"token": 1002000, b"epoch": 1,
               b"sinceBlock": 7, b"sequence": 17, b"amount": 123456, b"deliveredBytes": 1048576, b"issuedAt": 1790000000,
               b"grant": b"\0" * 32, b"sig": sig}
    yield bencoded({b"t": b"hello", b"v": 1, b"chain": b"\0" * 32, b"token": 1002000, b"addr": address, b"nonce": b"\2" * 32,
                    b"since": 9, b"inst": b"\3" * 8, b"sells": 1})
    yield bencoded({b"t": b"auth", b"sig": sig})
    yield bencoded({b"t": b"quote", b"floor": 5000000, b"window": 1 << 20, b"cap": 10000000, b"until": 1790000000, b"sig": sig})
    yield bencoded({b"t": b"bid", b"price": 5000000})
    yield bencoded({b"t": b"award", b"price": 5000000, b"window": 1 << 20})
    yield bencoded({b"t": b"receipt", **receipt})
    yield bencoded({b"t": b"ack", b"epoch": 1, b"seq": 17, b"durable": 1})
    yield bencoded({b"t": b"hold", b"unpaid": 1, b"window": 2})
    yield bencoded({b"t": b"sync", b"issued": [receipt], b"received": [receipt]})
    yield bencoded({b"t": b"settled", b"txid": b"\1" * 32})
    yield bencoded({b"t": b"bye", b"reason": b"done"})


def bencode():
    for source in (metainfo, tracker_reply, extended, sr_pay):
        yield from source()


def contract():
    """How long the code is, how much energy there is, the code, what it is called with."""
    pieces = ["5f5ff3", "60016002015f5260205ff3", "365f5f37365ff3", "5f3560e01c6020525b600556", "5f5f5f5f5f6002620f4240f1",
              "5f5f5f5f6002620f4240fa3d5f5f3e", "600160015d60015c55", "5f5f5ff05f5f5ff5", "33ff", "600a620f4241305f5f5f5fd0",
              "5f6103e8da5f6103e8db", "d9", "5fa05f5fa1", "6001600202600304600406", "5f5f20", "3d5f5f3e", "6301000004603e6020"]
    for code in map(bytes.fromhex, pieces):
        yield len(code).to_bytes(2, "big") + b"\xff" + code + bytes(range(36))
    for number in [*range(1, 11), *range(0x1000001, 0x1000016)]:
        # CALLDATACOPY all, CALL the node's own contract of that number, RETURN what it gave.
        code = bytes.fromhex("365f5f37" + "60605f365f5f63" + f"{number:08x}" + "62030d40f13d5f5f3e3d5ff3")
        yield len(code).to_bytes(2, "big") + b"\xff" + code + bytes(31) + b"\1" + bytes(64)


def opcodes():
    """How long the code is, the code by the numbers of its opcodes, what it is called with."""
    # The order of `PURE`; PUSH1 and PUSH32 are followed by what they push.
    order = [*range(0x01, 0x0c), *range(0x10, 0x1f), 0x20, *range(0x35, 0x3a), 0x3d, 0x3e, *range(0x50, 0x54), 0x59, 0x5e,
             0x56, 0x57, 0x58, 0x5b, 0x5f, 0x60, 0x61, 0x62, 0x63, 0x67, 0x68, 0x6f, 0x77, 0x7e, 0x7f,
             0x80, 0x81, 0x82, 0x83, 0x87, 0x8f, 0x90, 0x91, 0x92, 0x93, 0x97, 0x9f, 0x00, 0xf3, 0xfd, 0xfe, 0x0c]
    words = [bytes(32), b"\xff" * 32, b"\x80" + bytes(31), bytes(31) + b"\x07", bytes(range(32))]
    push = bytes([order.index(0x7f)])
    for op in order[:26]:
        for high in words:
            for low in words:
                code = push + low + push + low + push + high + bytes([order.index(op)])
                yield len(code).to_bytes(2, "big") + code
    one = bytes([order.index(0x60)])
    for op in order[26:45]:
        code = b"".join(one + bytes([number]) for number in (5, 33, 7)) + bytes([order.index(op), order.index(0x59)])
        yield len(code).to_bytes(2, "big") + code + bytes(range(70))
    # A loop of five rounds.
    loop = one + b"\5" + bytes([order.index(0x5b)]) + one + b"\1" + bytes([order.index(0x90), order.index(0x03)])
    loop += bytes([order.index(0x80)]) + one + b"\2" + bytes([order.index(0x57)])
    yield len(loop).to_bytes(2, "big") + loop


def main():
    target, folder = sys.argv[1], Path(sys.argv[2])
    for data in globals()[target]():
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


main()
