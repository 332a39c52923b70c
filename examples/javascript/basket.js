// A shopping basket: prices in cents.

export class Basket {
  #lines = [];

  add(name, cents, count = 1) {
    if (!Number.isInteger(cents) || cents < 0) throw new RangeError(`no price: ${cents}`);
    this.#lines.push({ name, cents, count });
    return this;
  }

  get total() {
    return this.#lines.reduce((sum, line) => sum + line.cents * line.count, 0);
  }

  receipt(locale = 'en-GB', currency = 'EUR') {
    const money = new Intl.NumberFormat(locale, { style: 'currency', currency });
    const lines = this.#lines.map(({ name, cents, count }) => {
      return `${count} × ${name}: ${money.format((cents * count) / 100)}`;
    });
    return [...lines, `total: ${money.format(this.total / 100)}`].join('\n');
  }
}
