"""The process that makes sandboxes and starts processes in them, apart from the HTTP server.

It forks, so it stays small: it imports from this package only ``wire``, ``linux`` and ``cgroups``
and no part of the HTTP server. ``launch`` (used by the server) is the one module here that the
spawner itself does not load.

    server ──(wire)── spawner ──fork── keeper, one per sandbox ──fork── bwrap (``birth``)
       └───────────────(wire)────────────┘                      └─fork── a command (``entry``)
"""
