/**
 * The libc calls that tests of the helper need and Node lacks, e.g. for special descriptors and sendmsg with many
 * descriptors.
 */
import { Library } from 'ffi-napi';
import { writePointer } from 'ref-napi';

interface RawLibc {
  socket(domain: number, type: number, protocol: number): number;
  socketpair(domain: number, type: number, protocol: number, out: Buffer): number;
  pipe(out: Buffer): number;
  sendmsg(fd: number, message: Buffer, flags: number): number;
  setsockopt(fd: number, level: number, name: number, value: Buffer, size: number): number;
  close(fd: number): number;
}

const Opener = Library as unknown as new (name: string, symbols: object) => RawLibc;
const libc = new Opener('libc.so.6', {
  socket: ['int', ['int', 'int', 'int']],
  socketpair: ['int', ['int', 'int', 'int', 'pointer']],
  pipe: ['int', ['pointer']],
  sendmsg: ['int', ['int', 'pointer', 'int']],
  setsockopt: ['int', ['int', 'int', 'int', 'pointer', 'uint']],
  close: ['int', ['int']],
});

export const AF_UNIX = 1;
export const AF_INET = 2;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_SEQPACKET = 5;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

function pair(call: (out: Buffer) => number): [number, number] {
  const out = Buffer.alloc(8);
  if (call(out) < 0) throw new Error('libc call failed');
  return [out.readInt32LE(0), out.readInt32LE(4)];
}

export const pipe = (): [number, number] => pair((out) => libc.pipe(out));
export const socketPair = (type: number): [number, number] => pair((out) => libc.socketpair(AF_UNIX, type, 0, out));
export const socket = (domain: number, type: number): number => libc.socket(domain, type, 0);
export const closeFd = (fd: number): void => void libc.close(fd);
export const setOption = (fd: number, level: number, name: number): boolean => {
  const on = Buffer.from([1, 0, 0, 0]);
  return libc.setsockopt(fd, level, name, on, 4) === 0;
};

/** Sends one datagram with any number of descriptors. @returns false when the kernel refused it */
export function sendWithFds(control: number, bytes: Buffer, fds: readonly number[]): boolean {
  const body = bytes.length > 0 ? bytes : Buffer.alloc(1);
  const part = Buffer.alloc(16);
  // writePointer() keeps a reference, so that the target buffer is not collected before the call. A plain address would
  // not.
  writePointer(part, 0, body);
  part.writeBigUInt64LE(BigInt(bytes.length), 8);
  const space = 16 + Math.ceil((4 * fds.length) / 8) * 8;
  const ancillary = Buffer.alloc(space);
  ancillary.writeBigUInt64LE(BigInt(16 + 4 * fds.length), 0);
  ancillary.writeInt32LE(1, 8); // SOL_SOCKET
  ancillary.writeInt32LE(1, 12); // SCM_RIGHTS
  fds.forEach((fd, index) => ancillary.writeInt32LE(fd, 16 + 4 * index));
  const message = Buffer.alloc(56);
  writePointer(message, 16, part);
  message.writeBigUInt64LE(1n, 24);
  if (fds.length > 0) {
    writePointer(message, 32, ancillary);
    message.writeBigUInt64LE(BigInt(space), 40);
  }
  return libc.sendmsg(control, message, MSG_DONTWAIT | MSG_NOSIGNAL) === bytes.length;
}
