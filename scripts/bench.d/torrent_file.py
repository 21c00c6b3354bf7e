"""What a scripted peer needs to know of a torrent file."""

import hashlib
from pathlib import Path


def info_of(path):
    """The SHA-1 of the info dictionary, the number of pieces, and the length of one."""
    torrent = Path(path).read_bytes()

    def end(at):
        """Where the bencoded value at `at` ends."""
        if torrent[at : at + 1] == b"i":
            return torrent.index(b"e", at) + 1
        if torrent[at : at + 1] in b"ld":
            at += 1
            while torrent[at : at + 1] != b"e":
                at = end(at)
            return at + 1
        colon = torrent.index(b":", at)
        return colon + 1 + int(torrent[at:colon])

    def number(key, until):
        at = torrent.index(key) + len(key)
        return int(torrent[at : torrent.index(until, at)])

    at = torrent.index(b"4:infod") + len(b"4:info")
    return hashlib.sha1(torrent[at : end(at)]).digest(), number(b"6:pieces", b":") // 20, number(b"12:piece lengthi", b"e")
