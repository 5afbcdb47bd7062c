/** Opens the secrets of functions. */
import type { Config } from '../config';
import { homeOf } from '../config/places';
import { SecretFiles, secretsDir } from '../lambda/code/secrets';

/** @param env of the worker's process; a service manager sets CREDENTIALS_DIRECTORY there */
export function makeSecrets(config: Config, env = process.env): SecretFiles {
  return new SecretFiles({
    dir: secretsDir(config.argyle.secrets_dir, homeOf(config)),
    credentials: env['CREDENTIALS_DIRECTORY'],
  });
}
