"""The `glovebox` command: thin over the HTTP API, whether that stands in AWS or on this machine."""
