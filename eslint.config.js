import tseslint from 'typescript-eslint';

/**
 * The floors of the house, lowest first. A room may import from itself and from lower floors, nothing else:
 * rooms of one floor do not know each other. ARCHITECTURE.md says what lives where.
 */
const FLOORS = [
  ['base'],
  ['engine', 'sql', 'types'],
  ['catalog', 'changes', 'formats'],
  ['sinks', 'views'],
  ['targets'],
  ['sources', 'statements'],
  ['cluster', 'console', 'gateway'],
  ['cli'],
];

/** The one exception: the engine answers in the vocabulary of types/, which imports nothing above base/. */
const ALSO_BELOW = {engine: ['types']};

function floorRule(room, floor) {
  const below = [room, ...(ALSO_BELOW[room] ?? [])];
  const forbidden = FLOORS.flatMap((rooms, at) => (at < floor ? [] : rooms)).filter(other => !below.includes(other));
  return {
    files: [`src/${room}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: `^(\\.\\./)+(${forbidden.join('|')})/`,
              message: `${room}/ (floor ${floor}) may only import from lower floors.`,
            },
            {regex: '\\.test(-[a-z]+)?\\.ts$', message: 'Production code does not import from tests.'},
            {regex: '(^|/)index\\.(ts|js)$', message: 'No barrels: import the file itself.'},
          ],
        },
      ],
    },
  };
}

export default tseslint.config(
  {ignores: ['dist', 'node_modules', 'eslint.config.js', '**/*.js', '**/*.mjs']},
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {parserOptions: {projectService: true, tsconfigRootDir: import.meta.dirname}},
    rules: {
      '@typescript-eslint/restrict-template-expressions': 'off',
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
      'no-restricted-syntax': [
        'error',
        {selector: 'ExportAllDeclaration', message: 'No barrels: import the file itself.'},
      ],
    },
  },
  ...FLOORS.flatMap((rooms, floor) => rooms.map(room => floorRule(room, floor))),
  {
    files: ['**/*.test.ts', '**/*.test-*.ts', 'test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
    },
  },
);
