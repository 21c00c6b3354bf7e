// A session of TronWeb, unmodified, with a node: contracts and their events, witnesses and
// proposals, exchanges, and reads that the other session does not make.
// `contracts.mjs URL KEY…`; the first failed assertion ends it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.SEEDRAIL_PEERS}/javascript/package.json`);
const { TronWeb } = require('tronweb');

const { abi, bytecode } = JSON.parse(readFileSync(new URL('../../src/devnet/trc20/Token.json', import.meta.url)));
const [fullHost, ...keys] = process.argv.slice(2);
const [alice, bob] = keys.map((privateKey) => new TronWeb({ fullHost, privateKey }));
const of = (tronWeb) => tronWeb.defaultAddress.base58;
const [me, other] = [of(alice), of(bob)];
const BTT = '1002000';
const step = (name) => console.log(name);
const text = (hex) => Buffer.from(hex ?? '', 'hex').toString();
const number = (hex) => Number(BigInt(`0x${hex}`));

/** Signs and sends; the node must take it, and its info must say that it worked. */
async function send(transaction, by = alice) {
    const signed = await by.trx.sign(transaction);
    const answer = await by.trx.sendRawTransaction(signed);
    assert.equal(answer.result, true, `${answer.code}: ${text(answer.message)}`);
    const info = await by.trx.getTransactionInfo(transaction.txID);
    assert.equal(info.result, undefined, JSON.stringify(info));
    return info;
}

step('a contract is deployed');
const made = await alice.transactionBuilder.createSmartContract({
    abi, bytecode, feeLimit: 1_000_000_000, originEnergyLimit: 1_000_000, userFeePercentage: 50, name: 'Token',
    parameters: ['Test', 'TST', 6, 1000, [me]],
}, me);
const deployed = await send(made);
assert.equal(deployed.receipt.result, 'SUCCESS');
const at = made.contract_address;
const base58 = TronWeb.address.fromHex(at);
assert.equal((await alice.trx.getContract(at)).name, 'Token');
assert.equal((await alice.trx.getContract(at)).consume_user_resource_percent, 50);
const details = await alice.trx.getContractInfo(at);
assert.ok(details.runtimecode.length > 100);
// The same once more, as a question.
const { bytecode: input } = made.raw_data.contract[0].parameter.value.new_contract;
const again = await alice.transactionBuilder.deployConstantContract({ input, ownerAddress: me });
const taken = deployed.receipt.energy_usage_total;
assert.ok(again.energy_required >= taken && again.energy_required <= taken + 10_000, `${again.energy_required}, ${taken}`);

step('it is called, and paid for');
const token = await alice.contract(abi, at);
assert.equal(await token.name().call(), 'Test');
assert.equal(Number(await token.balanceOf(me).call()), 1000);
const moved = [{ type: 'address', value: other }, { type: 'uint256', value: 7 }];
const trial = await alice.transactionBuilder.triggerConstantContract(at, 'transfer(address,uint256)', {}, moved, me);
assert.equal(number(trial.constant_result[0]), 1);
const needed = await alice.transactionBuilder.estimateEnergy(at, 'transfer(address,uint256)', {}, moved, me);
assert.equal(needed.result.result, true);
const built = await alice.transactionBuilder.triggerSmartContract(at, 'transfer(address,uint256)', { feeLimit: 100_000_000 }, moved, me);
const paid = await send(built.transaction);
const total = paid.receipt.energy_usage_total;
assert.ok(needed.energy_required >= total && needed.energy_required <= total + 10_000, `${needed.energy_required}, ${total}`);
const solid = await alice.transactionBuilder.triggerConfirmedConstantContract(at, 'balanceOf(address)', {}, moved.slice(0, 1), me);
assert.equal(number(solid.constant_result[0]), 7);
const id = await (await bob.contract().at(at)).transfer(me, 2).send({ feeLimit: 100_000_000 });
assert.equal((await bob.trx.getTransactionInfo(id)).receipt.result, 'SUCCESS');
const much = [moved[0], { type: 'uint256', value: 5000 }];
await assert.rejects(alice.transactionBuilder.triggerConstantContract(at, 'transfer(address,uint256)', {}, much, me), /REVERT/);

step('its events are found');
const transfers = await alice.event.getEventsByContractAddress(base58, { eventName: 'Transfer' });
assert.equal(transfers.data.length, 3);
assert.equal(transfers.data[0].result.value, '2');
assert.equal((await alice.event.getEventsByTransactionID(built.transaction.txID)).data[0].result.value, '7');
assert.equal((await alice.event.getEventsByBlockNumber(paid.blockNumber)).data.length, 1);
assert.equal((await alice.event.getEventsOfLatestBlock()).success, true);
assert.equal((await alice.getEventByTransactionID(id)).data[0].event_name, 'Transfer');
assert.equal((await alice.getEventResult(base58)).data.length, 3);

step('its maker changes it');
// An instance remembers a contract that it has asked for.
const anew = () => new TronWeb({ fullHost, privateKey: keys[0] }).trx.getContract(at);
await send(await alice.transactionBuilder.updateSetting(at, 80, me));
await send(await alice.transactionBuilder.updateEnergyLimit(at, 5_000_000, me));
const changed = await anew();
assert.deepEqual([changed.consume_user_resource_percent, changed.origin_energy_limit], [80, 5_000_000]);
await send(await alice.transactionBuilder.clearABI(at, me));
assert.deepEqual((await anew()).abi, {});

step('blocks and transactions are read');
const block = await alice.trx.getBlockByNumber(paid.blockNumber);
assert.equal(await alice.trx.getBlockTransactionCount(paid.blockNumber), 1);
assert.equal((await alice.trx.getTransactionFromBlock(paid.blockNumber, 0)).txID, built.transaction.txID);
assert.equal((await alice.trx.getTransactionsFromBlock(paid.blockNumber)).length, block.transactions.length);
assert.ok((await alice.trx.getConfirmedCurrentBlock()).block_header.raw_data.number >= paid.blockNumber);
assert.equal((await alice.trx.getUnconfirmedTransactionInfo(id)).id, id);
assert.ok((await alice.trx.getUnconfirmedBalance(me)) > 0);
assert.match(await alice.trx.getEnergyPrices(), /^0:/);
assert.deepEqual(await alice.trx.listNodes(), []);
const gift = await alice.trx.sign(await alice.transactionBuilder.sendTrx(other, 3, me));
// Field 1 of a transaction is its raw data, field 2 a signature.
const field = (tag, hex) => {
    const length = hex.length / 2;
    const varint = length < 128 ? [length] : [length & 127 | 128, length >> 7];
    return Buffer.from([tag, ...varint]).toString('hex') + hex;
};
const [signature] = gift.signature;
const sent = await alice.trx.broadcastHex(field(0x0a, gift.raw_data_hex) + field(0x12, signature.toLowerCase()));
assert.equal(sent.result, true, JSON.stringify(sent));

step('numbers are exact');
const exact = await alice.trx.raw.getUnconfirmedAccount(me);
assert.equal(typeof exact.balance, 'string');
assert.equal(exact.assetV2.find(({ key }) => key === BTT).value, '1000000000000000');
assert.equal(typeof (await alice.trx.raw.getCurrentBlock()).block_header.raw_data.timestamp, 'string');
assert.equal(typeof (await alice.trx.getCurrentBlock()).block_header.raw_data.timestamp, 'number');

step('witnesses are voted for, and a proposal is made');
await send(await alice.transactionBuilder.applyForSR(me, 'https://one.example'));
await send(await alice.transactionBuilder.freezeBalanceV2(10_000_000, 'ENERGY', me));
await send(await alice.transactionBuilder.vote({ [me]: 5 }, me));
assert.equal((await alice.trx.getUnconfirmedAccount(me)).votes[0].vote_count, 5);
assert.equal(await alice.trx.getReward(me), 0);
assert.equal(await alice.trx.getUnconfirmedReward(me), 0);
assert.equal(await alice.trx.getBrokerage(me), 20);
await send(await alice.transactionBuilder.updateBrokerage(30, me));
assert.equal(await alice.trx.getUnconfirmedBrokerage(me), 20);
assert.ok((await alice.trx.getNowWitnessList({ offset: 0, limit: 10 })).length >= 2);
assert.ok((await alice.trx.timeUntilNextVoteCycle()) > 0);
await send(await alice.transactionBuilder.createProposal([{ key: 68, value: 7 }], me));
const [proposal] = await alice.trx.listProposals();
assert.equal(proposal.proposal_id, 1);
await send(await alice.transactionBuilder.voteProposal(1, true, me));
assert.equal((await alice.trx.getProposal(1)).approvals.length, 1);
await send(await alice.transactionBuilder.deleteProposal(1, me));
assert.equal((await alice.trx.getProposal(1)).state, 'CANCELED');

step('tokens are exchanged');
await send(await alice.transactionBuilder.createTRXExchange(BTT, 10_000_000, 1_000_000_000, me));
const [exchange] = await alice.trx.listExchanges();
assert.equal(exchange.exchange_id, 1);
assert.equal((await alice.trx.listExchangesPaginated(10, 0)).length, 1);
await send(await alice.transactionBuilder.injectExchangeTokens(1, '_', 500_000_000, me));
await send(await alice.transactionBuilder.withdrawExchangeTokens(1, '_', 500_000_000, me));
const traded = await send(await bob.transactionBuilder.tradeExchangeTokens(1, '_', 10_000_000, 1, other), bob);
assert.equal(traded.exchange_received_amount, 99_009);
assert.equal((await alice.trx.getExchangeByID(1)).first_token_id.length > 0, true);

step('done');
