const Token = artifacts.require('Token');

module.exports = (deployer, network, accounts) => {
  deployer.deploy(Token, 'Test', 'TST', 6, 1000, [accounts]);
};
