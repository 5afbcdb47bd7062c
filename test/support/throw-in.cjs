// Tests preload this file with `node -r`. At SIGUSR2, it reads a name from the file whose path is in the variable
// ARGYLE_TEST_THROW. The method of this name then throws, and the previous method works again. The name is
// MODULE:CLASS:METHOD; MODULE is below dist/.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const order = process.env['ARGYLE_TEST_THROW'];
let putBack = () => undefined;
if (process.argv.includes('up') && order !== undefined) {
  process.on('SIGUSR2', () => {
    putBack();
    const [file, owner, method] = fs.readFileSync(order, 'utf8').split(':');
    if (method === undefined) return;
    const { prototype } = require(path.resolve(__dirname, '../../dist', file))[owner];
    const before = prototype[method];
    putBack = () => (prototype[method] = before);
    prototype[method] = () => {
      throw new Error(`thrown on purpose in ${file}`, { cause: new Error('the cause of it') });
    };
  });
}
