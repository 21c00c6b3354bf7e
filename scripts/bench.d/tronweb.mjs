// TronWeb, measured: `node tronweb.mjs KERNEL SECONDS` prints
// `{"ops":…,"wall_s":…,"cpu_s":…}` of the timed part alone.
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.SEEDRAIL_PEERS}/javascript/package.json`);
const { TronWeb, utils } = require('tronweb');

const key = '0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20';
const from = TronWeb.address.fromPrivateKey(key);
const to = 'TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K';
const tronWeb = new TronWeb({ fullHost: 'http://127.0.0.1:9' });

const header = (n) => ({
    ref_block_bytes: 'a4b1',
    ref_block_hash: '0303030303030303',
    timestamp: 1790000000000 + n,
    expiration: 1790000060000,
});

const domain = {
    name: 'Seedrail Receipt',
    version: '1',
    chainId: 728126428,
    salt: '0x00000000000000001ebf88508a03865c71d452e25f4d51194196a1d22b6653dc',
};
const field = (text) => ({ type: text.split(' ')[0], name: text.split(' ')[1] });
const types = {
    Receipt: (
        'address payer,address payee,address signer,address vault,trcToken token,uint64 epoch,uint64 sinceBlock,' +
        'uint64 sequence,uint256 amount,uint256 deliveredBytes,uint64 issuedAt,bytes32 grant'
    )
        .split(',')
        .map(field),
};
const receipt = (n) => ({
    payer: from,
    payee: to,
    signer: from,
    vault: 'T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb',
    token: '1002000',
    epoch: '1',
    sinceBlock: '70000000',
    sequence: String(n + 1),
    amount: String((n + 1) * 1000),
    deliveredBytes: String((n + 1) * 1048576),
    issuedAt: '1790000000',
    grant: `0x${'00'.repeat(32)}`,
});

const kernels = {
    // As its documentation has it: the builder, then trx.sign.
    'tx-documented': () => async (n) => {
        const transaction = await tronWeb.transactionBuilder.sendToken(to, 1000, '1002000', from, { blockHeader: header(n) });
        await tronWeb.trx.sign(transaction, key);
    },
    // The least that gives the same: its protobuf and its signer, without checks.
    'tx-fast': () => {
        const value = {
            asset_name: Buffer.from('1002000').toString('hex'),
            owner_address: TronWeb.address.toHex(from),
            to_address: TronWeb.address.toHex(to),
            amount: 1000,
        };
        const type = 'TransferAssetContract';
        const parameter = { value, type_url: `type.googleapis.com/protocol.${type}` };
        return (n) => {
            const pb = utils.transaction.txJsonToPb({ raw_data: { contract: [{ parameter, type }], ...header(n) } });
            utils.crypto.ECKeySign(utils.code.hexStr2byteArray(utils.transaction.txPbToTxID(pb).slice(2)), utils.code.hexStr2byteArray(key));
        };
    },
    // A line of a receipt file, verified.
    'receipts-line': () => {
        const lines = Array.from({ length: 64 }, (_, n) => {
            const message = receipt(n);
            return JSON.stringify({ message, signature: utils.typedData.signTypedData(domain, types, message, key) });
        });
        return (n) => {
            const { message, signature } = JSON.parse(lines[n % lines.length]);
            if (!utils.typedData.verifyTypedData(domain, types, message, signature, message.signer)) throw new Error('not verified');
        };
    },
};

const [name, seconds] = process.argv.slice(2);
const kernel = kernels[name]();
for (let n = 0; n < 100; n += 1) await kernel(n); // the compiler warms up
const [begin, cpu] = [process.hrtime.bigint(), process.cpuUsage()];
const until = begin + BigInt(Math.round(Number(seconds) * 1e9));
let ops = 0;
while (process.hrtime.bigint() < until) {
    await kernel(ops);
    ops += 1;
}
const wall_s = Number(process.hrtime.bigint() - begin) / 1e9;
const used = process.cpuUsage(cpu);
console.log(JSON.stringify({ ops, wall_s, cpu_s: (used.user + used.system) / 1e6 }));
