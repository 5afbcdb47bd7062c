import { MessageCache } from '../../../../src/event/kafka/cache';

const fill = (cache: MessageCache<{ offset: string }>, ...offsets: number[]): void => {
  for (const offset of offsets) cache.put({ offset: String(offset) });
};
const offsets = (cache: MessageCache<{ offset: string }>, from: number): number[] | undefined =>
  cache.from(String(from))?.map(({ offset }) => Number(offset));

describe('the message cache', () => {
  it('returns all cached messages from an offset on', () => {
    const cache = new MessageCache<{ offset: string }>(3);
    fill(cache, 5, 6, 8, 9);
    expect(offsets(cache, 6)).toEqual([6, 8, 9]);
    expect(offsets(cache, 5)).toBeUndefined();
    expect(offsets(cache, 7)).toBeUndefined();
    expect(offsets(cache, 10)).toBeUndefined();
  });

  it('replaces messages that arrive again', () => {
    const cache = new MessageCache<{ offset: string }>(10);
    fill(cache, 8, 9, 10, 11, 9);
    expect(offsets(cache, 8)).toEqual([8, 9]);
  });

  it('is empty with size 0, and after clear()', () => {
    const none = new MessageCache<{ offset: string }>(0);
    fill(none, 1);
    expect(offsets(none, 1)).toBeUndefined();
    const cache = new MessageCache<{ offset: string }>(2);
    fill(cache, 1);
    cache.clear();
    expect(offsets(cache, 1)).toBeUndefined();
  });
});
