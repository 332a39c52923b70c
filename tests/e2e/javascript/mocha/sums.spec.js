const assert = require('node:assert');

it('passes', () => {});
it('fails', () => { assert.equal(1 + 1, 3); });
it.skip('skipped', () => {});
it('todo');
for (const n of [1, 2]) it(`each ${n}`, () => { assert.ok(n < 2); });
it('twice', () => {});
it('twice', () => { throw new Error('the second'); });
describe('suite', () => {
  it('passes', () => {});
  describe('deep', () => { it('fails', () => { throw new Error('deep down'); }); });
});
it('suite passes', () => {});
describe('hook', () => { beforeEach(() => { throw new Error('in a hook'); }); it('never runs', () => {}); });
const odd = ['a (b) [c] .* $', 'é 日本', 'back\\slash', 'line\nbreak', `it's "q" / s`, '-rf', '$(id)', 'x > y'];
for (const name of odd) describe(name, () => { it(name, () => {}); });
