import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { ArgyleError } from '../../../../src/errors';
import { normalizeLine, normalizeVersion } from '../../../../src/config/package-names';
import {
  MAX_REQUIREMENTS,
  MAX_SPEC_LENGTH,
  parseRequirements,
  parseSpec,
} from '../../../../src/packages/requirements/requirements';

const specs = (text: string): string[] => parseRequirements(text).map(({ spec }) => spec);

function refused(text: string): ArgyleError {
  try {
    parseRequirements(text);
  } catch (error) {
    expect(error).toBeInstanceOf(ArgyleError);
    expect((error as ArgyleError).code).toBe('REQUIREMENT_INVALID');
    return error as ArgyleError;
  }
  throw new Error(`${JSON.stringify(text)} was not refused`);
}

describe('requirements.txt by the contract', () => {
  test('removes spaces and comments, converts to lower case, and replaces underscores by hyphens', () => {
    const text = '# tools\n  Flask == 3.0.3  # web\n\ntyping_extensions==4.12.2\r\n\t\nPillow\n';
    expect(specs(text)).toEqual(['flask==3.0.3', 'typing-extensions==4.12.2', 'pillow']);
  });

  test('has one literal spec per line, in order', () => {
    expect(specs('numpy==2.1.0\nscipy==1.14.0\nb\na')).toEqual(['numpy==2.1.0', 'scipy==1.14.0', 'b', 'a']);
  });

  test.each([
    ['six==1.16.0\nsix==1.15.0', '"six==1.15.0"', '"six==1.16.0"'],
    ['a==1\nSome.Name==1.0\nb==2\nsome-name[x]==2.0', '"some-name[x]==2.0"', 'line 2 asks for "some.name==1.0"'],
  ])('refuses two versions of a package with both lines: %j', (text, ...parts) => {
    for (const part of parts) expect(refused(text).message).toContain(part);
  });

  test('accepts one version in two spellings', () => {
    expect(specs('six==1.16.0\nSix == 1.16')).toEqual(['six==1.16.0', 'six==1.16']);
  });

  test.each([
    ['six 1.16.0', 'like six==1.16.0'],
    ['requests security', 'like requests==VERSION'],
    ['  Flask  3.0.0  # web', 'like Flask==3.0.0'],
    ['pandas[excel] 2.2', 'like pandas[excel]==2.2'],
  ])('refuses two words as a name: %j', (text, hint) => {
    expect(refused(text).message).toContain(hint);
  });

  test('counts a repeated spec once', () => {
    expect(specs('Numpy==2.1.0\nnumpy == 2.1.0')).toEqual(['numpy==2.1.0']);
  });

  test('accepts an empty file, a byte order mark and a missing last newline', () => {
    expect(specs('')).toEqual([]);
    expect(specs('\uFEFFidna==3.10')).toEqual(['idna==3.10']);
  });
});

describe('the parts of a spec', () => {
  test.each([
    ['numpy==2.1.0', 'numpy', '2.1', '==2.1.0'],
    ['zope.interface==7.0', 'zope-interface', '7', '==7.0'],
    ['torch==2.4.0+cu121', 'torch', '2.4+cu121', '==2.4.0+cu121'],
    ['pkg==1!2.0.post1', 'pkg', '1!2.0.post1', '==1!2.0.post1'],
    ['requests[socks,security]==2.32.3', 'requests', '2.32.3', '==2.32.3'],
    ['numpy>=1.22,<3', 'numpy', undefined, '>=1.22,<3'],
    ['numpy==2.*', 'numpy', undefined, '==2.*'],
    ['numpy~=2.1', 'numpy', undefined, '~=2.1'],
    ['numpy===2.1', 'numpy', undefined, '===2.1'],
    ['numpy', 'numpy', undefined, ''],
  ])('%s', (spec, name, version, specifier) => {
    expect(parseSpec(spec, 'here')).toMatchObject({ spec, name, version, specifier });
  });

  test('list extras', () => {
    expect(parseSpec('uvicorn[standard,h2]', 'here').extras).toEqual(['standard', 'h2']);
  });

  test.each([
    ['1.0', '1'],
    ['v1.02.0', '1.2'],
    ['0.0', '0'],
    ['0!1.0', '1'],
    ['2.0rc1', '2rc1'],
    ['1.0+local', '1+local'],
    ['weird', 'weird'],
  ])('compare version %s as %s', (version, normal) => {
    expect(normalizeVersion(version)).toBe(normal);
  });
});

describe('versions that pip cannot read', () => {
  test.each(['==abc', '==1.x', '>=1.*', '~=1', '>=1.0+cpu', '==1.0,<two', '==1.0.*.1', '!=x.*'])(
    'numpy%s is refused',
    (specifier) => {
      expect(() => parseSpec(`numpy${specifier}`, 'here')).toThrow(/no version fits .* \(PEP 440\)$/);
    },
  );

  test.each([
    '==1.0-1',
    '==1.0.dev',
    '==v1.0',
    '!=1.2.*',
    '~=1.4.2',
    '~=2.0rc1',
    '===anything',
    '==1.0+cpu.1',
    '<2,>=1',
  ])('numpy%s is accepted', (specifier) => {
    expect(parseSpec(`numpy${specifier}`, 'here').specifier).toBe(specifier);
  });
});

describe('refused specs', () => {
  test.each([
    ['../..', 'paths and URLs'],
    ['..', "'..'"],
    ['.', 'expected a name'],
    ['a/b', 'paths and URLs'],
    ['a\\b', 'paths and URLs'],
    ['/etc/passwd', 'paths and URLs'],
    ['./local', 'paths and URLs'],
    ['-r other.txt', 'options of pip'],
    ['--index-url=x', 'options of pip'],
    ['-e.', 'options of pip'],
    ['-i', 'options of pip'],
    ['numpy==1.0 --hash=sha256', 'expected a name'],
    ['flask==3.0.0 \\', 'continued lines'],
    ['https://host/x.whl', 'paths and URLs'],
    ['git+ssh:x', 'paths and URLs'],
    ['pkg@file', 'direct references'],
    ['colorama; sys_platform == "win32"', 'environment markers'],
    ['a==1..2', "'..'"],
    ['.stage-1', 'expected a name'],
    ['numpy=1', 'expected a name'],
    ['numpy==', 'expected a name'],
    ['numpy==-1', 'expected a name'],
    ['a,b', 'expected a name'],
    ['$(id)', 'expected a name'],
    ['a\tb', 'control'],
    ['a\u0000b', 'control'],
    ['a\u001bb', 'control'],
    ['caf\u00e9', 'non-ASCII'],
    ['a'.repeat(MAX_SPEC_LENGTH + 1), 'longer than'],
  ])('%j', (line, reason) => {
    const error = refused(`idna==3.10\n\n${line}\n`);
    expect(error.message).toContain(reason);
    expect(error.message).toContain('requirements.txt line 3');
    expect(error.field).toBe('requirements.txt line 3');
    expect(error.value).toBe(normalizeLine(line).slice(0, MAX_SPEC_LENGTH));
    expect(error.message).not.toMatch(/[\u0000-\u001f]/); // eslint-disable-line no-control-regex
  });

  test('include more packages than one function may have', () => {
    const lines = Array.from({ length: MAX_REQUIREMENTS + 1 }, (_, index) => `p${index}`);
    expect(refused(lines.join('\n')).field).toBe(`requirements.txt line ${MAX_REQUIREMENTS + 1}`);
    expect(specs(lines.slice(1).join('\n'))).toHaveLength(MAX_REQUIREMENTS);
  });
});

describe('for any text', () => {
  const pieces = [
    '..',
    '/',
    '\\',
    '-',
    '--',
    '_',
    '.',
    '==',
    '~=',
    '[',
    ']',
    ',',
    ' ',
    '\t',
    '\r',
    '\n',
    '\0',
    '#',
    ';',
  ];
  const tricky = fc.array(
    fc.oneof(fc.constantFrom(...pieces, 'a', 'Z', '9', 'numpy', 'é', ':', '@', '%2e', '~'), fc.string()),
    {
      maxLength: 12,
    },
  );
  const anyText = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    tricky.map((parts) => parts.join('')),
  );

  test('an accepted spec is one path component below Pkgs_dir, and no option of pip', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        let found: string[];
        try {
          found = specs(text);
        } catch (error) {
          expect(error).toBeInstanceOf(ArgyleError);
          return;
        }
        for (const spec of found) {
          const path = resolve(join('/pkgs', spec));
          expect(path).toBe(`/pkgs/${spec}`);
          expect(spec).toMatch(/^[a-z0-9][a-z0-9.!+*~=<>,[\]-]*$/);
          expect(Buffer.byteLength(spec)).toBeLessThan(200);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('parsing the result again changes nothing', () => {
    const version = fc.stringMatching(/^[0-9]{1,3}(\.[0-9]{1,3}){0,3}(rc[0-9]|\.post[0-9]|\+[a-z0-9]{1,5})?$/);
    const name = fc.stringMatching(/^[A-Za-z0-9]([A-Za-z0-9_-]{0,10}[A-Za-z0-9])?$/);
    const requirement = fc
      .tuple(name, fc.constantFrom('==', '>=', '~=', '!='), version)
      // PEP 440: only equality takes local versions, and `~=` needs two numbers.
      .filter(([, operator, right]) => operator.endsWith('==') || operator === '!=' || !right.includes('+'))
      .filter(([, operator, right]) => operator !== '~=' || /^\d+\.\d/.test(right))
      .map(([left, operator, right]) => `${left}${operator}${right}`);
    const nameOf = (line: string) => /^[A-Za-z0-9_-]+/.exec(line)?.[0].toLowerCase().replace(/[-_]+/g, '-');
    fc.assert(
      // Two versions of one package are refused.
      fc.property(fc.uniqueArray(requirement, { maxLength: 8, selector: nameOf }), (lines) => {
        const once = specs(lines.join('\n'));
        expect(specs(once.join('\n'))).toEqual(once);
        expect(new Set(once)).toEqual(new Set(lines.map(normalizeLine)));
      }),
    );
  });
});
