"""The opportunity service's read models, one a file."""
