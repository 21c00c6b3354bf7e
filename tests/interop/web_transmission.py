"""transmission-rpc of PyPI, unmodified, against our Transmission RPC.

web_transmission.py PORT PASSWORD TORRENT_FILE
"""

import sys

import transmission_rpc

from waiting import until

port, password, path = sys.argv[1:]


try:
    transmission_rpc.Client(host="127.0.0.1", port=int(port), username="admin", password="wrong")
    raise SystemExit("a wrong password was taken")
except transmission_rpc.TransmissionAuthError:
    pass

client = transmission_rpc.Client(host="127.0.0.1", port=int(port), username="admin", password=password)
session = client.get_session()
assert session.rpc_version == 16 and session.download_dir.startswith("/")
with open(path, "rb") as file:
    torrent = client.add_torrent(file, paused=True, labels=["films"])
[torrent] = client.get_torrents()
until("stopped", lambda: client.get_torrent(torrent.id).status == "stopped")
torrent = client.get_torrent(torrent.id)
assert torrent.progress == 0 and torrent.labels == ["films"], torrent.fields
[file] = torrent.get_files()
assert file.size == torrent.total_size and file.selected
client.change_torrent(torrent.id, upload_limit=7, upload_limited=True, seed_ratio_limit=2.5, seed_ratio_mode=1)
until("limits", lambda: client.get_torrent(torrent.id).upload_limit == 7)
assert client.get_torrent(torrent.id).seed_ratio_limit == 2.5
client.set_session(speed_limit_down=100, speed_limit_down_enabled=True)
until("limit of all", lambda: client.get_session().speed_limit_down == 100)
assert client.session_stats().torrent_count == 1
assert client.free_space(session.download_dir) is not None
client.start_torrent(torrent.id)
until("started", lambda: client.get_torrent(torrent.id).status != "stopped")
client.stop_torrent(torrent.id)
client.verify_torrent(torrent.id)
until("stopped again", lambda: client.get_torrent(torrent.id).status == "stopped")
client.remove_torrent(torrent.id, delete_data=True)
until("removed", lambda: not client.get_torrents())
print("ok")
