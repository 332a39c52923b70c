"""The fault laboratory: what must hold whatever breaks, and the faults that are tried."""
