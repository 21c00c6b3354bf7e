const Token = artifacts.require('Token');

contract('Token', ([me]) => {
  const other = 'TPjjvMwjPoDC32V2dGDYTkLH4E5LAtBZ6C';
  const refusal = async promise => {
    try {
      await promise;
    } catch (error) {
      return String(error.message ?? error);
    }
    throw new Error('it was not refused');
  };

  it('has what it was deployed with', async () => {
    const token = await Token.deployed();
    assert.equal(await token.name(), 'Test');
    assert.equal(await token.symbol(), 'TST');
    assert.equal(Number(await token.decimals()), 6);
    assert.equal(Number(await token.balanceOf(me)), 1000);
  });

  it('moves, with an event', async () => {
    const token = await Token.deployed();
    const id = await token.transfer(other, 7);
    assert.equal(Number(await token.balanceOf(other)), 7);
    const info = await tronWeb.trx.getTransactionInfo(id);
    assert.equal(info.receipt.result, 'SUCCESS');
    assert.equal(info.log.length, 1);
    const events = await tronWeb.getEventByTransactionID(id);
    assert.equal(events.data[0].event_name, 'Transfer');
    assert.equal(events.data[0].result.value, '7');
  });

  it('refuses more than there is', async () => {
    const token = await Token.deployed();
    const words = await refusal(token.transfer(other, 1000000, { shouldPollResponse: true }));
    assert.ok(words.includes('REVERT'), words);
    assert.equal(Number(await token.balanceOf(me)), 993);
  });

  it('is deployed anew', async () => {
    const token = await Token.new('Second', 'SND', 0, 1, [me]);
    assert.equal(await token.name(), 'Second');
    assert.equal(Number(await token.totalSupply()), 1);
    assert.equal(Number(await (await Token.at(token.address)).totalSupply()), 1);
  });
});
