"""The published language: what services tell each other, and the world, about what happened."""
