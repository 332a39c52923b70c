"""The images that sandboxes are made from (HopX says template): known, built, stored, started.

``catalogue`` knows them by name, ``request`` reads what a client wants built, ``builds`` builds it
in a sandbox (``site``), ``uploads`` and ``layers`` hold files, ``starting`` runs a start command.
"""
