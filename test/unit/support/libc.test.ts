import { closeSync, readSync } from 'node:fs';
import { SOCK_SEQPACKET, sendWithFds, socketPair } from '../../support/helper/libc';

describe('messages through libc', () => {
  it('arrive completely, although the collector runs between making and sending them', () => {
    const [near, far] = socketPair(SOCK_SEQPACKET);
    const garbage: Buffer[] = [];
    const got = Buffer.alloc(1300);
    let lost = 0;
    for (let round = 0; round < 50_000; round++) {
      garbage.push(Buffer.alloc(16));
      if (garbage.length > 1000) garbage.length = 0;
      const bytes = Buffer.alloc(1200, round & 255);
      if (!sendWithFds(near, bytes, []) || readSync(far, got) !== 1200 || got[1199] !== (round & 255)) lost++;
    }
    closeSync(near);
    closeSync(far);
    expect(lost).toBe(0);
  }, 60_000);
});
