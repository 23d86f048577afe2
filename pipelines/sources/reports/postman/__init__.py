"""Reports of Postman runs: newman, Postman CLI, and summaries without executions."""
