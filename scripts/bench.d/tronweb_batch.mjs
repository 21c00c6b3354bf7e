// A batch by TronWeb, as its documentation has it: one transfer after the other,
// built by the node, signed here, sent. `node tronweb_batch.mjs URL COUNT`, the key
// in PAYER_KEY; prints `{"ops":…,"wall_s":…}` until the last one is in a block.
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.SEEDRAIL_PEERS}/javascript/package.json`);
const { TronWeb } = require('tronweb');

const [, , url, count] = process.argv;
const key = process.env.PAYER_KEY;
const tronWeb = new TronWeb({ fullHost: url, privateKey: key });
const payees = [];
for (let n = 0; n < Number(count); n += 1) {
    const body = n.toString(16).padStart(40, 'a');
    payees.push(TronWeb.address.fromHex(`41${body}`));
}
const begin = performance.now();
let last;
for (const payee of payees) {
    const unsigned = await tronWeb.transactionBuilder.sendToken(payee, 1000, '1002000');
    const signed = await tronWeb.trx.sign(unsigned, key);
    const answer = await tronWeb.trx.sendRawTransaction(signed);
    if (!answer.result) throw new Error(JSON.stringify(answer));
    last = signed.txID;
}
for (;;) {
    const info = await tronWeb.trx.getUnconfirmedTransactionInfo(last);
    if (info.blockNumber) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
}
console.log(JSON.stringify({ ops: payees.length, wall_s: (performance.now() - begin) / 1000 }));
