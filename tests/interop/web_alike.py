"""The same requests to qBittorrent 4.5.2 and to ours: statuses, and the shape of each answer.

web_alike.py REFERENCE_URL OUR_URL OUR_TOKEN TORRENT_FILE

The requests are those that Sonarr, Radarr, autobrr, cross-seed and the python and TypeScript
clients make. A field of qBittorrent's must be in our answer, with a value of the same type;
ours may have more, as 5.0 has. What may differ is listed here, each with its reason.
"""

import sys

import requests

from waiting import until

reference_url, our_url, token, path = sys.argv[1:]
HASH = None

# Answers whose fields are not compared: preferences and libraries of things that are not here.
UNLIKE = {"app/preferences", "app/buildInfo"}


class Program:
    def __init__(self, url, token=None):
        self.url = url.rstrip("/")
        self.session = requests.Session()
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method, action, data=None, files=None):
        url = f"{self.url}/api/v2/{action}"
        if method == "GET":
            return self.session.get(url, params=data, timeout=60)
        return self.session.post(url, data=data or {}, files=files, timeout=60)


reference, ours = Program(reference_url), Program(our_url, token)


def kind(value):
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return type(value).__name__


def compare(where, theirs, mine, faults):
    """The shape of `theirs` must be in `mine`."""
    if kind(theirs) != kind(mine):
        faults.append(f"{where}: {kind(theirs)} there, {kind(mine)} here")
    elif isinstance(theirs, dict):
        for key, value in theirs.items():
            if key not in mine:
                faults.append(f"{where}.{key}: missing here")
            else:
                compare(f"{where}.{key}", value, mine[key], faults)
    elif isinstance(theirs, list) and theirs:
        if not mine:
            faults.append(f"{where}: empty here")
        else:
            compare(f"{where}[]", theirs[0], mine[0], faults)


def until_both(what, done):
    until(what, lambda: all(done(program) for program in (reference, ours)))


faults = []


def both(method, action, data=None, files=None, body=True):
    answers = [program.ask(method, action, data, files) for program in (reference, ours)]
    theirs, mine = answers
    if theirs.status_code != mine.status_code:
        faults.append(f"{method} {action} {data}: {theirs.status_code} there, {mine.status_code} here: {mine.text[:80]}")
        return
    if not body or theirs.status_code != 200:
        return
    if action in UNLIKE:
        return
    try:
        theirs_json = theirs.json()
    except ValueError:
        if theirs.text != mine.text:
            faults.append(f"{method} {action}: {theirs.text!r} there, {mine.text!r} here")
        return
    compare(action, theirs_json, mine.json(), faults)


with open(path, "rb") as file:
    TORRENT = file.read()

# What clients do first.
both("GET", "app/webapiVersion", body=False)
both("GET", "app/version", body=False)
both("GET", "app/preferences")
both("GET", "app/defaultSavePath", body=False)
both("GET", "torrents/categories")
both("POST", "torrents/createCategory", {"category": "tv-sonarr", "savePath": ""})
both("POST", "torrents/createCategory", {"category": "tv-sonarr", "savePath": ""})
both("POST", "torrents/createCategory", {"category": ""})
both("POST", "torrents/createCategory", {})
both("POST", "torrents/editCategory", {"category": "none"})
both("GET", "torrents/info", {"category": "tv-sonarr"})

# Sonarr and cross-seed add a file, paused and with a category.
both("POST", "torrents/add", {"category": "tv-sonarr", "paused": "true", "tags": "cross-seed"},
     {"torrents": ("film.torrent", TORRENT, "application/x-bittorrent")})
until_both("added", lambda program: len(program.ask("GET", "torrents/info").json()) == 1)
until_both("paused", lambda program: program.ask("GET", "torrents/info").json()[0]["state"] in ("pausedDL", "stoppedDL"))
HASH = reference.ask("GET", "torrents/info").json()[0]["hash"]
NONE = "00" * 20
both("POST", "torrents/add", None, {"torrents": ("film.torrent", TORRENT, "application/x-bittorrent")})
both("POST", "torrents/add", None, {"torrents": ("x.torrent", b"no torrent", "application/x-bittorrent")}, body=False)
both("GET", "torrents/info", {"category": "tv-sonarr"})
both("GET", "torrents/info", {"hashes": HASH})
both("GET", "torrents/info", {"hashes": NONE})
both("GET", "torrents/info", {"filter": "completed", "sort": "name", "reverse": "true"})
for action in ("properties", "files", "trackers", "webseeds", "pieceStates"):
    both("GET", f"torrents/{action}", {"hash": HASH})
    both("GET", f"torrents/{action}", {"hash": NONE})
    both("GET", f"torrents/{action}", {})
    both("GET", f"torrents/{action}", {"hash": "nonsense"})

# Limits, labels, names.
for action, data in [
    ("setDownloadLimit", {"hashes": HASH, "limit": "5000"}),
    ("setUploadLimit", {"hashes": HASH, "limit": "6000"}),
    ("setShareLimits", {"hashes": HASH, "ratioLimit": "2", "seedingTimeLimit": "60", "inactiveSeedingTimeLimit": "-1"}),
    ("setShareLimits", {"hashes": HASH}),
    ("downloadLimit", {"hashes": HASH}),
    ("uploadLimit", {"hashes": HASH}),
    ("setCategory", {"hashes": HASH, "category": ""}),
    ("setCategory", {"hashes": HASH, "category": "nothing"}),
    ("setCategory", {"hashes": HASH, "category": "tv-sonarr"}),
    ("addTags", {"hashes": HASH, "tags": "one,two"}),
    ("removeTags", {"hashes": HASH, "tags": "one"}),
    ("createTags", {"tags": "three"}),
    ("deleteTags", {"tags": "three"}),
    ("rename", {"hash": HASH, "name": "Another name"}),
    ("rename", {"hash": HASH, "name": ""}),
    ("rename", {"hash": NONE, "name": "x"}),
    ("filePrio", {"hash": HASH, "id": "0", "priority": "1"}),
    ("filePrio", {"hash": HASH, "id": "0", "priority": "3"}),
    ("filePrio", {"hash": HASH, "id": "x", "priority": "1"}),
    ("filePrio", {"hash": HASH, "id": "99", "priority": "1"}),
    ("filePrio", {"hash": NONE, "id": "0", "priority": "1"}),
    ("topPrio", {"hashes": HASH}),
    ("bottomPrio", {"hashes": HASH}),
    ("addPeers", {"hashes": HASH, "peers": "x"}),
    ("addPeers", {"hashes": HASH}),
    ("setForceStart", {"hashes": HASH, "value": "false"}),
    ("addTrackers", {"hash": HASH, "urls": "http://127.0.0.1:1/announce"}),
    ("addTrackers", {"hash": NONE, "urls": "http://127.0.0.1:1/announce"}),
    ("pause", {"hashes": HASH}),
    ("pause", {"hashes": NONE}),
    ("pause", {}),
    ("recheck", {}),
    ("delete", {"hashes": HASH}),
]:
    both("POST", f"torrents/{action}", data)
both("GET", "torrents/tags")
both("GET", "torrents/pause", {"hashes": HASH})
both("GET", "torrents/nothing")
both("GET", "nothing/nothing")

# All together.
both("GET", "sync/maindata", {"rid": "0"})
both("GET", "sync/torrentPeers", {"hash": HASH, "rid": "0"})
both("GET", "sync/torrentPeers", {"hash": NONE, "rid": "0"})
both("GET", "transfer/info")
both("GET", "transfer/speedLimitsMode")
both("POST", "transfer/setDownloadLimit", {"limit": "100000"})
both("GET", "transfer/downloadLimit")
both("POST", "transfer/setUploadLimit", {})
both("GET", "log/main", {"last_known_id": "-1"})
both("POST", "torrents/removeCategories", {"categories": "tv-sonarr"})
both("POST", "torrents/delete", {"hashes": HASH, "deleteFiles": "true"})
until_both("removed", lambda program: program.ask("GET", "torrents/info").json() == [])

if faults:
    raise SystemExit("\n".join(faults))
print("ok")
