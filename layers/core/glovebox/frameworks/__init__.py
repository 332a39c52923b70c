"""One file per test framework: how to discover, what to run, how to read what came back."""
