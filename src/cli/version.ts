/** `ol version`. */
import { ownVersion } from '../config/own-version';
import { JSON_FLAG } from './ask';
import { EXIT, type Command } from './command';

export const versionCommand: Command = {
  name: 'version',
  usage: 'print the version',
  flags: [JSON_FLAG],
  interspersed: true,
  run: ({ flags, out }) => {
    const found = {
      version: ownVersion(),
      node: process.versions.node,
      platform: process.platform,
      arch: process.arch,
    };
    const text = `argyle ${found.version} (Node ${found.node}, ${found.platform} ${found.arch})`;
    out(`${flags.bool('json') ? JSON.stringify(found) : text}\n`);
    return Promise.resolve(EXIT.ok);
  },
};
