/**
 * The untyped part of ffi-napi: the low-level call that its own functions make after they have laid out the arguments.
 */
declare module 'ffi-napi/lib/bindings' {
  const bindings: { ffi_call(cif: Buffer, address: Buffer, result: Buffer, args: Buffer): void };
  export = bindings;
}
