import { Feed } from '../../../../src/event/dashboard/feed';

describe('Feed', () => {
  let taken = 0;
  let topics: Record<string, string> = {};
  let failures: unknown[] = [];
  const feed = () =>
    new Feed(
      () => {
        taken++;
        return new Map(Object.entries({ ...topics, now: String(taken) }));
      },
      (thrown) => failures.push(thrown),
    );
  beforeEach(() => {
    jest.useFakeTimers();
    [taken, topics, failures] = [0, { fixed: '"a"' }, []];
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  test('takes one snapshot per second for all watchers, and none without a watcher', () => {
    const all = feed();
    jest.advanceTimersByTime(5000);
    expect(taken).toBe(0);
    const stops = Array.from({ length: 20 }, () => all.watch(() => true));
    expect(taken).toBe(1);
    jest.advanceTimersByTime(5000);
    expect(taken).toBe(6);
    stops.slice(1).forEach((stop) => {
      stop();
    });
    jest.advanceTimersByTime(1000);
    expect([taken, all.size]).toEqual([7, 1]);
    stops[0]?.();
    jest.advanceTimersByTime(60_000);
    expect([taken, all.size, jest.getTimerCount()]).toEqual([7, 0, 0]);
  });

  test('sends all topics first, and then the changed topics', () => {
    const [first, second]: [string[], string[]] = [[], []];
    const all = feed();
    all.watch((text) => first.push(text) > 0);
    jest.advanceTimersByTime(1000);
    all.watch((text) => second.push(text) > 0);
    topics = { fixed: '"b"' };
    jest.advanceTimersByTime(1000);
    const event = (name: string, data: string) => `event: ${name}\ndata: ${data}\n\n`;
    expect(first).toEqual([
      event('fixed', '"a"') + event('now', '1'),
      event('now', '2'),
      event('fixed', '"b"') + event('now', '3'),
    ]);
    expect(second).toEqual([event('fixed', '"a"') + event('now', '2'), event('fixed', '"b"') + event('now', '3')]);
    all.close();
    expect(jest.getTimerCount()).toBe(0);
  });

  test('sends all topics to a watcher that missed a message', () => {
    const texts: string[] = [];
    let takes = true;
    const all = feed();
    all.watch((text) => {
      if (takes) texts.push(text);
      return takes;
    });
    takes = false;
    jest.advanceTimersByTime(2000);
    takes = true;
    jest.advanceTimersByTime(2000);
    expect(texts).toHaveLength(3);
    expect(texts[1]).toContain('event: fixed');
    expect(texts[2]).not.toContain('event: fixed');
    all.close();
  });

  test('continues after a failed snapshot', () => {
    const texts: string[] = [];
    let fails = true;
    const all = new Feed(
      () => {
        if (fails) throw new Error('inner');
        return new Map([['now', '1']]);
      },
      (thrown) => failures.push(thrown),
    );
    all.watch((text) => texts.push(text) > 0);
    fails = false;
    jest.advanceTimersByTime(1000);
    expect(failures).toHaveLength(1);
    expect(texts).toEqual(['event: now\ndata: 1\n\n']);
    all.close();
  });
});
