"""Which systems there are, and all that is known of each."""
