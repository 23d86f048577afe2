-- A table, not incremental: a run is judged by those before it, so that one that lands late changes
-- its successors; what is dear to count is kept in int_test_run_counts, and the rest is a moment.
{{ config(indexes=[{'columns': ['test_run_key'], 'unique': true}]) }}

with runs as (

    select * from {{ ref('int_test_run_statuses') }}

),

predecessors as (

    select
        test_run_key,
        array_agg(requests_total) over last_runs as requests_before
    from runs
    where system = 'postman' and not is_open and started_at is not null
    window
        last_runs as (
            partition by collection_or_project_id, environment
            order by started_at, test_run_key
            rows between {{ var('completeness_runs') }} preceding and 1 preceding
        )

),

compared as (

    select
        runs.*,
        cardinality(predecessors.requests_before) as runs_before,
        case runs.system
            when 'postman' then (
                select percentile_cont(0.5) within group (order by usual.requests)
                from unnest(predecessors.requests_before) as usual (requests)
            )
        end as requests_usual
    from runs
    left join predecessors
        on runs.test_run_key = predecessors.test_run_key

),

measured as (

    select
        *,
        case system
            when 'postman' then requests_total / nullif(requests_usual, 0)
            when 'testmo'
                then tests_completed_announced / nullif(tests_announced, 0)::double precision
        end as completeness
    from compared

)

select
    test_run_key,
    system,
    run_id,
    collection_or_project_id,
    collection_name,
    run_name,
    run_source,
    environment,
    milestone_id,
    status,
    source_status,
    is_success,
    is_open,
    started_at,
    finished_at,
    business_date,
    duration_ms,
    requests_total,
    requests_repeated,
    requests_failed,
    requests_announced,
    requests_failed_announced,
    tests_total,
    tests_repeated,
    tests_passed,
    tests_failed,
    tests_skipped,
    tests_untested,
    tests_total - tests_passed - tests_failed as tests_undecided,
    case
        when least(tests_passed, tests_failed) >= 0
            then tests_passed / nullif(tests_passed + tests_failed, 0)::double precision
    end as pass_rate,
    tests_announced,
    tests_failed_announced,
    requests_usual,
    completeness,
    status = 'passed'
    and coalesce(completeness < {{ var('truncated_below') }}, false)
    and (system = 'testmo' or runs_before >= {{ var('truncated_min_runs') }}) as is_truncated,
    script_errors,
    coalesce(script_errors > 0, false) as is_suspect,
    loaded_at,
    deleted_at
from measured
