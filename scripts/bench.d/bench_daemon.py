"""Daemons with many torrents that nobody downloads: ours with 1,000 and 10,000, transmission-daemon and qbittorrent-nox
with 1,000.

Each torrent has one file and 1,000 pieces of 16 KiB, all zeros (the files take no room on the disk), complete and shared;
no peers, no trackers, no hash table. Ours and transmission verify them all first, qbittorrent is told to believe them. What
is measured, after each program was started again: how long that start took until the list was answered with nothing left to
check; memory (PSS) and processor of a minute without anybody asking; and how long it takes to answer what has changed, 50
times, right after one torrent was changed.

`--torrents N` is another number of torrents in all cases. `--only ours`, `transmission` or `qbittorrent` is one program.
"""

import base64
import hashlib
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

from bench_swarm import cpu_of, free_port
from measure import ROOT, commit, heading, memory_of, run

SEEDRAIL = ROOT / "target/dist/seedrail"
PIECE, PIECES = 16 << 10, 1000
SETTLE, WATCH, ASKED = 5, 60, 50
# Verifying 10,000 torrents reads 160 GB of zeros.
DEADLINE = 3600
CASES = (("ours", 1000), ("ours", 10000), ("transmission", 1000), ("qbittorrent", 1000))


def torrent_file(name):
    """A torrent of zeros with this name."""
    digest = hashlib.sha1(bytes(PIECE)).digest() * PIECES
    name = name.encode()
    return b"d4:infod6:lengthi%de4:name%d:%s12:piece lengthi%de6:pieces%d:%see" % (
        PIECE * PIECES, len(name), name, PIECE, len(digest), digest)


class Socket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Program:
    """One of them: its process, its folder, and one connection to it."""

    def __init__(self, folder, contents):
        self.folder, self.contents = folder, contents
        self.process = self.connection = None

    def start(self):
        """Starts it, and waits until it answers."""
        self.process = subprocess.Popen([str(part) for part in self.command()], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment())
        until = time.monotonic() + DEADLINE
        while True:
            try:
                self.connection = self.connect()
                self.hello()
                return
            except (OSError, http.client.HTTPException):
                if time.monotonic() > until or self.process.poll() is not None:
                    sys.exit(f"scripts/bench: {self.command()[0]} does not answer")
                time.sleep(0.01)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(120)
            self.process = None

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ask(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, answer.headers, text

    def wait_complete(self, number):
        until = time.monotonic() + DEADLINE
        while self.complete() < number:
            if time.monotonic() > until:
                sys.exit(f"scripts/bench: {type(self).__name__} does not complete")
            time.sleep(max(0.02, number / 20000))

    def environment(self):
        return dict(os.environ, HOME=str(self.folder))

    def hello(self):
        pass


class Ours(Program):
    def command(self):
        return [SEEDRAIL, "daemon", "--http", "off", "--listen", "127.0.0.1:0", "--no-dht", "--no-lsd", "--no-port-map"]

    def environment(self):
        return dict(os.environ, SEEDRAIL_HOME=str(self.folder / "home"))

    def connect(self):
        return Socket(self.folder / "home/daemon.sock")

    def hello(self):
        self.revision = self.state(0)["revision"]

    def state(self, since):
        return json.loads(self.ask("GET", f"/api/v1/state?since={since}")[2])

    def add(self, name, file, **more):
        body = json.dumps({"file": base64.b64encode(file).decode(), "folder": str(self.contents), **more})
        status, _, text = self.ask("POST", "/api/v1/torrents", body, {"Content-Type": "application/json"})
        if status != 201:
            sys.exit(f"scripts/bench: {name}: {status} {text}")

    def complete(self):
        rows = json.loads(self.ask("GET", "/api/v1/torrents")[2])
        self.one = rows[0]["info_hash"]
        return sum(row["state"] == "seeding" for row in rows)

    def change(self, number):
        self.ask("PATCH", f"/api/v1/torrents/{self.one}", json.dumps({"limits": {"up": 1000000 + number}}),
                 {"Content-Type": "application/json"})

    def difference(self):
        self.revision = self.state(self.revision)["revision"]


class Transmission(Program):
    def __init__(self, folder, contents):
        super().__init__(folder, contents)
        self.port, self.session = free_port(), ""
        (folder / "config").mkdir()
        (folder / "config/settings.json").write_text(json.dumps({
            "rpc-enabled": True, "rpc-port": self.port, "rpc-bind-address": "127.0.0.1", "rpc-authentication-required": False,
            "dht-enabled": False, "lpd-enabled": False, "pex-enabled": False, "utp-enabled": False,
            "port-forwarding-enabled": False, "peer-port": free_port(), "bind-address-ipv4": "127.0.0.1",
            "download-dir": str(contents), "download-queue-enabled": False, "seed-queue-enabled": False,
            "ratio-limit-enabled": False, "trash-original-torrent-files": False}))

    def command(self):
        return ["transmission-daemon", "-f", "-g", self.folder / "config"]

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port)

    def call(self, method, arguments):
        body = json.dumps({"method": method, "arguments": arguments})
        while True:
            status, headers, text = self.ask("POST", "/transmission/rpc", body, {"X-Transmission-Session-Id": self.session})
            if status != 409:
                return json.loads(text)
            self.session = headers["X-Transmission-Session-Id"]

    def hello(self):
        self.call("session-get", {})

    def add(self, name, file):
        result = self.call("torrent-add", {"metainfo": base64.b64encode(file).decode(), "download-dir": str(self.contents)})
        if result["result"] != "success":
            sys.exit(f"scripts/bench: {name}: {result}")

    def complete(self):
        rows = self.call("torrent-get", {"fields": ["status", "leftUntilDone"]})["arguments"]["torrents"]
        return sum(row["status"] == 6 and row["leftUntilDone"] == 0 for row in rows)

    def change(self, number):
        self.call("torrent-set", {"ids": [1], "uploadLimit": 1000 + number, "uploadLimited": True})

    def difference(self):
        fields = ["id", "name", "status", "percentDone", "rateDownload", "rateUpload", "uploadLimit", "leftUntilDone", "error"]
        self.call("torrent-get", {"ids": "recently-active", "fields": fields})


class Qbittorrent(Program):
    def __init__(self, folder, contents):
        super().__init__(folder, contents)
        self.port, self.rid, self.added = free_port(), 0, 0
        config = folder / "qBittorrent/config"
        config.mkdir(parents=True)
        (config / "qBittorrent.conf").write_text(
            "[LegalNotice]\nAccepted=true\n[BitTorrent]\nSession\\DHTEnabled=false\nSession\\LSDEnabled=false\n"
            "Session\\PeXEnabled=false\nSession\\QueueingSystemEnabled=false\nSession\\Interface=lo\nSession\\InterfaceName=lo\n"
            "Session\\InterfaceAddress=127.0.0.1\n[Preferences]\nConnection\\UPnP=false\nWebUI\\Address=127.0.0.1\n"
            f"WebUI\\Port={self.port}\nWebUI\\LocalHostAuth=false\nWebUI\\UseUPnP=false\n")

    def command(self):
        return ["qbittorrent-nox", f"--profile={self.folder}", f"--webui-port={self.port}"]

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port)

    def hello(self):
        self.ask("GET", "/api/v2/app/version")

    def add(self, name, file):
        self.forget()
        self.wait_added(self.added)
        edge = "seedrail-bench"
        parts = [f'--{edge}\r\nContent-Disposition: form-data; name="savepath"\r\n\r\n{self.contents}\r\n'.encode(),
                 f'--{edge}\r\nContent-Disposition: form-data; name="skip_checking"\r\n\r\ntrue\r\n'.encode(),
                 f'--{edge}\r\nContent-Disposition: form-data; name="torrents"; filename="{name}.torrent"\r\n'
                 "Content-Type: application/x-bittorrent\r\n\r\n".encode() + file + b"\r\n", f"--{edge}--\r\n".encode()]
        status, _, text = self.ask("POST", "/api/v2/torrents/add", b"".join(parts),
                                   {"Content-Type": f"multipart/form-data; boundary={edge}"})
        if (status, text) != (200, b"Ok."):
            sys.exit(f"scripts/bench: {name}: {status} {text}")
        self.added += 1

    def forget(self):
        """It keeps all that it has answered until the connection is closed, which comes to gigabytes."""
        self.connection.close()

    def wait_added(self, number):
        """It says that torrents are added before they are, and loses some if more come meanwhile."""
        until = time.monotonic() + DEADLINE
        last = f"/api/v2/torrents/info?limit=1&offset={number - 1}"
        while number > 0 and not json.loads(self.ask("GET", last)[2]):
            if time.monotonic() > until:
                sys.exit("scripts/bench: Qbittorrent lost a torrent")
            time.sleep(0.01)

    def complete(self):
        self.forget()
        rows = json.loads(self.ask("GET", "/api/v2/torrents/info")[2])
        if rows:
            self.one = rows[0]["hash"]
        return sum(row["state"] in ("stalledUP", "uploading", "queuedUP") for row in rows)

    def change(self, number):
        self.ask("POST", "/api/v2/torrents/setUploadLimit", urllib.parse.urlencode({"hashes": self.one, "limit": 1000000 + number}),
                 {"Content-Type": "application/x-www-form-urlencoded"})

    def difference(self):
        self.rid = json.loads(self.ask("GET", f"/api/v2/sync/maindata?rid={self.rid}")[2])["rid"]


PROGRAMS = {"ours": Ours, "transmission": Transmission, "qbittorrent": Qbittorrent}


def once(name, number, contents):
    """Start in seconds, memory in MiB, processor in percent, and an answer in ms."""
    folder = Path(tempfile.mkdtemp(prefix="seedrail-bench-"))
    program = PROGRAMS[name](folder, contents)
    try:
        program.start()
        for at in range(number):
            program.add(f"{at:05}.bin", torrent_file(f"{at:05}.bin"))
        program.wait_complete(number)
        program.stop()
        began = time.monotonic()
        program.start()
        program.wait_complete(number)
        start = time.monotonic() - began
        time.sleep(SETTLE)
        before = cpu_of(program.process.pid)
        time.sleep(WATCH)
        cpu = cpu_of(program.process.pid) - before
        memory, _ = memory_of(program.process.pid)
        # Programs hang up on a connection that said nothing for so long; the next request opens another.
        program.connection.close()
        program.difference()
        times = []
        for turn in range(ASKED):
            program.change(turn)
            asked = time.monotonic()
            program.difference()
            times.append(time.monotonic() - asked)
        program.stop()
        return {"start": start, "memory": memory / 1024, "cpu": 100 * cpu / WATCH, "answer": 1000 * statistics.median(times)}
    finally:
        program.kill()
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments):
    measured = commit()
    run("cargo", "build", "--profile", "dist", "--locked", "--quiet")
    run("scripts/peers", "swarm")
    cases = [(name, arguments.torrents or number) for name, number in CASES if arguments.only in (None, name)]
    results = {case: [] for case in cases}
    with tempfile.TemporaryDirectory(prefix="seedrail-bench-") as contents:
        contents = Path(contents)
        for at in range(max(number for _, number in cases)):
            with open(contents / f"{at:05}.bin", "wb") as file:
                file.truncate(PIECE * PIECES)
        for turn in range(arguments.rounds):
            for case in results:
                print(f"round {turn + 1} of {arguments.rounds}: {case[0]}, {case[1]}", file=sys.stderr)
                results[case].append(once(*case, contents))
                print(f"  {results[case][-1]}", file=sys.stderr)
    heading("daemon", "Daemons with many torrents", measured, f"{arguments.rounds} rounds")
    print(f"Complete torrents of {PIECES} pieces without peers, trackers and hash table, after a start without anything to verify;\n"
          f"the processor over {WATCH} s; the answer is what changed, right after a change.\n")
    print("| program | torrents | start, s | memory (PSS), MiB | processor, percent of one | answer, ms |")
    print("|---|---:|---:|---:|---:|---:|")
    for (name, number), rows in results.items():
        median = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        print(f"| {name} | {number:,} | {median['start']:.2f} | {median['memory']:.1f} | {median['cpu']:.2f} | {median['answer']:.2f} |")
