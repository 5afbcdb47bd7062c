// Preloaded with `node -r` by tests: at SIGUSR2, the method that the file ARGYLE_TEST_THROW names throws from then on,
// wherever it is called; the one before is put back. The name is MODULE:CLASS:METHOD, the module below dist/.
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
