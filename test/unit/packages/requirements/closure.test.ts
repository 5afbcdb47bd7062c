import { choosePin, parseDependency } from '../../../../src/packages/requirements/closure';

describe('dependencies in metadata', () => {
  test.each([
    ['numpy>=1.26.0; python_version == "3.11"', { name: 'numpy', spec: 'numpy>=1.26.0' }],
    ['Typing_Extensions (>=4.0,<5)', { name: 'typing-extensions', spec: 'typing-extensions>=4.0,<5' }],
    ['requests[socks]', { name: 'requests', spec: 'requests[socks]' }],
    ['pytest ; extra == "test"', undefined],
    ["pytest>=7; python_version < '4' and extra == 'test'", undefined],
    ['pip @ https://host.example/pip.whl', undefined],
    ['../..', undefined],
    ['', undefined],
  ])('%s', (line, expected) => {
    expect(parseDependency(line)).toEqual(expected);
  });

  test('a pin of the same package satisfies a dependency, in any spelling', () => {
    const dependency = { name: 'typing-extensions', spec: 'typing-extensions>=4' };
    expect(choosePin(dependency, ['numpy==2.1.0', 'typing.extensions==4.12.2'])).toBe('typing.extensions==4.12.2');
    expect(choosePin(dependency, ['numpy==2.1.0'])).toBeUndefined();
  });
});
