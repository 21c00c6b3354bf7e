// Transactions of every kind that TronWeb builds, one of another each time, all from
// a seed: what `transactions` of javascript.mjs answers with.

// xorshift32, so that a seed is a list.
function numbers(seed) {
    let state = seed | 1;
    return (below) => {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        return (state >>> 0) % below;
    };
}

export async function transactions(tronWeb, seed, count) {
    const builder = tronWeb.transactionBuilder;
    const next = numbers(seed);
    const hex = (bytes) => Array.from({ length: bytes }, () => next(256).toString(16).padStart(2, '0')).join('');
    const address = () => tronWeb.address.fromHex(`41${hex(20)}`);
    // Sizes of all lengths as varints have them, up to what a number can say.
    const amount = () => 1 + next(2 ** Math.min(32, 1 + next(33))) * (next(2) ? 1 : 2 ** 21);
    const resource = () => (next(2) ? 'BANDWIDTH' : 'ENERGY');
    const words = () => `text ${hex(1 + next(20))} ü 谢谢`;
    const token = () => String(1_000_001 + next(5_000));
    const key = () => ({ address: tronWeb.address.toHex(address()), weight: 1 + next(3) });
    const kinds = {
        sendTrx: (from, o) => builder.sendTrx(address(), amount(), from, o),
        sendToken: (from, o) => builder.sendToken(address(), amount(), token(), from, o),
        freezeBalanceV2: (from, o) => builder.freezeBalanceV2(amount(), resource(), from, o),
        unfreezeBalanceV2: (from, o) => builder.unfreezeBalanceV2(amount(), resource(), from, o),
        withdrawExpireUnfreeze: (from, o) => builder.withdrawExpireUnfreeze(from, o),
        cancelUnfreezeBalanceV2: (from, o) => builder.cancelUnfreezeBalanceV2(from, o),
        delegateResource: (from, o) => {
            const lock = next(2) === 1;
            return builder.delegateResource(amount(), address(), resource(), from, lock, lock ? 1 + next(100_000) : undefined, o);
        },
        undelegateResource: (from, o) => builder.undelegateResource(amount(), address(), resource(), from, o),
        createAccount: (from, o) => builder.createAccount(address(), from, o),
        purchaseToken: (from, o) => builder.purchaseToken(address(), token(), amount(), from, o),
        updateAccount: (from, o) => builder.updateAccount(words(), from, o),
        setAccountId: (from, o) => builder.setAccountId(hex(4 + next(12)), from, o),
        vote: (from, o) => builder.vote({ [address()]: 1 + next(1_000), [address()]: 1 + next(1_000_000) }, from, o),
        withdrawBlockRewards: (from, o) => builder.withdrawBlockRewards(from, o),
        createToken: (from, o) =>
            builder.createToken(
                {
                    name: `Seed${next(1_000)}`, abbreviation: 'SD', description: words(), url: 'https://example.org',
                    totalSupply: amount(), trxRatio: 1 + next(1_000), tokenRatio: 1 + next(1_000),
                    saleStart: 4_000_000_000_000 + next(1_000_000), saleEnd: 4_100_000_000_000, freeBandwidth: 0,
                    freeBandwidthLimit: 0, frozenAmount: 0, frozenDuration: 0, precision: next(7),
                },
                from, o),
        updateToken: (from, o) =>
            builder.updateToken({ description: words(), url: 'https://example.org', freeBandwidth: next(1_000), freeBandwidthLimit: 1_000 + next(1_000) }, from, o),
        updateAccountPermissions: (from, o) =>
            builder.updateAccountPermissions(
                from,
                { type: 0, permission_name: 'owner', threshold: 1, keys: [key()] },
                null,
                [{ type: 2, permission_name: 'active', threshold: 1, operations: hex(32), keys: [key(), key()] }],
                o),
        triggerSmartContract: async (from, o) => {
            const parameters = [{ type: 'address', value: address() }, { type: 'uint256', value: amount() }];
            const options = { ...o, txLocal: true, feeLimit: 1_000_000 + next(100_000_000), callValue: next(1_000) };
            const built = await builder.triggerSmartContract(address(), 'transfer(address,uint256)', options, parameters, from);
            return built.transaction;
        },
        freezeBalance: (from, o) => builder.freezeBalance(1_000_000 + next(1_000_000), 3, resource(), from, undefined, o),
        unfreezeBalance: (from, o) => builder.unfreezeBalance(resource(), from, undefined, o),
        createProposal: (from, o) => builder.createProposal([{ key: next(30), value: amount() }], from, o),
        voteProposal: (from, o) => builder.voteProposal(1 + next(100), next(2) === 1, from, o),
        updateBrokerage: (from, o) => builder.updateBrokerage(next(101), from, o),
        applyForSR: (from, o) => builder.applyForSR(from, 'https://example.org', o),
    };
    // Two of the builders ask for the newest block whatever they are given.
    tronWeb.fullNode.request = async () => ({
        blockID: `00000000${hex(28)}`,
        block_header: { raw_data: { number: next(2 ** 24), timestamp: 1_790_000_000_000 + next(1_000_000) } },
    });
    const names = Object.keys(kinds);
    const all = [];
    for (let n = 0; n < count; n += 1) {
        const kind = names[n % names.length];
        const blockHeader = {
            ref_block_bytes: hex(2), ref_block_hash: hex(8),
            timestamp: 1_790_000_000_000 + next(1_000_000), expiration: 1_790_000_060_000 + next(1_000_000),
        };
        const options = { blockHeader, ...(next(3) === 0 ? { permissionId: 2 + next(8) } : {}) };
        let built = await kinds[kind](address(), options);
        if (next(3) === 0) built = await builder.addUpdateData(built, words(), 'utf8', { txLocal: true });
        all.push({ kind, txid: built.txID, raw_data_hex: built.raw_data_hex, transaction: built });
    }
    return all;
}
