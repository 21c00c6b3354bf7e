// Compiles the devnet's token; prints the JSON that src/devnet/trc20/Token.json holds.
const fs = require('fs');
const solc = require('solc');

const source = fs.readFileSync(process.argv[2], 'utf8');
const input = {
  language: 'Solidity',
  sources: { 'Token.sol': { content: source } },
  settings: {
    evmVersion: 'cancun',
    optimizer: { enabled: true, runs: 200 },
    metadata: { bytecodeHash: 'none', appendCBOR: false },
    outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const errors = (output.errors || []).filter(({ severity }) => severity === 'error');
if (errors.length > 0) {
  console.error(errors.map(({ formattedMessage }) => formattedMessage).join('\n'));
  process.exit(1);
}
const { abi, evm } = output.contracts['Token.sol'].Token;
const compiled = { compiler: 'solc 0.8.30, cancun, optimizer 200', abi, bytecode: evm.bytecode.object };
console.log(JSON.stringify(compiled, null, 1));
