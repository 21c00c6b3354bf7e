"""tronpy and eth-account, unmodified, asked by the tests: one JSON request a line
on stdin, one answer a line on stdout, `{"ok":…}` or `{"error":"…"}`."""

import hashlib
import json
import sys

import google.protobuf.any_pb2
from eth_account import Account
from tronpy.keys import PrivateKey, Signature, to_raw_address
from tronpy.proto import tron_pb2


def build(q):
    """By tronpy's own protobuf classes: its offline builder has no TRC-10."""
    owner, to = to_raw_address(q["from"]), to_raw_address(q["to"])
    if q.get("token"):
        name = "TransferAssetContract"
        contract = tron_pb2.TransferAssetContract(
            asset_name=q["token"].encode(), owner_address=owner, to_address=to, amount=q["amount"]
        )
    else:
        name = "TransferContract"
        contract = tron_pb2.TransferContract(owner_address=owner, to_address=to, amount=q["amount"])
    raw = tron_pb2.Transaction.raw(
        ref_block_bytes=bytes.fromhex(q["ref_block_bytes"]),
        ref_block_hash=bytes.fromhex(q["ref_block_hash"]),
        expiration=q["expiration"],
        timestamp=q["timestamp"],
        data=q.get("memo", "").encode(),
        contract=[
            tron_pb2.Transaction.Contract(
                type=getattr(tron_pb2.Transaction.Contract.ContractType, name),
                parameter=google.protobuf.any_pb2.Any(
                    type_url=f"type.googleapis.com/protocol.{name}",
                    value=contract.SerializeToString(),
                ),
                Permission_id=q.get("permission_id", 0),
            )
        ],
    ).SerializeToString()
    return {"raw_data_hex": raw.hex(), "txID": hashlib.sha256(raw).hexdigest()}


def decode(q):
    """A whole transaction: what matters of it, and that it encodes to itself."""
    data = bytes.fromhex(q["hex"])
    transaction = tron_pb2.Transaction.FromString(data)
    raw = transaction.raw_data
    kind = tron_pb2.Transaction.Contract.ContractType.Name(raw.contract[0].type)
    contract = getattr(tron_pb2, kind).FromString(raw.contract[0].parameter.value)
    return {
        "type": kind,
        "amount": contract.amount,
        "expiration": raw.expiration,
        "memo": raw.data.decode(),
        "signatures": [signature.hex() for signature in transaction.signature],
        "same_bytes": transaction.SerializeToString() == data,
    }


def key(q):
    return PrivateKey(bytes.fromhex(q["key"]))


def recover(q):
    signature = Signature(bytes.fromhex(q["signature"].removeprefix("0x")))
    return signature.recover_public_key_from_msg_hash(bytes.fromhex(q["txid"])).to_base58check_address()


def message_signer(q):
    signature = Signature(bytes.fromhex(q["signature"].removeprefix("0x")))
    return signature.recover_public_key_from_msg(q["message"].encode()).to_base58check_address()


ANSWERS = {
    "address": lambda q: key(q).public_key.to_base58check_address(),
    "build": build,
    "decode": decode,
    "sign": lambda q: key(q).sign_msg_hash(bytes.fromhex(q["transaction"]["txID"])).hex(),
    "recover": recover,
    "sign_message": lambda q: key(q).sign_msg(q["message"].encode()).hex(),
    "message_signer": message_signer,
    "keystore_encrypt": lambda q: json.dumps(
        Account.encrypt("0x" + q["key"], q["passphrase"], kdf=q["kdf"], iterations=4096)
    ),
    "keystore_decrypt": lambda q: Account.decrypt(q["keystore"], q["passphrase"]).hex(),
}

for line in sys.stdin:
    try:
        question = json.loads(line)
        answer = {"ok": ANSWERS[question["op"]](question)}
    except Exception as error:  # whatever it is, the test shall read it
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
