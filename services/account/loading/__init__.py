"""Many at once: batches and CSV tables, each row a command of its own."""
