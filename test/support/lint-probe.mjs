/**
 * Lints snippets as if they were files of the tree, with the project's configuration, and prints the restricted-path
 * messages. Reads `[{"file": "src/…", "code": "…"}]` from argv. This is a separate process, since jest cannot load an
 * ESM configuration.
 */
import { ESLint } from 'eslint';

const RULE = 'import-x/no-restricted-paths';
const eslint = new ESLint({
  ruleFilter: ({ ruleId }) => ruleId === RULE,
  // The snippets are in no TypeScript project, and this rule needs no types.
  overrideConfig: [
    {
      files: ['**/*.ts'],
      languageOptions: { parserOptions: { project: null } },
      linterOptions: { reportUnusedDisableDirectives: 'off' },
    },
  ],
});
const results = [];
for (const { file, code } of JSON.parse(process.argv[2] ?? '[]')) {
  const [report] = await eslint.lintText(code, { filePath: file });
  results.push(report.messages.map((message) => `${message.ruleId ?? 'fatal'}: ${message.message}`));
}
console.log(JSON.stringify(results));
