// TronWeb and ethers, unmodified, asked by the tests: one JSON request a line on
// stdin, one answer a line on stdout, `{"ok":…}` or `{"error":"…"}`.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { transactions } from './transactions.mjs';

const require = createRequire(`${process.env.SEEDRAIL_PEERS}/javascript/package.json`);
const { TronWeb, utils } = require('tronweb');
const { decryptKeystoreJson, encryptKeystoreJson } = require('ethers');

// Everything here is offline: the node's address is one where nobody listens.
const tronWeb = new TronWeb({ fullHost: 'http://127.0.0.1:9' });

async function build(q) {
    const options = {
        blockHeader: {
            ref_block_bytes: q.ref_block_bytes,
            ref_block_hash: q.ref_block_hash,
            timestamp: q.timestamp,
            expiration: q.expiration,
        },
    };
    if (q.permission_id) options.permissionId = q.permission_id;
    const builder = tronWeb.transactionBuilder;
    const transaction = q.token
        ? await builder.sendToken(q.to, q.amount, q.token, q.from, options)
        : await builder.sendTrx(q.to, q.amount, q.from, options);
    return q.memo ? builder.addUpdateData(transaction, q.memo, 'utf8', { txLocal: true }) : transaction;
}

const answers = {
    address: (q) => TronWeb.address.fromPrivateKey(q.key),
    build,
    transactions: (q) => transactions(tronWeb, q.seed, q.count),
    sign: async (q) => (await tronWeb.trx.sign(q.transaction, q.key)).signature[0],
    // The node's JSON into protobuf, as TronWeb checks what a node built for it.
    encode: (q) => {
        const pb = utils.transaction.txJsonToPb(q.transaction);
        return { raw_data_hex: utils.transaction.txPbToRawDataHex(pb), txid: utils.transaction.txPbToTxID(pb) };
    },
    decode: (q) => utils.deserializeTx.deserializeTransaction(q.type, q.raw_data_hex),
    recover: (q) => TronWeb.address.fromHex(utils.crypto.ecRecover(q.txid, q.signature)),
    sign_message: (q) => tronWeb.trx.signMessageV2(q.message, q.key),
    message_signer: (q) => tronWeb.trx.verifyMessageV2(q.message, q.signature),
    typed_digest: (q) => utils.typedData.hashTypedData(q.domain, q.types, q.value),
    typed_struct: (q) => utils._TypedDataEncoder.hashStruct(q.type, q.types, q.value),
    typed_domain: (q) => utils._TypedDataEncoder.hashDomain(q.domain),
    sign_typed: (q) => tronWeb.trx.signTypedData(q.domain, q.types, q.value, q.key),
    verify_typed: (q) => tronWeb.trx.verifyTypedData(q.domain, q.types, q.value, q.signature, q.address),
    keystore_encrypt: (q) =>
        encryptKeystoreJson(
            { address: `0x${TronWeb.address.toHex(TronWeb.address.fromPrivateKey(q.key)).slice(2)}`, privateKey: `0x${q.key}` },
            q.passphrase,
            { scrypt: { N: 4096, r: 8, p: 1 } },
        ),
    keystore_decrypt: async (q) => (await decryptKeystoreJson(q.keystore, q.passphrase)).privateKey.slice(2),
};

for await (const line of createInterface({ input: process.stdin })) {
    let answer;
    try {
        const question = JSON.parse(line);
        answer = { ok: await answers[question.op](question) };
    } catch (error) {
        answer = { error: String(error?.message ?? error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
}
