// ethers, unmodified, reads a node through /jsonrpc: blocks, transactions, receipts, logs.
// `ethers.mjs URL TXID FROM TO AMOUNT TOKEN TOKEN_TXID`: a payment, then one of as much of a
// TRC-20 token; the first failed assertion ends it.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.SEEDRAIL_PEERS}/javascript/package.json`);
const { ethers } = require('ethers');

const [url, txid, from, to, amount, token, tokenTxid] = process.argv.slice(2);
const provider = new ethers.JsonRpcProvider(`${url}/jsonrpc`);
const same = (left, right) => assert.equal(left.toLowerCase(), right.toLowerCase());

const network = await provider.getNetwork();
assert.ok(network.chainId > 0n);
const head = await provider.getBlockNumber();
assert.ok(head > 0);

const transaction = await provider.getTransaction(`0x${txid}`);
same(transaction.from, from);
same(transaction.to, to);
assert.equal(transaction.value, BigInt(amount));

const receipt = await provider.getTransactionReceipt(`0x${txid}`);
assert.equal(receipt.status, 1);
assert.deepEqual([...receipt.logs], []);
assert.equal(receipt.blockNumber, transaction.blockNumber);

// java-tron's `stateRoot` is `0x`, which ethers refuses in its own getBlock, here as there.
await assert.rejects(provider.getBlock(receipt.blockNumber), /stateRoot/);
for (const [method, which] of [['eth_getBlockByNumber', transaction.blockNumber], ['eth_getBlockByHash', receipt.blockHash]]) {
    const named = typeof which === 'number' ? ethers.toQuantity(which) : which;
    const block = await provider.send(method, [named, false]);
    assert.deepEqual(block.transactions, [`0x${txid}`]);
    assert.equal(ethers.getNumber(block.number), transaction.blockNumber);
    const full = await provider.send(method, [named, true]);
    assert.equal(full.transactions[0].hash, `0x${txid}`);
}
for (const tag of ['latest', 'earliest', 'finalized']) {
    assert.ok((await provider.send('eth_getBlockByNumber', [tag, false])).hash);
}

assert.ok((await provider.getBalance(from)) > 0n);
assert.equal(await provider.getCode(to), '0x');
assert.equal(await provider.getStorage(to, 0), `0x${'00'.repeat(32)}`);
assert.deepEqual(await provider.getLogs({ fromBlock: 0, toBlock: 'latest', address: to }), []);

const erc20 = new ethers.Interface(['event Transfer(address indexed from, address indexed to, uint256 value)',
    'function balanceOf(address) view returns (uint256)']);
const [topic] = erc20.encodeFilterTopics('Transfer', [from]);
const logs = await provider.getLogs({ fromBlock: 0, toBlock: 'latest', address: token, topics: [topic] });
assert.equal(logs.length, 1);
const { args } = erc20.parseLog(logs[0]);
assert.deepEqual([args.from.toLowerCase(), args.to.toLowerCase(), args.value], [from.toLowerCase(), to.toLowerCase(), BigInt(amount)]);
const moved = await provider.getTransactionReceipt(`0x${tokenTxid}`);
assert.equal(moved.status, 1);
assert.equal(moved.logs.length, 1);
assert.equal(moved.logs[0].transactionHash, `0x${tokenTxid}`);
assert.ok(moved.gasUsed > 0n);
const contract = new ethers.Contract(token, erc20, provider);
assert.ok((await contract.balanceOf(to)) > BigInt(amount));
assert.ok((await provider.getCode(token)).length > 100);
const receipts = await provider.send('eth_getBlockReceipts', [ethers.toQuantity(moved.blockNumber)]);
assert.equal(receipts[0].transactionHash, `0x${tokenTxid}`);
assert.ok(BigInt(await provider.send('eth_gasPrice', [])) > 0n);
assert.equal(await provider.getTransaction(`0x${'00'.repeat(32)}`), null);
const filter = await provider.send('eth_newBlockFilter', []);
assert.deepEqual(await provider.send('eth_getFilterChanges', [filter]), []);
provider.destroy();
console.log('done');
