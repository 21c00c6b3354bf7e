const { expect } = require('chai');
const hre = require('hardhat');
const { ethers } = hre;

describe('Token', () => {
  const other = ethers.getAddress('0x00000000000000000000000000000000000000aa');
  let token, me;

  before(async () => {
    [me] = await ethers.getSigners();
    token = await ethers.deployContract('Token', ['Test', 'TST', 6, 1000, [me.address]]);
    await token.waitForDeployment();
  });

  it('has what it was deployed with', async () => {
    expect(await token.symbol()).to.equal('TST');
    expect(await token.decimals()).to.equal(6n);
    expect(await token.owner()).to.equal(me.address);
    expect(await token.balanceOf(me.address)).to.equal(1000n);
    expect(await ethers.provider.getCode(await token.getAddress())).to.not.equal('0x');
  });

  it('moves, with an event', async () => {
    await expect(token.transfer(other, 7)).to.emit(token, 'Transfer').withArgs(me.address, other, 7n);
    await expect(token.transfer(other, 1)).to.changeTokenBalances(token, [me.address, other], [-1, 1]);
  });

  it('refuses in its own words', async () => {
    await expect(token.transferFrom(other, me.address, 1)).to.be.revertedWith('allowance is too small');
  });

  it('is told of by receipts', async () => {
    const receipt = await (await token.approve(other, 5)).wait();
    expect(receipt.status).to.equal(1);
    expect(receipt.logs.length).to.equal(1);
    expect(await token.allowance(me.address, other)).to.equal(5n);
  });

  it('goes back to a snapshot, and the node does as it is told', async () => {
    const { tronWeb } = hre.tre.makeTronWeb();
    const told = async answer => {
      const { supported, result, reason } = await answer;
      expect(supported, reason).to.equal(true);
      return result;
    };
    const snapshot = await told(hre.tre.snapshot(tronWeb));
    await (await token.approve(other, 6)).wait();
    expect(await token.allowance(me.address, other)).to.equal(6n);
    expect(await told(hre.tre.revert(tronWeb, snapshot))).to.equal(true);
    expect(await token.allowance(me.address, other)).to.equal(5n);

    const head = await ethers.provider.getBlockNumber();
    await told(hre.tre.mine(tronWeb));
    expect(await ethers.provider.getBlockNumber()).to.be.greaterThan(head);

    const rich = tronWeb.address.fromHex(`41${other.slice(2)}`);
    await told(hre.tre.setAccountBalance(tronWeb, rich, 77n));
    expect(await tronWeb.trx.getBalance(rich)).to.equal(77);
    await told(hre.tre.setAccountCode(tronWeb, rich, '0x602a5f5260205ff3'));
    expect(BigInt(await ethers.provider.call({ to: other, data: '0x' }))).to.equal(42n);
  });
});
