"""Verify receipts."""

import os

from kernels import contest


def contestants(setup):
    cores = os.cpu_count()
    return [
        ("bound: k256 recovers, nothing else", setup.ours("receipts-bound")),
        ("seedrail, every check", setup.ours("receipts-check")),
        ("seedrail, a line of a file: parse and every check", setup.ours("receipts-line")),
        (f"seedrail, lines, {cores} threads", setup.ours("receipts-line", cores)),
        ("TronWeb: JSON.parse and verifyTypedData", setup.tronweb("receipts-line")),
    ]


def main(arguments):
    contest("receipts", "Verify receipts", contestants, arguments)
