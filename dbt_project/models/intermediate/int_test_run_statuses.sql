-- A table, not incremental: it is read run by run, by key, and what is dear to count is kept in
-- int_test_run_counts.
{{ config(
    materialized='table', indexes=[{'columns': ['test_run_key'], 'unique': true}]
) }}

with runs as (

    select * from {{ ref('int_test_runs') }}

),

-- Testmo counts its tests itself: what it announces is all that there is.
counted as (

    select
        runs.*,
        counts.requests_total,
        counts.requests_repeated,
        counts.requests_failed,
        counts.script_errors,
        counts.tests_repeated,
        coalesce(counts.tests_total, runs.tests_announced) as tests_total,
        coalesce(counts.tests_passed, runs.tests_passed_announced) as tests_passed,
        coalesce(counts.tests_failed, runs.tests_failed_announced) as tests_failed,
        coalesce(
            counts.tests_skipped,
            runs.tests_completed_announced
            - runs.tests_passed_announced
            - runs.tests_failed_announced
        ) as tests_skipped,
        coalesce(
            counts.tests_untested, runs.tests_announced - runs.tests_completed_announced
        ) as tests_untested,
        {{
            test_run_status(
                'runs.system',
                'runs.source_status',
                'greatest('
                'counts.tests_failed, runs.tests_failed_announced, '
                'counts.requests_failed, runs.requests_failed_announced)'
            )
        }} as status
    from runs
    left join {{ ref('int_test_run_counts') }} as counts
        on runs.test_run_key = counts.test_run_key

)

select
    *,
    case status when 'passed' then true when 'failed' then false end as is_success
from counted
