import { CliError, type Command } from '../../../src/cli/command';
import { ArgyleError } from '../../../src/errors';
import { runOl } from '../../support/cli';

const tool: Command = {
  name: 'tool',
  usage: 'a tool',
  commands: [
    {
      name: 'group',
      usage: 'a group',
      commands: [
        {
          name: 'echo',
          usage: 'prints its arguments',
          argsUsage: 'WORD…',
          flags: [{ name: 'end', aliases: ['e'], kind: 'string', value: '!', usage: 'last word' }],
          run: ({ args, flags, out }) => {
            out(`${[...args, flags.string('end')].join(' ')}\n`);
            return Promise.resolve(7);
          },
        },
        { name: 'fail', usage: 'fails', run: () => Promise.reject(new CliError('no luck')) },
        {
          name: 'invalid',
          usage: 'fails with a field',
          run: () => Promise.reject(new ArgyleError('CONFIG_INVALID', 'bad thing', { field: 'a.b', value: '"x"' })),
        },
        { name: 'all', usage: 'takes all', passthrough: true, run: ({ args }) => Promise.resolve(args.length) },
      ],
    },
  ],
};
const run = (...argv: string[]) => runOl(argv, { cwd: '/', command: tool });

test('a command gets its flags and arguments, and returns its exit code', async () => {
  expect(await run('group', 'echo', '-e', '?', 'a', 'b')).toEqual({ code: 7, out: 'a b ?\n', err: '' });
});

test.each([[[]], [['-h']], [['--help']], [['help']], [['group']], [['group', 'help']], [['group', 'echo', '-h']]])(
  '%j prints help and exits with 0',
  async (argv) => {
    const { code, out, err } = await run(...argv);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('USAGE:');
  },
);

test('help shows commands, flags and their defaults', async () => {
  expect((await run('group', '-h')).out).toContain('   echo     prints its arguments\n');
  expect((await run('group', 'echo', '-h')).out).toBe(
    'NAME:\n   tool group echo - prints its arguments\n\nUSAGE:\n   tool group echo [flags] WORD…\n\n' +
      'FLAGS:\n   --end value, -e value  last word (default: "!")\n',
  );
  expect((await run('group', 'help', 'echo')).out).toContain('tool group echo - prints');
});

test.each([[['nope']], [['group', 'nope']]])('%j is an unknown command: exit code 3 and help', async (argv) => {
  const { code, err } = await run(...argv);
  expect(code).toBe(3);
  expect(err).toContain("No help topic for 'nope'");
  expect(err).toContain('USAGE:');
});

test('a bad flag exits with 1 and prints the help of the command', async () => {
  const { code, err } = await run('group', 'echo', '-x');
  expect(code).toBe(1);
  expect(err).toContain('Incorrect Usage: flag provided but not defined: -x');
  expect(err).toContain('tool group echo');
});

test('errors go to stderr with exit code 1, with field and value if there are any', async () => {
  expect(await run('group', 'fail')).toEqual({ code: 1, out: '', err: 'no luck\n' });
  expect(await run('group', 'invalid')).toEqual({ code: 1, out: '', err: 'bad thing\n  a.b = "x"\n' });
});

test('a passthrough command gets flags, too', async () => {
  expect((await run('group', 'all', '-x', '--', '-h')).code).toBe(3);
});
