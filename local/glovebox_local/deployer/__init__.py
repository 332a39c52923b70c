"""Deploys the product's own template, as it stands, to the emulated AWS."""
