"""dbt: one parsed project and one way to build it, for the command line and Dagster alike."""
