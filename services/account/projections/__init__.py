"""What is read: folded from this service's own events, thrown away and rebuilt at will."""
