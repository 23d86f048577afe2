"""Postman Collection Runs: `GET collections/{id}/runs`, and one detail for each run.

Shapes follow the API's published OpenAPI description, which is a third party's; nothing outside
this folder knows them. A run holds `executions` (a request sent each), which hold `assertions`:

    {"id": "…", "status": "finished", "startedAt": "…Z", "stats": {"requests": {"total": 2, …}},
     "executions": [{"itemName": "Get cart", "request": {…}, "response": {…}, "assertions": […]}]}
"""
