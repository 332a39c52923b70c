"""The commands. Their signatures are light to import; what they need is imported when they run."""
