"""One side of a transfer with libtorrent: `seed|leech|share FOLDER TORRENT PORT [UPLOAD_LIMIT]`.

The seeder says when it serves, which is later than when it listens, and runs
until it is killed. The leecher prints how many seconds the transfer took and
ends; `share` downloads too, and goes on sharing until it is killed. The limit
is in bytes a second. BENCH_LINK says what connections run on: `tcp`, `rc4` (the same, enciphered) or
`utp`.
"""

import os
import socket
import sys
import time

import libtorrent


def serves(port, info_hash):
    """Whether it answers a handshake: it closes those that come before the torrent is ready."""
    with socket.create_connection(("127.0.0.1", port)) as peer:
        try:
            peer.sendall(b"\x13BitTorrent protocol" + bytes(8) + info_hash + b"-BENCH0-" + os.urandom(12))
            return peer.recv(68) != b""
        except ConnectionError:
            return False


def main():
    role, folder, torrent, port, *limit = sys.argv[1:]
    link = os.environ.get("BENCH_LINK", "tcp")
    tcp, utp = link != "utp", link == "utp"
    encryption = {} if link != "rc4" else {
        "out_enc_policy": int(libtorrent.enc_policy.pe_forced), "in_enc_policy": int(libtorrent.enc_policy.pe_forced),
        "allowed_enc_level": int(libtorrent.enc_level.pe_rc4), "prefer_rc4": True}
    session = libtorrent.session(encryption | {
        "listen_interfaces": f"127.0.0.1:{port}",
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
        "enable_incoming_utp": utp, "enable_outgoing_utp": utp,
        "enable_incoming_tcp": tcp, "enable_outgoing_tcp": tcp,
        "alert_mask": libtorrent.alert.category_t.status_notification | libtorrent.alert.category_t.error_notification,
    })
    parameters = libtorrent.add_torrent_params()
    parameters.ti = libtorrent.torrent_info(torrent)
    parameters.save_path = folder
    if role == "seed":
        parameters.flags |= libtorrent.torrent_flags.seed_mode
    start = time.monotonic()
    handle = session.add_torrent(parameters)
    # The torrent's own limit: the session's does not count peers of this network.
    if limit:
        handle.set_upload_limit(int(limit[0]))
    if role == "seed":
        # Only plain TCP can be asked from outside.
        hash = parameters.ti.info_hash().to_bytes()
        while not (serves(int(port), hash) if link == "tcp" else handle.status().is_seeding):
            time.sleep(0.05)
        print("serves", flush=True)
    while True:
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            if role == "leech" and isinstance(alert, libtorrent.torrent_finished_alert):
                print(time.monotonic() - start, flush=True)
                return
            if isinstance(alert, libtorrent.torrent_error_alert | libtorrent.file_error_alert):
                sys.exit(alert.message())


main()
