"""The images that sandboxes are made from (HopX says template).

``request`` reads what a client wants, ``builds`` admits and remembers it, ``making`` makes it of
``steps`` taken in a ``site``; ``uploads``, ``layers`` and ``store`` hold files, ``catalogue`` the
names; ``starting`` runs an image's start command.
"""
