import assert from 'node:assert';
import test, { after, before, describe, it } from 'node:test';

test('passes', () => {});
test('fails', () => { assert.equal(1 + 1, 3); });
test('skipped', { skip: 'on purpose' }, () => {});
test('todo', { todo: true }, () => {});
test('has parts', async (t) => { await t.test('a part', () => {}); });
test('has a part that fails', async (t) => { await t.test('a part', () => { throw new Error('in a part'); }); });
for (const n of [1, 2]) test(`each ${n}`, () => { assert.ok(n < 2); });
test('twice', () => {});
test('twice', () => { throw new Error('the second'); });
describe('suite', () => {
  it('passes', () => {});
  describe('deep', () => { it('fails', () => { throw new Error('deep down'); }); });
});
test('suite passes', () => {});
describe('hook', () => { before(() => { throw new Error('in a hook'); }); it('never runs', () => {}); });
const odd = ['a (b) [c] .* $', 'é 日本', 'back\\slash', 'line\nbreak', `it's "q" / s`, '-rf', '$(id)', 'x > y'];
for (const name of odd) describe(name, () => { it(name, () => {}); });
