"""Statistics of one or two clouds of rows, with their errors and their tests."""
