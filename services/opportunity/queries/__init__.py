"""Questions asked of the read models. Each takes a connection and gives plain rows; none changes anything."""
