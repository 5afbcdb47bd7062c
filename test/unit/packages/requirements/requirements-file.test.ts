import fc from 'fast-check';
import { ArgyleError } from '../../../../src/errors';
import { readRequirements } from '../../../../src/packages/requirements/requirements-file';

const read = (files: Record<string, string>) =>
  readRequirements((name) => Promise.resolve(files[name]), 'requirements.txt');

async function refused(files: Record<string, string>): Promise<ArgyleError> {
  const error: unknown = await read(files).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ArgyleError);
  expect((error as ArgyleError).code).toBe('REQUIREMENT_INVALID');
  return error as ArgyleError;
}

const HASH = `--hash=sha256:${'a'.repeat(64)}`;

describe("pip's requirements file", () => {
  test('has no comments and joined lines; markers and extras stay unchanged', async () => {
    const text = `\uFEFF# web\nFlask[async] >= 3, < 4  # range\r\nsix==1.16.0 ; python_version >= "3.8" \\\n    ${HASH}\n`;
    expect(await read({ 'requirements.txt': text })).toEqual({
      requirements: ['Flask[async] >= 3, < 4', `six==1.16.0 ; python_version >= "3.8"     ${HASH}`],
      constraints: [],
      hashed: true,
    });
  });

  test('includes files of the folder once, relative to the including file', async () => {
    const input = await read({
      'requirements.txt': '-r reqs/base.txt\n--constraint=limits.txt\nrequests\n',
      'reqs/base.txt': '-r more.txt\n-r ./more.txt\n-c ../limits.txt\nflask\n',
      'reqs/more.txt': 'attrs\n',
      'limits.txt': 'urllib3<2\n',
    });
    expect(input).toEqual({ requirements: ['attrs', 'flask', 'requests'], constraints: ['urllib3<2'], hashed: false });
  });

  test('with a cycle of includes is refused, with the files of the cycle', async () => {
    const files = {
      'requirements.txt': '-r a/b.txt\n',
      'a/b.txt': 'six\n-c c.txt\n',
      'a/c.txt': '-r ../requirements.txt\n',
    };
    const error = await refused(files);
    expect(error.message).toMatch(/^a\/c\.txt line 1: /);
    expect(error.message).toContain('requirements.txt includes a/b.txt includes a/c.txt includes requirements.txt');
  });

  test.each([
    ['-r ../secret.txt', 'only files in the folder'],
    ['-r /etc/passwd', 'only files in the folder'],
    ['-r https://example.org/r.txt', 'only files in the folder'],
    ['-r absent.txt', 'no such file'],
    ['-r requirements.txt', 'a circle: requirements.txt includes requirements.txt'],
    ['-c ./requirements.txt', 'a circle: requirements.txt includes requirements.txt'],
    ['--index-url https://example.org/simple', 'cannot choose the index'],
    ['-i https://example.org/simple', 'cannot choose the index'],
    ['--extra-index-url=https://example.org/simple', 'cannot choose the index'],
    ['--trusted-host example.org', 'cannot choose the index'],
    ['-e .', 'paths are not allowed'],
    ['--editable ./lib', 'paths are not allowed'],
    ['./lib', 'paths and URLs are not allowed'],
    ['lib.whl', 'paths and URLs are not allowed'],
    ['six @ https://example.org/six.whl', 'paths and URLs are not allowed'],
    ['git+https://example.org/six.git', 'paths and URLs are not allowed'],
    ['--pre', 'not supported'],
    ['six 1.16.0', 'six==1.16.0'],
    ['six==1.16.0\nSIX==1.15.0', 'requirements.txt line 3 asks for'],
    ['six\u0000', 'control'],
  ])('%j is refused with its line', async (line, reason) => {
    const error = await refused({ 'requirements.txt': `idna==3.10\n\n${line}\n` });
    expect(error.message).toContain(reason);
    expect(error.message).toMatch(/^requirements\.txt line [34]: /);
  });

  test('leaves two versions with different markers to the resolver', async () => {
    const text = 'numpy==1.26.4 ; python_version < "3.9"\nnumpy==2.1.0 ; python_version >= "3.9"\n';
    expect((await read({ 'requirements.txt': text })).requirements).toHaveLength(2);
  });

  test('has a limit for chains of files', async () => {
    const files = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`${i}.txt`, `-r ${i + 1}.txt\n`]));
    expect((await refused({ ...files, 'requirements.txt': '-r 0.txt' })).message).toContain('more than 50 files');
  });

  test('gives lists without options or an error with a place, for any text', async () => {
    const piece = fc.constantFrom(
      'six',
      '==1',
      ' ',
      '\\',
      '\n',
      '-r ',
      'a.txt',
      '#',
      '--',
      '-',
      '..',
      '/',
      ';',
      '"',
      '@',
    );
    const line = fc.oneof(
      fc.array(piece, { maxLength: 8 }).map((all) => all.join('')),
      fc.string({ maxLength: 20 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 6 }), async (lines) => {
        const result = await read({ 'requirements.txt': lines.join('\n'), 'a.txt': 'idna\n' }).catch(
          (thrown: unknown) => thrown,
        );
        if (result instanceof ArgyleError) expect(result.message).toMatch(/(requirements|a)\.txt( line \d+)?: /);
        else {
          const { requirements, constraints } = result as Awaited<ReturnType<typeof read>>;
          for (const item of [...requirements, ...constraints]) expect(item).not.toMatch(/^-|^\s*$|\n/);
        }
      }),
      { numRuns: 500 },
    );
  });
});
