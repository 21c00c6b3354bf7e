"""tronpy, measured: `tronpy_kernels.py KERNEL SECONDS` prints
`{"ops":…,"wall_s":…,"cpu_s":…}` of the timed part alone."""

import hashlib
import json
import sys
import time

import google.protobuf.any_pb2
from tronpy.keys import PrivateKey, to_raw_address
from tronpy.proto import tron_pb2

KEY = PrivateKey(bytes(range(1, 33)))
OWNER = KEY.public_key.to_base58check_address()
TO = "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K"


def transfer(n):
    """Its own protobuf and signer: its offline builder has no TRC-10."""
    contract = tron_pb2.TransferAssetContract(
        asset_name=b"1002000", owner_address=to_raw_address(OWNER), to_address=to_raw_address(TO), amount=1000
    )
    raw = tron_pb2.Transaction.raw(
        ref_block_bytes=b"\xa4\xb1",
        ref_block_hash=b"\x03" * 8,
        expiration=1790000060000,
        timestamp=1790000000000 + n,
        contract=[
            tron_pb2.Transaction.Contract(
                type=tron_pb2.Transaction.Contract.ContractType.TransferAssetContract,
                parameter=google.protobuf.any_pb2.Any(
                    type_url="type.googleapis.com/protocol.TransferAssetContract",
                    value=contract.SerializeToString(),
                ),
            )
        ],
    ).SerializeToString()
    KEY.sign_msg_hash(hashlib.sha256(raw).digest())


KERNELS = {"tx": transfer}

name, seconds = sys.argv[1], float(sys.argv[2])
kernel = KERNELS[name]
for n in range(100):
    kernel(n)
begin, cpu = time.perf_counter(), time.process_time()
ops = 0
while time.perf_counter() - begin < seconds:
    kernel(ops)
    ops += 1
print(json.dumps({"ops": ops, "wall_s": time.perf_counter() - begin, "cpu_s": time.process_time() - cpu}))
