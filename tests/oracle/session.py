"""A session of tronpy, unmodified, with a node: TRX, TRC-10, a token, staking,
several signers, and every refusal as tronpy reports it.
`session.py URL KEY…`; the first failed assertion ends it."""

import sys
import time

from tronpy import Tron
from tronpy.exceptions import (
    AddressNotFound,
    BadKey,
    BadSignature,
    BlockNotFound,
    TaposError,
    TransactionError,
    TransactionNotFound,
    UnknownError,
    ValidationError,
)
from tronpy.keys import PrivateKey
from tronpy.providers import HTTPProvider

url, *keys = sys.argv[1:]
client = Tron(HTTPProvider(url))
alice, bob, carol, issuer, shared = (PrivateKey(bytes.fromhex(key)) for key in keys)
BTT = 1002000


def address(key):
    return key.public_key.to_base58check_address()


def step(name):
    print(name, flush=True)


def send(builder, *signers):
    """The node must take it, and its info must say that it worked."""
    transaction = builder.build()
    for signer in signers:
        transaction.sign(signer)
    sent = transaction.broadcast()
    assert sent["result"] is True, sent
    info = sent.wait(timeout=10, interval=0.05, solid=True)
    assert info["id"] == transaction.txid and "result" not in info, info
    return info


def refused(expected, words, act):
    try:
        act()
    except expected as error:
        assert words in str(error), f"{error!r} says nothing of {words!r}"
    else:
        raise AssertionError(f"nothing was refused: {words}")


step("the chain is looked at")
genesis = client.get_block(0)
assert genesis["blockID"].startswith("0" * 16)
assert client.get_block(genesis["blockID"])["blockID"] == genesis["blockID"]
assert client.get_latest_block_number() >= 0
assert len(client.get_latest_solid_block_id()) == 64
assert client.get_latest_solid_block()["blockID"]
parameters = {p["key"]: p.get("value") for p in client.get_chain_parameters()}
assert parameters["getTransactionFee"] == 1000
assert client.list_witnesses()
refused(BlockNotFound, "", lambda: client.get_block(1_000_000_000))
refused(TransactionNotFound, "", lambda: client.get_transaction("ab" * 32))
refused(TransactionNotFound, "", lambda: client.get_transaction_info("ab" * 32))

step("accounts are looked at")
before = client.get_account_balance(address(bob))
assert before == 1_000_000
assert client.get_bandwidth(address(alice)) == parameters["getFreeNetLimit"]
assert client.get_energy(address(alice)) == 0
assert client.get_account_asset_balance(address(alice), BTT) == 10**15
assert client.get_asset(BTT)["precision"] == 6
nobody = address(PrivateKey(b"\x11" * 32))
refused(AddressNotFound, "account not found on-chain", lambda: client.get_account(nobody))
permission = client.get_account_permission(address(alice))
assert permission["owner"]["keys"] == [{"address": address(alice), "weight": 1}]

step("TRX and TRC-10 are sent")
send(client.trx.transfer(address(alice), address(bob), 1_500_000), alice)
assert client.get_account_balance(address(bob)) == before + 1 + type(before)("0.5")
send(client.trx.asset_transfer(address(alice), address(bob), 7, BTT), alice)
assert client.get_account_asset_balance(address(bob), BTT) == 10**15 + 7
info = send(client.trx.transfer(address(alice), address(bob), 1).memo("for the bits"), alice)
assert info["fee"] >= parameters["getMemoFee"]
info = send(client.trx.transfer(address(alice), nobody, 5), alice)
assert info["fee"] == 1_100_000, info
assert client.get_account(nobody)["balance"] == 5

step("a token is issued")
now = client.get_latest_block()["block_header"]["raw_data"]["timestamp"]
issue = send(
    client.trx.asset_issue(
        address(issuer),
        "SEED",
        1_000_000_000,
        name="Seedcoin",
        precision=3,
        url="https://seed.example/",
        description="a token for a test",
        start_time=now + 60_000,
        end_time=now + 86_400_000,
    ),
    issuer,
)
assert issue["assetIssueID"] == "1000001"
assert client.get_asset(issuer=address(issuer))["assetIssue"][0]["name"] == "Seedcoin"
assert client.get_account_asset_balance(address(issuer), 1000001) == 1_000_000_000

step("TRX is staked, lent, taken back and unstaked")
send(client.trx.freeze_balance(address(carol), 50_000_000_000, "BANDWIDTH"), carol)
send(client.trx.freeze_balance(address(carol), 2_000_000, "ENERGY"), carol)
assert client.get_account_resource(address(carol))["NetLimit"] > 0
send(client.trx.delegate_resource(address(carol), address(bob), 10_000_000_000, "BANDWIDTH"), carol)
lent = client.get_delegated_resource_v2(address(carol), address(bob))
assert lent["delegatedResource"][0]["frozen_balance_for_bandwidth"] == 10_000_000_000
send(client.trx.undelegate_resource(address(carol), address(bob), 10_000_000_000, "BANDWIDTH"), carol)
send(client.trx.unfreeze_balance(address(carol), "ENERGY", unfreeze_balance=1_000_000), carol)
refused(
    ValidationError,
    "no unFreeze balance to withdraw",
    lambda: send(client.trx.withdraw_stake_balance(address(carol)), carol),
)

step("permissions are changed and several sign")
holders = [{"address": address(key), "weight": 1} for key in (alice, bob)]
permission = client.get_account_permission(address(shared))
permission["owner"]["threshold"] = 2
permission["owner"]["keys"] = [*holders, {"address": address(shared), "weight": 1}]
permission["actives"] = [
    {
        "type": "Active",
        "id": 2,
        "permission_name": "payouts",
        "threshold": 2,
        "operations": "06" + "00" * 31,
        "keys": [dict(holder) for holder in holders],
    }
]
info = send(client.trx.account_permission_update(address(shared), permission), shared)
assert info["fee"] >= 100_000_000
permission = client.get_account_permission(address(shared))
assert permission["owner"]["threshold"] == 2 and permission["actives"][0]["permission_name"] == "payouts"


def payout(amount):
    return client.trx.asset_transfer(address(shared), address(bob), amount, BTT).permission_id(2)


send(payout(11), alice, bob)
refused(BadSignature, "sig error", lambda: send(payout(12), alice))
refused(BadKey, "not in the permission list", lambda: send(payout(13), carol))
refused(BadSignature, "has signed twice!", lambda: send(payout(14), alice, alice))

step("what is wrong is refused in the chain's words")


def transfer(amount, to=None):
    return client.trx.transfer(address(bob), to or address(alice), amount)


def token(amount, token_id=BTT, to=None):
    return client.trx.asset_transfer(address(bob), to or address(alice), amount, token_id)


refused(ValidationError, "balance is not sufficient.", lambda: send(transfer(9 * 10**15), bob))
refused(ValidationError, "Cannot transfer TRX to yourself.", lambda: send(transfer(1, address(bob)), bob))
refused(ValidationError, "Amount must be greater than 0.", lambda: send(transfer(0), bob))
refused(ValidationError, "assetBalance is not sufficient.", lambda: send(token(2 * 10**15), bob))
refused(ValidationError, "assetBalance must be greater than 0.", lambda: send(token(1, 1000001), bob))
refused(ValidationError, "Cannot transfer asset to yourself.", lambda: send(token(1, BTT, address(bob)), bob))


def broadcast(change):
    """A transaction whose raw data is changed after tronpy has built it."""
    transaction = transfer(21).build()
    change(transaction)
    fresh = client.get_sign_weight(transaction)
    transaction.txid = fresh["transaction"]["transaction"]["txID"]
    transaction._signature = [bob.sign_msg_hash(bytes.fromhex(transaction.txid)).hex()]
    return transaction.broadcast()


def raw(**fields):
    return lambda transaction: transaction._raw_data.update(fields)


refused(TaposError, "Tapos check error.", lambda: broadcast(raw(ref_block_hash="00" * 8)))
refused(TransactionError, "Transaction expired", lambda: broadcast(raw(expiration=now - 1)))
refused(TransactionError, "Transaction expired", lambda: broadcast(raw(expiration=int(time.time() * 1000) + 9 * 10**7)))

twice = transfer(22).build().sign(bob)
twice.broadcast().wait(timeout=10, interval=0.05)
refused(UnknownError, "Dup transaction.", twice.broadcast)

foreign = transfer(23).build()
foreign.set_signature([alice.sign_msg_hash(bytes.fromhex(foreign.txid)).hex()])
refused(BadSignature, "but it is not contained of permission.", foreign.broadcast)
short = transfer(24).build()
short.set_signature(["ab" * 64])
refused(BadSignature, "Signature size is 64", short.broadcast)

step("done")
