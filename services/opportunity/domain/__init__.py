"""The rules of winning an opportunity (R1, R3): pure functions over frozen data."""
