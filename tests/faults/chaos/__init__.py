"""Many runs on a stack of which everything around fails: what `make chaos` is made of."""
