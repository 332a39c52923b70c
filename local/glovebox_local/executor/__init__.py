"""Lambda functions that really run: one process per concurrent invocation, kept warm between."""
