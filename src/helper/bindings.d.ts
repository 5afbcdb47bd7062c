/** The part of ffi-napi that it does not type: what its own functions call once the arguments are laid out. */
declare module 'ffi-napi/lib/bindings' {
  const bindings: { ffi_call(cif: Buffer, address: Buffer, result: Buffer, args: Buffer): void };
  export = bindings;
}
