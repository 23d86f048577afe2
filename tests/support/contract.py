"""The warehouse as it is promised to those who query it, written out: columns, types, keys.

Written by hand beside the schema and the loader's column lists, so that neither can change a name
or a type unnoticed. Types are Postgres' own names.
"""

COUNTS = {
    "untested_count": "int8",
    "status1_count": "int8",
    "status2_count": "int8",
    "status3_count": "int8",
    "status4_count": "int8",
    "status5_count": "int8",
    "status6_count": "int8",
    "status7_count": "int8",
    "status8_count": "int8",
    "status9_count": "int8",
    "status10_count": "int8",
    "status11_count": "int8",
    "status12_count": "int8",
    "status13_count": "int8",
    "status14_count": "int8",
    "status15_count": "int8",
    "status16_count": "int8",
    "status17_count": "int8",
    "status18_count": "int8",
    "status19_count": "int8",
    "status20_count": "int8",
    "status21_count": "int8",
    "status22_count": "int8",
    "status23_count": "int8",
    "status24_count": "int8",
    "success_count": "int8",
    "failure_count": "int8",
    "completed_count": "int8",
    "total_count": "int8",
}

POSTMAN = {
    "raw_postman.collection_runs": {
        "run_id": "text",
        "collection_id": "text",
        "environment_id": "text",
        "status": "text",
        "source": "text",
        "created_by": "text",
        "started_at": "timestamptz",
        "finished_at": "timestamptz",
        "duration_ms": "int8",
        "requests_total": "int8",
        "requests_failed": "int8",
        "assertions_total": "int8",
        "assertions_failed": "int8",
        "extra": "jsonb",
    },
    "raw_postman.executions": {
        "run_id": "text",
        "execution_index": "int4",
        "execution_id": "text",
        "item_name": "text",
        "request_method": "text",
        "request_url": "text",
        "response_status_code": "int4",
        "response_time_ms": "int8",
        "response_size_bytes": "int8",
        "extra": "jsonb",
    },
    "raw_postman.assertions": {
        "run_id": "text",
        "execution_index": "int4",
        "assertion_index": "int4",
        "name": "text",
        "passed": "bool",
        "error": "text",
        "extra": "jsonb",
    },
}

_HANGS_ON = {"run_id": "int8", "thread_id": "int8", "position": "int4"}

TESTMO = {
    "raw_testmo.automation_runs": {
        "run_id": "int8",
        "project_id": "int8",
        "source_id": "int8",
        "name": "text",
        "status": "int4",
        "config_id": "int8",
        "milestone_id": "int8",
        "elapsed": "int8",
        "is_completed": "bool",
        **COUNTS,
        "thread_count": "int8",
        "thread_active_count": "int8",
        "thread_completed_count": "int8",
        "created_at": "timestamptz",
        "created_by": "int8",
        "updated_at": "timestamptz",
        "updated_by": "int8",
        "completed_at": "timestamptz",
        "completed_by": "int8",
        "extra": "jsonb",
    },
    "raw_testmo.automation_run_threads": {
        "run_id": "int8",
        "thread_id": "int8",
        "thread_index": "int4",
        "name": "text",
        "status": "int4",
        "elapsed": "int8",
        "is_completed": "bool",
        **COUNTS,
        "created_at": "timestamptz",
        "created_by": "int8",
        "completed_at": "timestamptz",
        "completed_by": "int8",
        "extra": "jsonb",
    },
    "raw_testmo.automation_run_tags": {"run_id": "int8", "tag": "text"},
    "raw_testmo.automation_run_artifacts": {
        **_HANGS_ON,
        "name": "text",
        "note": "text",
        "url": "text",
        "mime_type": "text",
        "size_bytes": "int8",
        "extra": "jsonb",
    },
    "raw_testmo.automation_run_fields": {
        **_HANGS_ON,
        "type": "int4",
        "name": "text",
        "value": "text",
        "meta": "jsonb",
        "extra": "jsonb",
    },
    "raw_testmo.automation_run_links": {
        **_HANGS_ON,
        "name": "text",
        "note": "text",
        "url": "text",
        "extra": "jsonb",
    },
}

# Filled from a later version on, but promised to stand there.
TESTS = {
    "raw_testmo.automation_run_tests": {
        "run_id": "int8",
        "automation_test_id": "int8",
        "automation_case_id": "int8",
        "repository_case_id": "int8",
        "key": "text",
        "name": "text",
        "folder": "text",
        "status": "int4",
        "elapsed": "int8",
        "thread_id": "int8",
        "created_at": "timestamptz",
        "extra": "jsonb",
    },
}

REFERENCES = {
    "raw_testmo.automation_sources": {"id": "int8", "name": "text", "extra": "jsonb"},
    "raw_testmo.configs": {"id": "int8", "name": "text", "extra": "jsonb"},
    "raw_testmo.milestones": {"id": "int8", "name": "text", "extra": "jsonb"},
    "raw_testmo.statuses": {
        "id": "int8",
        "name": "text",
        "system_name": "text",
        "color": "text",
        "is_final": "bool",
        "is_untested": "bool",
        "is_passed": "bool",
        "is_failed": "bool",
        "aliases": "jsonb",
        "extra": "jsonb",
    },
    "raw_testmo.users": {"id": "int8", "name": "text", "extra": "jsonb"},
}

STAMPS = {"first_loaded_at": "timestamptz", "loaded_at": "timestamptz", "load_id": "int8"}
PARENTS = ("raw_postman.collection_runs", "raw_testmo.automation_runs")

WATERMARKS = {
    "ingest.watermarks": {
        "source": "text",
        "scope": "text",
        "high_water": "timestamptz",
        "cursor": "text",
        "updated_at": "timestamptz",
    },
}

KEYS: dict[str, tuple[str, ...]] = {
    "raw_postman.collection_runs": ("run_id",),
    "raw_postman.executions": ("run_id", "execution_index"),
    "raw_postman.assertions": ("run_id", "execution_index", "assertion_index"),
    "raw_testmo.automation_runs": ("run_id",),
    "raw_testmo.automation_run_threads": ("run_id", "thread_id"),
    "raw_testmo.automation_run_tags": ("run_id", "tag"),
    "raw_testmo.automation_run_artifacts": ("run_id", "thread_id", "position"),
    "raw_testmo.automation_run_fields": ("run_id", "thread_id", "position"),
    "raw_testmo.automation_run_links": ("run_id", "thread_id", "position"),
    "raw_testmo.automation_run_tests": ("run_id", "automation_test_id"),
    "raw_testmo.automation_sources": ("id",),
    "raw_testmo.configs": ("id",),
    "raw_testmo.milestones": ("id",),
    "raw_testmo.statuses": ("id",),
    "raw_testmo.users": ("id",),
    "ingest.watermarks": ("source", "scope"),
}
