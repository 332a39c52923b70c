"""A model of the whole service: the real use cases on fakes, every step of which can go wrong."""
