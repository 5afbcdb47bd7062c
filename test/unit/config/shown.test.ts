import { z } from 'zod';
import { defaultConfig, type Config } from '../../../src/config';
import { schema } from '../../../src/config/schema';
import { metaOf } from '../../../src/config/setting';
import { EMPTY_TREE } from '../../../src/config/tree';
import { HIDDEN, shownConfig, withoutCredentials } from '../../../src/config/shown';

const config = (more: Partial<Config> = {}): Config => ({
  ...defaultConfig('/ol', 8000),
  import_cache_tree: EMPTY_TREE,
  ...more,
});
const shown = (of: Config) => new Map(shownConfig(of, 8000).map(({ key, ...rest }) => [key, rest]));

test('lists each setting, and whether it has its default', () => {
  const settings = shown(config());
  expect(settings.size).toBeGreaterThan(80);
  expect([...settings].filter(([, { isDefault }]) => !isDefault)).toEqual([]);
  expect(settings.get('mem_pool_mb')?.value).toBe('7500');
  expect(settings.get('limits.mem_mb')).toEqual({ value: '50', isDefault: true });
  const changed = shown(config({ worker_port: '1', import_cache_tree: { packages: [], children: [EMPTY_TREE] } }));
  expect(changed.get('worker_port')).toEqual({ value: '1', isDefault: false });
  expect(changed.get('import_cache_tree')?.value).toBe('a tree of 2 zygotes');
});

test('contains no secret, in any position', () => {
  const base = config();
  const secret = 'hunter2';
  const settings = shownConfig(
    {
      ...base,
      sandbox_config: { any: secret },
      registry: `s3://key:${secret}@bucket?region=eu&secret_access_key=${secret}`,
      pip_mirror: `https://me:${secret}@index.example/simple`,
      argyle: {
        ...base.argyle,
        admin_token: secret,
        otlp_endpoint: `http://${secret}@collector/v1/traces?token=${secret}`,
        bases: { old: `https://u:${secret}@x/y` },
      },
    },
    8000,
  );
  expect(JSON.stringify(settings)).not.toContain(secret);
  const byKey = new Map(settings.map(({ key, value }) => [key, value]));
  expect(byKey.get('argyle.admin_token')).toBe(HIDDEN);
  expect(byKey.get('pip_mirror')).toBe(`https://${HIDDEN}@index.example/simple`);
  expect(byKey.get('registry')).toBe(`s3://${HIDDEN}@bucket?region=eu&secret_access_key=${HIDDEN}`);
  expect(shown(base).get('argyle.admin_token')?.value).toBe('');
});

test('keeps addresses without credentials unchanged', () => {
  for (const text of ['https://index.example/simple?a=b', '/srv/a@b', 'file:///srv/x', 'a.example,.b.example']) {
    expect(withoutCredentials(text)).toBe(text);
  }
});

test('hides each setting whose name indicates a secret', () => {
  const names = (group: z.ZodObject, path: string): string[] =>
    Object.entries(group.shape as Record<string, z.ZodType>).flatMap(([name, type]) => {
      if (type instanceof z.ZodObject) return names(type, `${path}${name}.`);
      const telling =
        /token|secret|password|credential/i.test(name) && !name.endsWith('_dir') && !(type instanceof z.ZodBoolean);
      return telling && metaOf(type).secret !== true ? [path + name] : [];
    });
  expect(names(schema, '')).toEqual([]);
});
