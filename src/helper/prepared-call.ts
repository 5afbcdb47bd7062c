/**
 * Calls a shared library with preallocated arguments. ffi-napi allocates the storage of each argument at each call,
 * which takes 10 to 33 µs. A prepared call takes 0.4 µs (docs/adr/0002).
 */
import { endianness } from 'node:os';
import { CIF, DynamicLibrary } from 'ffi-napi';
import bindings from 'ffi-napi/lib/bindings';
import { writePointer } from 'ref-napi';

/** Bytes per argument: the size and alignment of the largest type in use. */
const PLACE = 8;

/** An argument. `int` is passed with each call; a Buffer's address is fixed. */
export type Argument = 'int' | Buffer;

/** The parts of ffi-napi that the npm alias leaves untyped. */
interface Ffi {
  CIF: (returns: string, args: readonly string[]) => Buffer;
  DynamicLibrary: (path: string) => { get: (symbol: string) => Buffer };
}
const ffi = { CIF, DynamicLibrary } as unknown as Ffi;

/** A loaded library. The constructor throws when it cannot be loaded. */
export class PreparedLibrary {
  private readonly library: ReturnType<Ffi['DynamicLibrary']>;

  constructor(path: string) {
    this.library = ffi.DynamicLibrary(path);
  }

  /**
   * Prepares a function that returns an int.
   *
   * @param args in their order; the function keeps references to the buffers, so that no address outlives its memory
   * @returns a function that takes the values of the `int` arguments
   * @throws Error when the library lacks the symbol
   */
  prepare(symbol: string, args: readonly Argument[]): (...ints: number[]) => number {
    const address = this.library.get(symbol);
    const cif = ffi.CIF(
      'int',
      args.map((arg) => (arg === 'int' ? 'int' : 'pointer')),
    );
    const places = Buffer.alloc(PLACE * args.length);
    const list = Buffer.alloc(PLACE * args.length);
    const result = Buffer.alloc(PLACE);
    const ints = new Int32Array(places.buffer, places.byteOffset, 2 * args.length);
    // libffi widens a returned int to register size.
    const returned = new Int32Array(result.buffer, result.byteOffset + (endianness() === 'LE' ? 0 : 4), 1);
    const intsAt: number[] = [];
    const held = args.map((arg, index) => {
      writePointer(list, PLACE * index, places.subarray(PLACE * index));
      if (arg === 'int') intsAt.push(2 * index);
      else writePointer(places, PLACE * index, arg);
      return arg;
    });
    return (...values) => {
      if (values.length !== intsAt.length) {
        throw new TypeError(`${symbol} takes ${intsAt.length} numbers beside ${held.length - intsAt.length} buffers`);
      }
      intsAt.forEach((at, index) => (ints[at] = values[index] ?? 0));
      bindings.ffi_call(cif, address, result, list);
      return returned[0] ?? 0;
    };
  }
}
