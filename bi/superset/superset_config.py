"""Superset for one person on one machine: metadata in SQLite, looked at without a login.

Whoever looks may read and drill; to change a dashboard, log in as admin.
"""

import os
from pathlib import Path

_HOME = Path(os.environ["TESTRUNS_BI_HOME"])

SECRET_KEY = (_HOME / "secret_key").read_text()
SQLALCHEMY_DATABASE_URI = f"sqlite:///{_HOME / 'superset.db'}"
AUTH_ROLE_PUBLIC = "Public"
PUBLIC_ROLE_LIKE = "Gamma"
APP_NAME = "testruns"
FAVICONS = []
# Tables hold links, which Superset sanitizes.
FEATURE_FLAGS = {"DRILL_BY": True, "DRILL_TO_DETAIL": True}
CONTENT_SECURITY_POLICY_WARNING = False
