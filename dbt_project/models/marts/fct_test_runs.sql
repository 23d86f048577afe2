-- A table, not incremental: a run is judged by those before it, so that one that lands late changes
-- its successors; what is dear to count is kept in int_test_run_counts, and the rest is a moment.
{{ config(indexes=[{'columns': ['test_run_key'], 'unique': true}]) }}

{%- set earlier = [var('completeness_runs') | int - 1, 0] | max %}

with runs as (

    select * from {{ ref('int_test_run_statuses') }}

),

-- every Postman run that has ended and every run of a report, with how many whole ones of its suite
-- went before it; what is compared are requests, of reports tests
ended as (

    select
        *,
        count(*) filter (where is_whole) over (
            partition by suite_key
            order by started_at, test_run_key
            rows between unbounded preceding and 1 preceding
        ) as whole_runs_before
    from (
        select
            test_run_key,
            suite_key,
            started_at,
            coalesce(requests_total, tests_total) as rows_total,
            not is_cut_short
            and coalesce(requests_total >= requests_announced, true) as is_whole
        from runs
        where system in ('postman', 'reports') and not is_open and started_at is not null
    ) as ended_runs

),

whole as (

    select
        suite_key,
        whole_runs_before + 1 as number_in_suite,
        array_agg(rows_total) over last_runs as rows_of_last_runs
    from ended
    where is_whole
    window
        last_runs as (
            partition by suite_key
            order by started_at, test_run_key
            rows between {{ earlier }} preceding and current row
        )

),

predecessors as (

    select
        ended.test_run_key,
        whole.rows_of_last_runs as rows_before
    from ended
    inner join whole
        on ended.suite_key = whole.suite_key and ended.whole_runs_before = whole.number_in_suite

),

compared as (

    select
        runs.*,
        cardinality(predecessors.rows_before) as runs_before,
        (
            select percentile_cont(0.5) within group (order by usual.rows_total)
            from unnest(predecessors.rows_before) as usual (rows_total)
        ) as rows_usual
    from runs
    left join predecessors
        on runs.test_run_key = predecessors.test_run_key

),

measured as (

    select
        *,
        case system
            when 'postman' then requests_total / nullif(rows_usual, 0)
            when 'reports' then tests_total / nullif(rows_usual, 0)
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
    suite_key,
    milestone_id,
    commit_sha,
    merge_sha,
    branch,
    pipeline_id,
    pipeline_attempt,
    build_url,
    code_digest,
    app_version,
    status,
    source_status,
    is_success,
    is_open,
    is_cut_short,
    started_at,
    finished_at,
    business_date,
    is_future_dated,
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
    case system when 'postman' then rows_usual end as requests_usual,
    case system when 'reports' then rows_usual end as tests_usual,
    completeness,
    status = 'passed'
    and coalesce(completeness <= 1 - {{ var('truncated_missing') }}, false)
    and (system = 'testmo' or runs_before >= {{ var('truncated_min_runs') }}) as is_truncated,
    script_errors,
    coalesce(script_errors > 0, false) as is_suspect,
    loaded_at,
    deleted_at
from measured
