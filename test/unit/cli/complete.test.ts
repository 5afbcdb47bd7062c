import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { olCommand } from '../../../src/cli';
import { completions } from '../../../src/cli/complete';
import { runOl } from '../../support/cli';
import { PROGRAM, ROOT } from '../../support/ol';

const lines = (...words: string[]) => (completions(olCommand, words) ?? 'itself\n').split('\n').slice(0, -1);

describe('completions', () => {
  test.each([[[]], [['wor']], [['nope']]])('of ol %j are the commands', (words) => {
    expect(lines(...words)).toEqual([
      'worker',
      'admin',
      ...['new', 'dev', 'ls', 'invoke', 'describe', 'rm', 'top', 'logs', 'secret'],
      ...['pprof', 'zygote', 'bench', 'boss'],
      ...['doctor', 'completion', 'version', 'help'],
    ]);
  });

  test('of a group are its commands, without former names', () => {
    expect(lines('worker')).toEqual(expect.arrayContaining(['init', 'up', 'down', 'status', 'force-cleanup', 'help']));
    expect(lines('bench').slice(0, 5)).toEqual(['init', 'play', 'py64-seq', 'py64-par', 'py1k-seq']);
    expect(lines('bench')).not.toContain('py1024-seq');
  });

  test('of a command are empty, so that the shell offers files', () => {
    expect(lines('worker', 'up')).toEqual([]);
    expect(lines('admin', 'install', 'x')).toEqual([]);
  });

  test('of a dash are all flags of the command, long and short', () => {
    expect(lines('worker', 'up', '-')).toEqual([
      '--path',
      '-p',
      '--image',
      '-i',
      '--options',
      '-o',
      '--detach',
      '-d',
      '--help',
      '-h',
    ]);
    expect(lines('-')).toEqual(['--help', '-h']);
  });

  test('of two dashes are the long flags, filtered by the typed prefix', () => {
    expect(lines('worker', 'up', '--')).toEqual(['--path', '--image', '--options', '--detach', '--help']);
    expect(lines('admin', 'install', '-p', 'w', '--n')).toEqual(['--no-resolve', '--name']);
    expect(lines('worker', 'up', '-p')).toEqual(['--path']);
  });

  test('contain no flag twice', () => {
    expect(lines('worker', 'up', '--detach', '--')).toEqual(['--path', '--image', '--options', '--help']);
    expect(lines('worker', 'up', '--path')).toEqual([]);
  });

  test('of the boss are left to the boss', () => {
    expect(lines('boss')).toEqual(['itself']);
  });
});

test('are requested by the last argument; zsh also gets the usage of each command', async () => {
  const ask = (env: NodeJS.ProcessEnv) =>
    runOl(['worker', '--generate-bash-completion'], { cwd: '/', command: olCommand, env });
  expect(await ask({})).toMatchObject({ code: 0, err: '', out: expect.stringMatching(/^init\nup\n/) as string });
  expect((await ask({ _CLI_ZSH_AUTOCOMPLETE_HACK: '1' })).out).toMatch(/^init:make the directory of a worker\n/);
});

describe('the shipped script in a real bash', () => {
  /** Contents of bash's COMPREPLY for a line whose last word is incomplete. */
  function complete(...words: string[]): string[] {
    const script = [
      `source ${join(ROOT, 'configs/completion/ol.bash')}`,
      `ol() { ${process.execPath} ${PROGRAM} "$@"; }`,
      `COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})`,
      'COMP_CWORD=$((${#COMP_WORDS[@]} - 1))',
      '_ol_complete',
      'printf "%s\\n" "${COMPREPLY[@]}"',
    ].join('\n');
    return execFileSync('bash', ['--norc', '-c', script], { encoding: 'utf8' }).split('\n').filter(Boolean);
  }

  test.each<[string[], string[]]>([
    [['ol', 'w'], ['worker']],
    [['ol', 'worker', 'd'], ['down']],
    [
      ['ol', 'bench', 'py1k-'],
      ['py1k-seq', 'py1k-par'],
    ],
    [['ol', 'worker', 'up', '-p', '=', 'w', '--d'], ['--detach']],
    [['ol', 'worker', 'up', ''], []],
  ])('%j', (words, offered) => {
    expect(complete(...words)).toEqual(offered);
  });
});
