/** The address of a buffer's bytes, for structures that hold pointers. */
import { address as refAddress } from 'ref-napi';

export function address(buffer: Buffer): bigint {
  return BigInt(refAddress(buffer));
}
