import { ColdCauses } from '../../../../../src/lambda/serve/start/cold-cause';

describe('ColdCauses', () => {
  it('separates the first instance from additional ones', () => {
    const causes = new ColdCauses();
    expect(causes.now(true, 0)).toBe('first');
    expect(causes.now(true, 1)).toBe('busy');
  });

  it('names the end of the last instance', () => {
    const causes = new ColdCauses();
    for (const how of ['evicted', 'helper', 'ended', 'code'] as const) {
      causes.gone(how);
      expect(causes.now(true, 0)).toBe(how);
      expect(causes.now(true, 2)).toBe('busy');
    }
  });

  it('has one cause for instances that serve one call', () => {
    const causes = new ColdCauses();
    causes.gone('ended');
    expect([causes.now(false, 0), causes.now(false, 3)]).toEqual(['once', 'once']);
  });
});
