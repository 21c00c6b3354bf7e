"""Build, hash and sign a TRC-10 transfer, offline."""

import os

from kernels import contest


def contestants(setup):
    cores = os.cpu_count()
    return [
        ("bound: k256 signs, nothing else", setup.ours("tx-bound")),
        ("seedrail, one core", setup.ours("tx-build-sign")),
        (f"seedrail, {cores} threads", setup.ours("tx-build-sign", cores)),
        ("libsecp256k1 0.31 signs, nothing else", setup.libsecp256k1("bound")),
        ("libsecp256k1 0.33 signs, nothing else", setup.libsecp256k1("bound-now")),
        ("seedrail, were it to sign with 0.31", setup.libsecp256k1("tx-build-sign")),
        ("go-ethereum signs (gotron-sdk's signer), nothing else", setup.gosign()),
        ("tronpy: its protobuf and signer", setup.tronpy("tx")),
        ("TronWeb: fastest path found", setup.tronweb("tx-fast")),
        ("TronWeb: as documented", setup.tronweb("tx-documented")),
    ]


def main(arguments):
    contest("tx", "Build, hash and sign a TRC-10 transfer, offline", contestants, arguments)
