// A project whose contracts are compiled already: build/contracts is made by the test.
module.exports = {
  networks: {
    development: {
      privateKey: process.env.PRIVATE_KEY,
      userFeePercentage: 0,
      feeLimit: 1000 * 1e6,
      fullHost: process.env.NODE_URL,
      network_id: '9',
    },
  },
  compilers: { solc: { version: '0.8.30' } },
};
