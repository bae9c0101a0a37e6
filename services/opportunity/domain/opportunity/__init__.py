"""An opportunity: its state, and the decisions about it, each beside its command."""
