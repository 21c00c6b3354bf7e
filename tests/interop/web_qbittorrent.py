"""qbittorrent-api of PyPI, unmodified, against our qBittorrent API.

web_qbittorrent.py URL PASSWORD TORRENT_FILE
"""

import sys

import qbittorrentapi

from waiting import until

url, password, path = sys.argv[1:]


wrong = qbittorrentapi.Client(host=url, username="admin", password="wrong")
try:
    wrong.auth_log_in()
    raise SystemExit("a wrong password was taken")
except qbittorrentapi.LoginFailed:
    pass

client = qbittorrentapi.Client(host=url, username="admin", password=password, RAISE_NOTIMPLEMENTEDERROR_FOR_UNIMPLEMENTED_API_ENDPOINTS=True)
client.auth_log_in()
assert client.app.version == "v5.0.0", client.app.version
assert client.app.web_api_version == "2.11.2"
assert client.app_build_info()["bitness"] == 64
assert client.app_preferences()["queueing_enabled"] is False
assert client.app_default_save_path().startswith("/")

client.torrents_create_category(name="films")
with open(path, "rb") as file:
    data = file.read()
added = client.torrents_add(torrent_files=data, category="films", tags=["a", "b"], is_stopped=True, ratio_limit=2)
assert added == "Ok.", added
assert client.torrents_add(torrent_files=data) == "Fails."
try:
    client.torrents_add(torrent_files=b"no torrent")
    raise SystemExit("a broken file was taken")
except qbittorrentapi.UnsupportedMediaType415Error:
    pass

[torrent] = client.torrents_info(category="films")
until("stopped", lambda: client.torrents_info()[0].state_enum.is_stopped)
[torrent] = client.torrents_info(status_filter="stopped", tag="a")
assert torrent.ratio_limit == 2 and torrent.tags == "a, b"
assert torrent.eta == 8640000 and torrent.progress == 0
assert torrent.content_path == f"{torrent.save_path}/{torrent.name}"
hashes = torrent.hash

assert client.torrents_properties(hashes).total_size == torrent.size
[file] = client.torrents_files(hashes)
assert file.size == torrent.size and file.priority == 1 and file.is_seed is False
assert [tracker.url for tracker in client.torrents_trackers(hashes)][:3] == ["** [DHT] **", "** [PeX] **", "** [LSD] **"]
assert client.torrents_webseeds(hashes) == []
assert set(client.torrents_piece_states(hashes)) == {0}
assert client.torrents_count() == 1

client.torrents_set_download_limit(limit=5000, torrent_hashes=hashes)
client.torrents_set_upload_limit(limit=6000, torrent_hashes=hashes)
until("limits", lambda: client.torrents_download_limit(hashes)[hashes] == 5000 and client.torrents_upload_limit(hashes)[hashes] == 6000)
client.torrents_set_share_limits(ratio_limit=1.5, seeding_time_limit=60, inactive_seeding_time_limit=-1, torrent_hashes=hashes)
until("goals", lambda: client.torrents_info()[0].seeding_time_limit == 60)
client.torrents_rename(torrent_hash=hashes, new_torrent_name="A film")
until("name", lambda: client.torrents_info()[0].name == "A film")
client.torrents_add_tags(tags=["c"], torrent_hashes=hashes)
client.torrents_remove_tags(tags=["a", "b"], torrent_hashes=hashes)
until("tags", lambda: client.torrents_info()[0].tags == "c")
assert "c" in client.torrents_tags()
client.torrents_set_category(category="", torrent_hashes=hashes)
until("no category", lambda: client.torrents_info()[0].category == "")
client.torrents_edit_category(name="films", save_path="/srv/films")
until("folder", lambda: client.torrents_categories()["films"]["savePath"] == "/srv/films")
client.torrents_remove_categories(categories="films")
until("no categories", lambda: not client.torrents_categories())
client.torrents_add_trackers(torrent_hash=hashes, urls=["http://127.0.0.1:1/announce"])
until("tracker", lambda: len(client.torrents_trackers(hashes)) == 4)
try:
    client.torrents_set_category(category="nothing", torrent_hashes=hashes)
    raise SystemExit("a category that is not there was taken")
except qbittorrentapi.Conflict409Error:
    pass
try:
    client.torrents_top_priority(torrent_hashes=hashes)
    raise SystemExit("there is a queue")
except qbittorrentapi.Conflict409Error:
    pass
try:
    client.torrents_properties("00" * 20)
    raise SystemExit("a torrent that is not there was found")
except qbittorrentapi.NotFound404Error:
    pass

client.transfer_set_download_limit(limit=100000)
until("limit of all", lambda: client.transfer_download_limit() == 100000)
assert client.transfer_info().dl_rate_limit == 100000
assert str(client.transfer_speed_limits_mode()) in ("0", "TorrentLimits.UNLIMITED", "")

data = client.sync_maindata(rid=0)
assert data.full_update and hashes in data.torrents
client.torrents_start(torrent_hashes=hashes)
until("started", lambda: not client.torrents_info()[0].state_enum.is_stopped)
delta = client.sync_maindata(rid=data.rid)
assert "full_update" not in delta or delta.full_update, delta
assert client.sync_torrent_peers(torrent_hash=hashes, rid=0).full_update
client.torrents_pause(torrent_hashes="all")
until("stopped again", lambda: client.torrents_info()[0].state_enum.is_stopped)
assert any("added" in row.message for row in client.log_main())

client.torrents_delete(delete_files=True, torrent_hashes=hashes)
until("removed", lambda: client.torrents_count() == 0)
client.auth_log_out()
print("ok")
