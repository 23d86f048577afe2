"""Dashboards as code: `superset/` holds them, `python -m bi` serves and exports them."""
