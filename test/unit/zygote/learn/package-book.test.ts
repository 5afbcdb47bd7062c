import { PackageBook } from '../../../../src/zygote/learn/package-book';

describe('PackageBook', () => {
  let book: PackageBook;
  beforeEach(() => {
    book = new PackageBook();
  });

  test('returns the modules of a package for its latest spec', () => {
    book.know('six', { spec: 'six', modules: ['six'] });
    expect(book.importOf('six')).toEqual({ spec: 'six', modules: ['six'] });
    book.know('six', { spec: 'six==1.17.0', modules: ['six'] });
    book.know('a==1', { spec: 'a==1', modules: ['a'] });
    expect(book.specs).toEqual({ six: 'six==1.17.0', 'a==1': 'a==1' });
    expect(book.importOf('b==1')).toBeUndefined();
  });

  test('remembers a limited number of packages', () => {
    for (let i = 0; i <= 8192; i++) book.know(`p${i}==1`, { spec: `p${i}==1`, modules: [] });
    expect(Object.keys(book.specs)).toEqual(['p8192==1']);
  });

  test('excludes one version, or all of a name', () => {
    book.exclude('six==1', 'has 2 threads after import');
    book.exclude('numpy', 'cannot be forked');
    const excluded = ['six==1', 'six==2', 'numpy==1', 'numpy'].filter((key) => book.isExcluded(key));
    expect(excluded).toEqual(['six==1', 'numpy==1', 'numpy']);
    expect([...book.excluded.keys()]).toEqual(['six==1', 'numpy']);
  });

  test('forgets the needs of packages that are not requested, and keeps exclusions', () => {
    book.requires('pandas==2', ['numpy']);
    book.requires('old==1', ['six']);
    book.exclude('old==1', 'bad');
    book.prune(new Set(['pandas==2']));
    expect([book.requiresOf('pandas==2'), book.requiresOf('old==1')]).toEqual([['numpy'], undefined]);
    expect([...book.required.keys()]).toEqual(['pandas==2']);
    expect(book.isExcluded('old==1')).toBe(true);
  });
});
