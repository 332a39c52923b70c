const { expect, test } = require('@playwright/test');

test('passes', () => {});
test('fails', () => { expect(1 + 1).toBe(3); });
test.skip('skipped', () => {});
test.fixme('todo', () => {});
test.fail('fails as expected', () => { expect(1).toBe(2); });
for (const n of [1, 2]) test(`each ${n}`, () => { expect(n).toBeLessThan(2); });
test.describe('suite', () => {
  test('passes', { tag: '@slow' }, () => {});
  test.describe('deep', () => { test('fails', () => { throw new Error('deep down'); }); });
});
test('suite passes', () => {});
test.describe('hook', () => { test.beforeAll(() => { throw new Error('in a hook'); }); test('never runs', () => {}); });
const odd = ['a (b) [c] .* $', 'é 日本', 'back\\slash', 'line\nbreak', `it's "q" / s`, '-rf', '$(id)', 'x > y'];
for (const name of odd) test.describe(name, () => { test(name, () => {}); });
