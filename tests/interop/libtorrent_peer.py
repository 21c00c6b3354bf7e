"""libtorrent as a program: one session, the torrents of its argument (JSON).

{"mode": "plain" | "encrypted" | "utp", "dht": [port, ...] | null, "pex": bool,
 "jobs": [{"source": "path or magnet", "dir": "...", "peers": ["ip:port"]}]}

Prints one line of JSON when it listens, {"version", "port"}. Ends when its stdin does.
"""

import json
import sys
import threading

import libtorrent as lt

wanted = json.loads(sys.argv[1])
mode = wanted["mode"]
settings = {
    "user_agent": f"libtorrent/{lt.version}",
    "listen_interfaces": "127.0.0.1:0",
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_lsd": bool(wanted.get("lsd")),
    "enable_dht": wanted.get("dht") is not None,
    "dht_bootstrap_nodes": ",".join(f"127.0.0.1:{port}" for port in wanted.get("dht") or []),
    # Everything here is at one address, and none of it is dangerous.
    "allow_multiple_connections_per_ip": True,
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_ignore_dark_internet": False,
    "min_reconnect_time": 1,
    "active_limit": 100,
    "enable_outgoing_utp": mode == "utp",
    "enable_incoming_utp": mode == "utp",
    "enable_outgoing_tcp": mode != "utp",
    "enable_incoming_tcp": mode != "utp",
}
policy = 0 if mode == "encrypted" else 2  # forced, disabled
settings |= {"in_enc_policy": policy, "out_enc_policy": policy, "allowed_enc_level": 2}
session = lt.session(settings)

handles = []
for job in wanted["jobs"]:
    source = job["source"]
    if source.startswith("magnet:"):
        parameters = lt.parse_magnet_uri(source)
    else:
        parameters = lt.add_torrent_params()
        parameters.ti = lt.torrent_info(source)
    parameters.save_path = job["dir"]
    handle = session.add_torrent(parameters)
    for peer in job.get("peers", []):
        host, port = peer.rsplit(":", 1)
        handle.connect_peer((host, int(port)))
    handles.append(handle)

print(json.dumps({"version": f"libtorrent {lt.version}", "port": session.listen_port()}), flush=True)


def watch() -> None:
    while True:
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            print(alert.message(), file=sys.stderr, flush=True)


threading.Thread(target=watch, daemon=True).start()
sys.stdin.read()
