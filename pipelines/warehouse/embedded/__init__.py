"""A Postgres of our own, for who brings none."""
