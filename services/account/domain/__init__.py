"""What accounts, people, teams and products may do. Pure: no I/O, no clock, no random."""
