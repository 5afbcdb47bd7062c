import { isMistyped, parseCreate } from '../../../src/event/sock-mode';

const mistyped = (body: unknown): boolean => {
  try {
    parseCreate(JSON.stringify(body));
    return false;
  } catch (thrown) {
    return isMistyped(thrown);
  }
};

describe('the body of /create', () => {
  it('has defaults for all fields except code', () => {
    expect(parseCreate('{"code":"/x"}')).toEqual({ code: '/x', leaf: true, parent: '', pkgs: [], runtime: 'python' });
  });

  it.each([{}, null, { code: 1 }, { code: '', leaf: 1 }, { code: '', pkgs: [1] }, { code: '', runtime: 2 }])(
    'is mistyped: %j',
    (body) => {
      expect(mistyped(body)).toBe(true);
    },
  );

  it('is mistyped when it is empty', () => {
    expect.assertions(1);
    try {
      parseCreate('');
    } catch (thrown) {
      expect(isMistyped(thrown)).toBe(true);
    }
  });

  it.each(['x', '[]', '1', '{"code":"x","runtime":"wasm"}'])('is an ordinary error: %s', (body) => {
    expect(() => parseCreate(body)).toThrow();
    if (body !== 'x') expect(mistyped(JSON.parse(body))).toBe(false);
  });
});
