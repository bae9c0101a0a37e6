"""The benchmark: Keyfold against peers and against physics, each pair in one run."""
