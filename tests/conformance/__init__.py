"""The sandbox server against the vendor's own clients and the vendor's own description."""
