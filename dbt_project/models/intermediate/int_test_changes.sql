-- Written by the hooks of int_test_results, emptied by those of its readers: see
-- macros/test_changes.sql. A full refresh must not lose what a failed reader has still to do.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        full_refresh=false,
        indexes=[{'columns': ['model_name']}],
    )
}}

select
    null::text as model_name,
    null::text as test_run_key,
    null::text as test_key,
    null::text as test_environment_key,
    null::text as failure_key,
    null::date as changed_from
where false
