import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Basket } from '../basket.js';

describe('a basket', () => {
  it('costs nothing while it is empty', () => {
    assert.equal(new Basket().total, 0);
  });

  for (const count of [1, 2, 10]) {
    it(`costs price times count (${count} × tea)`, () => {
      assert.equal(new Basket().add('tea', 250, count).total, 250 * count);
    });
  }

  for (const cents of [-1, 0.5, '250', undefined]) {
    it(`refuses ${JSON.stringify(cents) ?? 'nothing'} as a price`, () => {
      assert.throws(() => new Basket().add('tea', cents), RangeError);
    });
  }

  it('gives change', { skip: 'it has no till yet' }, () => {});
});

describe('a receipt', () => {
  it('names each line and the total', () => {
    const receipt = new Basket().add('tea', 250, 2).add('café au lait', 320).receipt();
    assert.equal(receipt, '2 × tea: €5.00\n1 × café au lait: €3.20\ntotal: €8.20');
  });
});
