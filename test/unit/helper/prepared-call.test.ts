import { PreparedLibrary } from '../../../src/helper/prepared-call';

describe('a prepared call', () => {
  const libc = new PreparedLibrary('libc.so.6');

  it('takes numbers and returns one, including negative numbers', () => {
    const abs = libc.prepare('abs', ['int']);
    expect([-5, 7, 0].map((n) => abs(n))).toEqual([5, 7, 0]);
    expect(libc.prepare('toupper', ['int'])(-1)).toBe(-1);
  });

  it("passes the address of its buffer, with the buffer's current content", () => {
    const text = Buffer.from('-42\0 and more');
    const atoi = libc.prepare('atoi', [text]);
    expect(atoi()).toBe(-42);
    text.write('1234\0');
    expect(atoi()).toBe(1234);
  });

  it('keeps numbers and buffers in their positions', () => {
    const left = Buffer.from('abcdef');
    const right = Buffer.from('abcxyz');
    const memcmp = libc.prepare('memcmp', [left, right, 'int']);
    expect(memcmp(3)).toBe(0);
    expect(memcmp(4)).toBeLessThan(0);
  });

  it('refuses a wrong number of arguments, an unknown symbol and an unknown library', () => {
    expect(() => libc.prepare('abs', ['int'])()).toThrow('abs takes 1 numbers beside 0 buffers');
    expect(() => libc.prepare('no_such_function', [])).toThrow(/no_such_function/);
    expect(() => new PreparedLibrary('/nowhere/lib.so')).toThrow(/nowhere/);
  });
});
