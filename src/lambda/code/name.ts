/** Names of functions in URLs, archives and directories. */
import { ArgyleError } from '../../errors';

const NAME = /^[A-Za-z0-9.\-_]+$/;

/** Longest accepted name, in characters. `<name>.tar.gz.attrs` must be a valid file name. */
export const MAX_NAME_LENGTH = 200;

/**
 * Checks the name of a function.
 * @throws ArgyleError LAMBDA_NAME with the original worker's message
 */
export function checkLambdaName(name: string): void {
  if (!NAME.test(name)) {
    throw new ArgyleError('LAMBDA_NAME', `invalid function name "${name}"; must match ^[A-Za-z0-9\\.\\-\\_]+$`, {
      field: 'name',
      value: name,
    });
  }
  if (name.length > MAX_NAME_LENGTH) {
    throw new ArgyleError('LAMBDA_NAME', `invalid function name: ${name.length} characters, limit ${MAX_NAME_LENGTH}`, {
      field: 'name',
      value: name,
    });
  }
}
