/** `ol completion`: each script in its shell. */
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { runOl } from '../../support/cli';
import { PROGRAM, ROOT } from '../../support/ol';

const scriptOf = (shell: string): string => join(ROOT, 'configs/completion', `ol.${shell}`);

/** Runs a shell that finds the built `ol`. */
const shell = (program: string, ...args: string[]): string[] =>
  execFileSync(program, args, {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${dirname(PROGRAM)}:${process.env['PATH'] ?? ''}` },
  })
    .split('\n')
    .filter((line) => line !== '');

test.each(['bash', 'zsh', 'fish'])('ol completion %s prints the script', async (name) => {
  const { code, out } = await runOl(['completion', name], { cwd: ROOT });
  expect(code).toBe(0);
  expect(out).toMatch(new RegExp(`^# To use it: .*ol completion ${name}`));
});

test('ol completion of another shell is refused', async () => {
  expect(await runOl(['completion', 'tcsh'], { cwd: ROOT })).toMatchObject({
    code: 1,
    err: 'there is no completion for tcsh; there is one for bash, zsh, fish\n',
  });
});

test('fish completes commands with their descriptions, and flags', () => {
  const complete = (line: string): string[] => shell('fish', '-c', `source ${scriptOf('fish')}; complete -C '${line}'`);
  expect(complete('ol wor')).toEqual(['worker\tmanage a worker on this machine']);
  expect(complete('ol worker st')).toEqual([expect.stringMatching(/^status\t/)]);
  expect(complete('ol worker up --det')).toEqual(['--detach']);
});

test('zsh gets the commands with their descriptions', () => {
  // zsh's completion system needs a terminal. A stub of its function prints the completions.
  const stubs = 'compdef() { : }; _describe() { print -l -- ${(P)2} }; _files() { print files }';
  const complete = (...words: string[]): string[] => {
    const line = words.map((word) => `'${word}'`).join(' ');
    return shell('zsh', '-fc', `${stubs}; source ${scriptOf('zsh')}; words=(${line}); CURRENT=$#words; _ol`);
  };
  expect(complete('ol', '')).toContain('worker:manage a worker on this machine');
  expect(complete('ol', 'worker', '')).toEqual(expect.arrayContaining([expect.stringMatching(/^init:/)]));
  expect(complete('ol', 'admin', 'install', '')).toEqual(['files']);
});
