"""The vendor's Python SDK, blocking and asynchronous, against the sandbox server."""
