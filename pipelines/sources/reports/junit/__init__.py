"""JUnit XML: one reader of its elements, and what it makes of suites, cases and repeats."""
