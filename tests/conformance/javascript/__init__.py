"""The vendor's JavaScript SDK against the sandbox server."""
