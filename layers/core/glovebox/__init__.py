"""Glovebox: every test in its own fresh sandbox, one truthful report."""
