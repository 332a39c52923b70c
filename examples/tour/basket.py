"""A tiny shop, to have something to test."""


class Basket:
    def __init__(self):
        self._items = {}

    def add(self, name, price, count=1):
        if price < 0:
            raise ValueError("a price is not negative")
        self._items[name] = (price, self._items.get(name, (price, 0))[1] + count)

    def total(self):
        return sum(price * count for price, count in self._items.values())
