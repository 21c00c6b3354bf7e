// A session of TronWeb, unmodified, with a node: what a wallet does with TRX and
// TRC-10, and every way it is refused. `session.mjs URL KEY…`; the first failed
// assertion ends it.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.SEEDRAIL_PEERS}/javascript/package.json`);
const { TronWeb, utils } = require('tronweb');

const [fullHost, ...keys] = process.argv.slice(2);
const wallets = keys.map((privateKey) => {
    const tronWeb = new TronWeb({ fullHost, privateKey });
    return { tronWeb, trx: tronWeb.trx, build: tronWeb.transactionBuilder, key: privateKey, address: tronWeb.defaultAddress.base58 };
});
const [alice, bob, carol, issuer, shared] = wallets;
const BTT = '1002000';
const step = (name) => console.log(name);
const text = (hex) => Buffer.from(hex ?? '', 'hex').toString();
const hexAddress = (address) => TronWeb.address.toHex(address);

/** Signs and sends; the node must take it, and its info must say that it worked. */
async function send(wallet, transaction) {
    const signed = transaction.signature ? transaction : await wallet.trx.sign(transaction);
    const answer = await wallet.trx.sendRawTransaction(signed);
    assert.equal(answer.result, true, `${answer.code}: ${text(answer.message)}`);
    assert.equal(answer.txid, transaction.txID);
    const info = await wallet.trx.getTransactionInfo(transaction.txID);
    assert.equal(info.id, transaction.txID);
    assert.equal(info.result, undefined, JSON.stringify(info));
    const found = await wallet.trx.getConfirmedTransaction(transaction.txID);
    assert.equal(found.ret[0].contractRet, 'SUCCESS');
    assert.equal(found.raw_data_hex, transaction.raw_data_hex);
    return info;
}

/** Signs and sends; the node must refuse it in these words. */
async function refused(wallet, transaction, code, message) {
    const signed = transaction.signature ? transaction : await wallet.trx.sign(transaction);
    const answer = await wallet.trx.sendRawTransaction(signed);
    assert.notEqual(answer.result, true, `accepted: ${message}`);
    assert.deepEqual({ code: answer.code, message: text(answer.message) }, { code, message });
}

const tokens = async (address, id) => {
    const account = await alice.trx.getUnconfirmedAccount(address);
    return account.assetV2?.find(({ key }) => key === id)?.value ?? 0;
};

step('the chain is looked at');
assert.deepEqual(await alice.tronWeb.isConnected(), { fullNode: true, solidityNode: true, eventServer: true });
const genesis = await alice.trx.getBlockByNumber(0);
assert.equal(genesis.blockID.slice(0, 16), '0'.repeat(16));
const head = await alice.trx.getCurrentBlock();
assert.equal((await alice.trx.getBlockByHash(head.blockID)).blockID, head.blockID);
assert.equal((await alice.trx.getBlockRange(0, 0))[0].blockID, genesis.blockID);
const parameters = Object.fromEntries((await alice.trx.getChainParameters()).map(({ key, value }) => [key, value]));
assert.equal(parameters.getTransactionFee, 1000);
assert.equal(parameters.getCreateNewAccountFeeInSystemContract, 1000000);
assert.match((await alice.trx.getNodeInfo()).block, /^Num:\d+,ID:[0-9a-f]{64}$/);
assert.match(await alice.trx.getBandwidthPrices(), /^0:/);
assert.ok((await alice.trx.listSuperRepresentatives()).length >= 1);
assert.deepEqual((await alice.trx.getCurrentRefBlockParams()).ref_block_bytes.length, 4);

step('accounts are looked at');
const before = await alice.trx.getBalance(alice.address);
assert.equal(before, 1_000_000_000_000);
assert.equal((await alice.trx.getAccount(alice.address)).address, hexAddress(alice.address).toLowerCase());
assert.equal((await alice.trx.getAccountResources(alice.address)).freeNetLimit, parameters.getFreeNetLimit);
assert.equal(await alice.trx.getBandwidth(alice.address), parameters.getFreeNetLimit);
const nobody = TronWeb.address.fromPrivateKey('11'.repeat(32));
assert.deepEqual(await alice.trx.getAccount(nobody), {});
assert.equal(await alice.trx.getBalance(nobody), 0);
const btt = await alice.trx.getTokenByID(BTT);
assert.deepEqual([btt.id, btt.precision, btt.abbr], [BTT, 6, btt.abbr]);
assert.equal((await alice.trx.getTokenFromID(BTT)).id, BTT);
await assert.rejects(alice.trx.getTransaction('ab'.repeat(32)), /Transaction not found/);
await assert.rejects(alice.trx.getBlockByNumber(1_000_000_000), /Block not found/);

step('TRX is sent');
const sent = await alice.trx.sendTransaction(bob.address, 1_500_000);
assert.equal(sent.result, true, JSON.stringify([sent, text(sent.message)]));
assert.equal(await alice.trx.getBalance(bob.address), before + 1_500_000);
assert.equal((await alice.trx.getTransactionInfo(sent.txid)).receipt.net_usage, 267);

step('TRC-10 is sent');
await send(alice, await alice.build.sendToken(bob.address, 7_000_000, BTT, alice.address));
assert.equal(await tokens(bob.address, BTT), 1_000_000_000_000_000 + 7_000_000);
// The free bandwidth is used up by now: the rest is burnt.
const burnt = await send(alice, await alice.build.sendToken(bob.address, 1, BTT, alice.address));
assert.equal(burnt.fee, burnt.receipt.net_fee);
assert.equal(burnt.fee, 279_000);

step('a memo costs its fee');
const memo = await alice.build.addUpdateData(await alice.build.sendTrx(bob.address, 1, alice.address), 'for the bits');
assert.ok((await send(alice, memo)).fee >= parameters.getMemoFee);

step('accounts are made');
const activation = await send(alice, await alice.build.createAccount(nobody, alice.address));
assert.equal(activation.fee, 1_000_000 + 100_000);
assert.equal((await alice.trx.getAccount(nobody)).address, hexAddress(nobody).toLowerCase());
const another = TronWeb.address.fromPrivateKey('12'.repeat(32));
assert.equal((await send(alice, await alice.build.sendToken(another, 5, BTT, alice.address))).fee, 1_100_000);
assert.equal(await tokens(another, BTT), 5);
await send(alice, await alice.build.updateAccount('alice of the seeds', alice.address));
assert.equal(text((await alice.trx.getUnconfirmedAccount(alice.address)).account_name), 'alice of the seeds');
await send(alice, await alice.build.setAccountId(Buffer.from('alice-of-seeds').toString('hex'), alice.address));
assert.equal((await alice.trx.getAccountById(Buffer.from('alice-of-seeds').toString('hex'))).address, hexAddress(alice.address).toLowerCase());

step('a token is issued, bought and changed');
const saleStart = Date.now() + 60_000;
const asset = {
    name: 'Seedcoin', abbreviation: 'SEED', description: 'a token for a test', url: 'https://seed.example/',
    totalSupply: 1_000_000_000, trxRatio: 1, tokenRatio: 2, saleStart, saleEnd: saleStart + 86_400_000,
    freeBandwidth: 5000, freeBandwidthLimit: 1000, frozenAmount: 100, frozenDuration: 1, precision: 3,
};
const issue = await send(issuer, await issuer.build.createAsset(asset, issuer.address));
assert.equal(issue.assetIssueID, '1000001', JSON.stringify(issue));
assert.ok(issue.fee >= 1_024_000_000);
const issued = await issuer.trx.getTokensIssuedByAddress(issuer.address);
assert.deepEqual(Object.keys(issued), ['Seedcoin']);
assert.equal(issued.Seedcoin.total_supply, 1_000_000_000);
assert.equal(issued.Seedcoin.precision, 3);
assert.equal((await issuer.trx.getTokenListByName('Seedcoin'))[0].id, '1000001');
assert.equal((await issuer.trx.listTokens()).length, 2);
assert.equal(await tokens(issuer.address, '1000001'), 1_000_000_000 - 100);
await refused(issuer, await issuer.build.createAsset({ ...asset, name: 'Second' }, issuer.address), 'CONTRACT_VALIDATE_ERROR', 'Contract validate error : An account can only issue one asset');
const buy = () => bob.build.purchaseAsset(issuer.address, '1000001', 10_000_000, bob.address);
await refused(bob, await buy(), 'CONTRACT_VALIDATE_ERROR', 'Contract validate error : No longer valid period!');
const advanced = await fetch(`${fullHost}/devnet/increasetime`, { method: 'POST', body: JSON.stringify({ ms: 61_000 }) });
assert.ok(advanced.ok, await advanced.text());
await fetch(`${fullHost}/devnet/mine`, { method: 'POST', body: '{"blocks":1}' });
await send(bob, await buy());
assert.equal(await tokens(bob.address, '1000001'), 20_000_000);
await send(issuer, await issuer.build.updateAsset({ description: 'changed', url: 'https://other.example/', freeBandwidth: 10, freeBandwidthLimit: 20 }, issuer.address));
assert.equal((await issuer.trx.getTokensIssuedByAddress(issuer.address)).Seedcoin.url, 'https://other.example/');

step('TRX is staked, lent, taken back and unstaked');
await send(carol, await carol.build.freezeBalanceV2(50_000_000_000, 'BANDWIDTH', carol.address));
await send(carol, await carol.build.freezeBalanceV2(2_000_000, 'ENERGY', carol.address));
assert.ok((await carol.trx.getAccountResources(carol.address)).NetLimit > 0);
assert.deepEqual((await carol.trx.getUnconfirmedAccount(carol.address)).frozenV2.slice(0, 2), [{ amount: 50_000_000_000 }, { type: 'ENERGY', amount: 2_000_000 }]);
assert.ok((await carol.trx.getCanDelegatedMaxSize(carol.address, 'BANDWIDTH')).max_size > 0);
await send(carol, await carol.build.delegateResource(10_000_000_000, bob.address, 'BANDWIDTH', carol.address, false));
const lent = await carol.trx.getDelegatedResourceV2(carol.address, bob.address);
assert.equal(lent.delegatedResource[0].frozen_balance_for_bandwidth, 10_000_000_000);
assert.deepEqual((await carol.trx.getDelegatedResourceAccountIndexV2(carol.address)).toAccounts.map((a) => a.toLowerCase()), [hexAddress(bob.address).toLowerCase()]);
await send(carol, await carol.build.undelegateResource(10_000_000_000, bob.address, 'BANDWIDTH', carol.address));
await send(carol, await carol.build.unfreezeBalanceV2(1_000_000, 'ENERGY', carol.address));
assert.equal((await carol.trx.getAvailableUnfreezeCount(carol.address)).count, 31);
assert.equal((await carol.trx.getCanWithdrawUnfreezeAmount(carol.address, Date.now() + 15 * 86_400_000)).amount, 1_000_000);
await refused(carol, await carol.build.withdrawExpireUnfreeze(carol.address), 'CONTRACT_VALIDATE_ERROR', 'Contract validate error : no unFreeze balance to withdraw ');
await send(carol, await carol.build.cancelUnfreezeBalanceV2(carol.address));
assert.equal((await carol.trx.getAvailableUnfreezeCount(carol.address)).count, 32);
assert.equal((await send(carol, await carol.build.sendTrx(bob.address, 3, carol.address))).fee, undefined);

step('permissions are changed and several sign');
const permission = (type, permission_name, threshold, holders) => ({
    type, permission_name, threshold,
    keys: holders.map(({ address }) => ({ address, weight: 1 })),
    ...(type === 2 ? { operations: `06${'00'.repeat(31)}` } : {}),
});
const update = await shared.build.updateAccountPermissions(
    shared.address, permission(0, 'owner', 2, [shared, alice]), undefined, [permission(2, 'payouts', 2, [alice, bob, carol])],
);
assert.ok((await send(shared, update)).fee >= 100_000_000);
const account = await shared.trx.getUnconfirmedAccount(shared.address);
assert.equal(account.owner_permission.threshold, 2);
assert.equal(account.active_permission[0].permission_name, 'payouts');
assert.equal(account.active_permission[0].id, 2);

const payout = (amount) => shared.build.sendToken(bob.address, amount, BTT, shared.address, { permissionId: 2 });
let half = await alice.trx.multiSign(await payout(11), alice.key);
let weight = await alice.trx.getSignWeight(half);
assert.equal(weight.result.code, 'NOT_ENOUGH_PERMISSION');
assert.equal(weight.current_weight, 1);
await refused(alice, half, 'SIGERROR', 'Validate signature error: sig error');
half = await alice.trx.multiSign(await payout(12), alice.key);
const whole = await bob.trx.multiSign(half, bob.key);
assert.deepEqual((await bob.trx.getApprovedList(whole)).approved_list.map((a) => a.toLowerCase()), [alice, bob].map(({ address }) => hexAddress(address).toLowerCase()));
weight = await bob.trx.getSignWeight(whole);
assert.equal(weight.current_weight, 2);
const fee = (await send(bob, whole)).fee;
assert.ok(fee >= parameters.getMultiSignFee, `${fee}`);
const owned = () => shared.build.sendToken(bob.address, 13, BTT, shared.address);
await assert.rejects(issuer.trx.multiSign(await owned(), issuer.key, 2), /has no permission to sign/);
const both = await bob.trx.multiSign(await alice.trx.multiSign(await owned(), alice.key, 2), bob.key, 2);
await send(bob, both);
const forbidden = await shared.build.freezeBalanceV2(1_000_000, 'ENERGY', shared.address);
await assert.rejects(alice.trx.multiSign(forbidden, alice.key, 2), /Permission denied!/);

step('what is wrong is refused in the chain\'s words');
const invalid = (message) => ['CONTRACT_VALIDATE_ERROR', `Contract validate error : ${message}`];
const trx = (to, amount) => bob.build.sendTrx(to, amount, bob.address);
const token = (to, amount, id = BTT) => bob.build.sendToken(to, amount, id, bob.address);
await refused(bob, await trx(alice.address, 9_000_000_000_000), ...invalid('Validate TransferContract error, balance is not sufficient.'));
await refused(bob, await token(alice.address, 9_000_000_000_000_000), ...invalid('assetBalance is not sufficient.'));
await refused(alice, await alice.build.sendToken(bob.address, 1, '1000001', alice.address), ...invalid('assetBalance must be greater than 0.'));
await assert.rejects(trx(bob.address, 1), /Cannot transfer TRX to the same account/);
await assert.rejects(token(alice.address, 0), /Invalid amount provided/);

const edited = async (change) => {
    const header = await bob.trx.getCurrentRefBlockParams();
    return bob.build.sendTrx(alice.address, 22, bob.address, { blockHeader: { ...header, ...change(header) } });
};
await refused(bob, await edited(() => ({ ref_block_hash: '0000000000000000' })), 'TAPOS_ERROR', 'Tapos check error.');
await refused(bob, await edited(({ timestamp }) => ({ expiration: timestamp - 3_600_000 })), 'TRANSACTION_EXPIRATION_ERROR', 'Transaction expired');
await refused(bob, await edited(({ timestamp }) => ({ expiration: timestamp + 25 * 3_600_000 })), 'TRANSACTION_EXPIRATION_ERROR', 'Transaction expired');

const twice = await bob.trx.sign(await trx(alice.address, 23));
await send(bob, twice);
await refused(bob, twice, 'DUP_TRANSACTION_ERROR', 'Dup transaction.');

const foreign = await trx(alice.address, 24);
const bytes = utils.code.hexStr2byteArray;
foreign.signature = [utils.crypto.ECKeySign(bytes(foreign.txID), bytes(alice.key))];
const answer = await bob.trx.sendRawTransaction(foreign);
assert.equal(answer.code, 'SIGERROR');
assert.match(text(answer.message), /^Validate signature error: .* is signed by .* but it is not contained of permission\.$/);
const short = await trx(alice.address, 25);
short.signature = ['ab'.repeat(64)];
await refused(bob, short, 'SIGERROR', 'Validate signature error: Signature size is 64');

step('done');
