import { beforeAll, describe, expect, it, test } from 'vitest';

test('passes', () => {});
test('fails', () => { expect(1 + 1).toBe(3); });
test.skip('skipped', () => {});
test.todo('todo');
test.each([[1], [2]])('each %i', (n) => { expect(n).toBeLessThan(2); });
test('twice', () => {});
test('twice', () => { throw new Error('the second'); });
describe('suite', () => {
  it('passes', () => {});
  describe('deep', () => { it('fails', () => { throw new Error('deep down'); }); });
});
test('suite passes', () => {});
describe('hook', () => { beforeAll(() => { throw new Error('in a hook'); }); it('never runs', () => {}); });
const odd = ['a (b) [c] .* $', 'é 日本', 'back\\slash', 'line\nbreak', `it's "q" / s`, '-rf', '$(id)', 'x > y'];
for (const name of odd) describe(name, () => { it(name, () => {}); });
