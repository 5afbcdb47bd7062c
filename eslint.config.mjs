/** Lint rules. The layer table is the import direction of ARCHITECTURE.md; test/unit/lint/layers.test.ts proves it. */
import eslint from '@eslint/js';
import importX from 'eslint-plugin-import-x';
import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import tseslint from 'typescript-eslint';

/** What each folder of src/ must not import. Imports point downward only; leaves know errors at most. */
const FORBIDDEN = {
  event: ['cli'],
  lambda: ['cli', 'event'],
  zygote: ['cli', 'event', 'lambda'],
  packages: ['cli', 'event', 'lambda'],
  sandbox: ['cli', 'event', 'lambda', 'zygote', 'packages'],
  helper: ['cli', 'event', 'lambda', 'zygote', 'packages', 'sandbox'],
  config: ['cli', 'event', 'lambda', 'zygote', 'packages', 'sandbox', 'helper', 'metrics'],
  errors: ['cli', 'event', 'lambda', 'zygote', 'packages', 'sandbox', 'helper', 'config', 'metrics', 'log'],
  metrics: ['cli', 'event', 'lambda', 'zygote', 'packages', 'sandbox', 'helper', 'config'],
  log: ['cli', 'event', 'lambda', 'zygote', 'packages', 'sandbox', 'helper', 'config', 'metrics'],
};

/** Runs in browsers as it stands. */
const PAGE = 'src/event/dashboard/page/*.js';
const BROWSER_GLOBALS = Object.fromEntries(
  ['document', 'fetch', 'setTimeout', 'clearTimeout', 'AbortController', 'TextDecoderStream'].map((name) => [
    name,
    'readonly',
  ]),
);

const NODE_GLOBALS = Object.fromEntries(
  ['process', 'console', 'module', 'require', 'URL', 'Buffer', 'setTimeout', 'clearTimeout', '__dirname', 'fetch'].map(
    (name) => [name, 'readonly'],
  ),
);

const zones = Object.entries(FORBIDDEN).map(([layer, above]) => ({
  target: `./src/${layer}`,
  from: ['./src/main.ts', './src/compose', ...above.map((folder) => `./src/${folder}`)],
  message: `src/${layer} must not know a layer above it (ARCHITECTURE.md, "Layers").`,
}));

/** What decides about zygotes is pure: it sees data alone, so that tests and the simulator run the code of the worker. */
const policyZone = {
  target: './src/zygote/policy',
  from: './src',
  except: ['./zygote/policy', './config', './errors'],
  message: 'src/zygote/policy is pure and imports only config and errors (ARCHITECTURE.md, "Layers").',
};

export default tseslint.config(
  { ignores: ['dist/', 'build/', 'out/', 'coverage/', 'node_modules/', '.state/', 'test/lambdas/'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    plugins: { 'import-x': importX },
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    settings: { 'import-x/resolver-next': [createTypeScriptImportResolver({ project: './tsconfig.json' })] },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      'import-x/no-cycle': 'error',
      'import-x/no-restricted-paths': ['error', { zones: [...zones, policyZone], basePath: import.meta.dirname }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', destructuredArrayIgnorePattern: '^_' }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'max-lines': ['error', { max: 300 }],
    },
  },
  // A suite that goes through a contract statement by statement reads better in one piece.
  { files: ['test/**/*.ts'], rules: { 'max-lines': ['error', { max: 400 }] } },
  {
    files: ['**/*.js', '**/*.mjs', '**/*.cjs'],
    ignores: [PAGE],
    languageOptions: { globals: NODE_GLOBALS },
  },
  { files: [PAGE], languageOptions: { globals: BROWSER_GLOBALS }, rules: { 'max-lines': ['error', { max: 300 }] } },
);
