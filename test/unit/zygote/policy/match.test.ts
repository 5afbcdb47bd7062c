import fc from 'fast-check';
import {
  nameOfKey,
  parsePackageSpec,
  pinFor,
  pinOf,
  pinsByName,
  sameVersion,
  servesKeys,
} from '../../../../src/zygote/policy/match';

const lambda = (...specs: string[]) => pinsByName(specs.map((spec) => pinOf(spec)));

describe('parsePackageSpec', () => {
  it.each([
    ['numpy', { name: 'numpy', specifier: '', version: undefined }],
    ['Charset_Normalizer==3.2.0', { name: 'charset-normalizer', specifier: '==3.2.0', version: '3.2.0' }],
    ['zope.interface==6.0', { name: 'zope-interface', specifier: '==6.0', version: '6.0' }],
    ['requests[socks]==2.31.0', { name: 'requests', specifier: '==2.31.0', version: '2.31.0' }],
    ['pandas>=2,<3', { name: 'pandas', specifier: '>=2,<3', version: undefined }],
    ['pandas==2.*', { name: 'pandas', specifier: '==2.*', version: undefined }],
  ])('%s', (spec, parsed) => {
    expect(parsePackageSpec(spec)).toEqual(parsed);
  });

  it.each(['', '==1.0', '../etc', 'a b;c', '-r x'])('refuses %j and names it', (spec) => {
    expect(() => parsePackageSpec(spec)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', value: spec }) as Error,
    );
  });
});

describe('pinOf', () => {
  it('gives equal versions one key, and keeps the spec, which names the directory', () => {
    expect(pinOf('numpy==1.26.0').key).toBe(pinOf('NumPy==1.26').key);
    expect(pinOf('numpy==1.26.0').spec).toBe('numpy==1.26.0');
  });

  it('uses the installed version for an unpinned requirement', () => {
    expect(pinOf('numpy', '2.1.0').key).toBe(pinOf('numpy==2.1.0').key);
    expect(pinOf('numpy').key).toBe('numpy');
  });

  it('returns the name of any key', () => {
    const keys = ['numpy==2.1', 'numpy', 'numpy>=2,<3', 'numpy[x]==1.*', 'numpy[x]'];
    expect(new Set(keys.map(nameOfKey))).toEqual(new Set(['numpy']));
  });
});

describe('sameVersion', () => {
  it('compares as PEP 440 does', () => {
    expect(sameVersion('2.1', '2.1.0')).toBe(true);
    expect(sameVersion('1.0rc1', '1.0.rc1')).toBe(true);
    expect(sameVersion('2.1.0', '2.1.1')).toBe(false);
    expect(sameVersion('2.1.0+cpu', '2.1.0')).toBe(false);
  });

  it('compares text that is no version literally', () => {
    expect(sameVersion('2004d', '2004d')).toBe(true);
    expect(sameVersion('banana', '1.0')).toBe(false);
  });
});

describe('pinFor', () => {
  const pins = lambda('numpy==2.1.0', 'requests==2.31.0', 'flask');

  it('matches a pin of the same version in any notation', () => {
    expect(pinFor('numpy==2.1', pins)?.spec).toBe('numpy==2.1.0');
    expect(pinFor('numpy==2.2.0', pins)).toBeUndefined();
    expect(pinFor('scipy==1.0', pins)).toBeUndefined();
  });

  it('matches an unpinned node by its installed version', () => {
    expect(pinFor('numpy', pins, () => '2.1.0')?.spec).toBe('numpy==2.1.0');
    expect(pinFor('numpy', pins, () => '2.2.0')).toBeUndefined();
  });

  it("gives an unpinned node without an installed version the function's own version", () => {
    expect(pinFor('numpy', pins)?.spec).toBe('numpy==2.1.0');
  });

  it('checks other specifiers against the version', () => {
    expect(pinFor('numpy>=2,<3', pins)?.spec).toBe('numpy==2.1.0');
    expect(pinFor('numpy<2', pins)).toBeUndefined();
    expect(pinFor('numpy!=2.1.0', pins)).toBeUndefined();
  });

  it('matches an unpinned requirement only with the same literal spec, i.e. the same directory', () => {
    expect(pinFor('flask', pins)?.spec).toBe('flask');
    expect(pinFor('flask==3.0', pins)).toBeUndefined();
    expect(pinFor('flask', lambda('flask>=2'))).toBeUndefined();
  });

  it('matches nothing for a name that the function requires in two versions', () => {
    expect(pinFor('numpy', lambda('numpy==1.0', 'numpy==2.0'))).toBeUndefined();
    expect(pinFor('numpy==1.0', lambda('numpy==1.0', 'numpy==2.0'))).toBeUndefined();
  });
});

describe('servesKeys', () => {
  const keys = fc.uniqueArray(fc.constantFrom('a==1', 'a==2', 'b==1', 'c==3', 'd==4', 'e==5'));

  it('is true if the function requires every imported package', () => {
    fc.assert(
      fc.property(keys, keys, (imported, wanted) => {
        expect(servesKeys(imported, new Set(wanted))).toBe(
          imported.filter((key) => !wanted.includes(key)).length === 0,
        );
      }),
    );
  });
});
