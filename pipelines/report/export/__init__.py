"""The marts as files, by month: for DuckDB, Snowflake, spreadsheets."""
