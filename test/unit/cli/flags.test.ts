import fc from 'fast-check';
import { FlagError, parseFlags, type FlagSpec } from '../../../src/cli/flags';

const SPECS: FlagSpec[] = [
  { name: 'path', aliases: ['p'], kind: 'string', value: 'default-ol', usage: '' },
  { name: 'options', aliases: ['o'], kind: 'string', usage: '' },
  { name: 'detach', aliases: ['d'], kind: 'bool', usage: '' },
];
const parse = (...argv: string[]) => parseFlags(SPECS, argv);

describe('parseFlags', () => {
  test.each([['-p=x'], ['--p=x'], ['-path=x'], ['--path=x']])('%s', (arg) => {
    expect(parse(arg).flags.string('path')).toBe('x');
  });

  test.each([['-p'], ['--p'], ['-path'], ['--path']])('%s x', (arg) => {
    expect(parse(arg, 'x').flags.string('path')).toBe('x');
  });

  test.each([
    ['-d', true],
    ['--detach', true],
    ['-d=true', true],
    ['-d=T', true],
    ['-d=1', true],
    ['-d=false', false],
    ['--d=0', false],
  ])('%s is %s', (arg, value) => {
    expect(parse(arg).flags.bool('detach')).toBe(value);
  });

  test('absent flags have their defaults', () => {
    const { flags, args, help } = parse();
    expect([flags.string('path'), flags.string('options'), flags.bool('detach')]).toEqual(['default-ol', '', false]);
    expect([args, help]).toEqual([[], false]);
  });

  test('a bool takes no separate value', () => {
    expect(parse('-d', 'false').args).toEqual(['false']);
  });

  test('a string flag takes the next argument, whatever its form', () => {
    expect(parse('-p', '-d').flags.string('path')).toBe('-d');
    expect(parse('-p', '').flags.string('path')).toBe('');
  });

  test('the first equals sign splits a flag, and the last of equal flags counts', () => {
    expect(parse('-o=a=b').flags.string('options')).toBe('a=b');
    expect(parse('-p', 'x', '--path', 'y').flags.string('path')).toBe('y');
  });

  test('flags after the first positional are positionals', () => {
    const { flags, args } = parse('dir', '-d');
    expect(args).toEqual(['dir', '-d']);
    expect(flags.bool('detach')).toBe(false);
  });

  test('-- ends the flags, and a single dash is a positional', () => {
    expect(parse('-d', '--', '-p').args).toEqual(['-p']);
    expect(parse('-', '-d').args).toEqual(['-', '-d']);
  });

  test.each([['-h'], ['--help'], ['-help'], ['-h=1']])('%s requests help', (arg) => {
    expect(parse(arg).help).toBe(true);
  });

  test.each([
    ['-x', 'flag provided but not defined: -x'],
    ['--x=1', 'flag provided but not defined: -x'],
    ['-dp', 'flag provided but not defined: -dp'],
    ['-p', 'flag needs an argument: -p'],
    ['-d=maybe', 'invalid boolean value "maybe" for -d: parse error'],
    ['---p', 'bad flag syntax: ---p'],
    ['-=x', 'bad flag syntax: -=x'],
  ])('%s is refused', (arg, message) => {
    expect(() => parse(arg)).toThrow(new FlagError(message));
  });

  test('any string value survives both spellings', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        expect(parse('-o', value).flags.string('options')).toBe(value);
        expect(parse(`--options=${value}`).flags.string('options')).toBe(value);
      }),
    );
  });

  test('any argv is parsed, with its positionals as a suffix, or refused with FlagError', () => {
    const arg = fc.oneof(fc.constantFrom('-p', '-d', '--', '-', '-p=1', '--detach=f', 'x'), fc.string());
    fc.assert(
      fc.property(fc.array(arg), (argv) => {
        try {
          const { args } = parseFlags(SPECS, argv);
          expect(argv.slice(argv.length - args.length)).toEqual(args);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(FlagError);
        }
      }),
    );
  });
});
