require('@nomicfoundation/hardhat-ethers');
require('@nomicfoundation/hardhat-chai-matchers');
require('@openzeppelin/hardhat-tron');

module.exports = {
  solidity: '0.8.30',
  // The devnet is there already.
  tre: { autoStart: false },
  defaultNetwork: 'tre',
  networks: {
    tre: {
      url: `${process.env.NODE_URL}/jsonrpc`,
      tron: true,
      accounts: [`0x${process.env.PRIVATE_KEY}`],
    },
  },
};
