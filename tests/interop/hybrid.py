"""Makes a hybrid torrent (BEP 52) of a folder: hybrid.py FOLDER FILE TRACKER."""

import sys

import libtorrent as lt

folder, file, tracker = sys.argv[1:]
files = lt.file_storage()
lt.add_files(files, folder)
made = lt.create_torrent(files, piece_size=32 << 10)
made.add_tracker(tracker)
lt.set_piece_hashes(made, folder.rsplit("/", 1)[0])
with open(file, "wb") as out:
    out.write(lt.bencode(made.generate()))
