"""From pages of runs to committed batches."""
