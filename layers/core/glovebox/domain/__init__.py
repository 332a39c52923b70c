"""The words and rules of Glovebox. No input, output, clock, randomness or logging in here."""
