"""What Glovebox does, over ports. One module a Lambda, and the steps that they share."""
