"""Report files of test runs: newman, Postman CLI, JUnit XML and CTRF, as rows (see README.md)."""
