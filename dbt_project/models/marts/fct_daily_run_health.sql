with runs as (

    select * from {{ ref('fct_test_runs') }}

),

daily as (

    select
        system,
        collection_or_project_id,
        business_date,
        count(*) as runs_total,
        count(*) filter (where is_open) as runs_open,
        count(*) filter (where not is_open) as runs_finished,
        count(*) filter (where not is_open and status = 'passed') as runs_passed,
        count(*) filter (where not is_open and status = 'failed') as runs_failed,
        coalesce(sum(tests_passed + tests_failed), 0)::bigint as tests_decided,
        coalesce(sum(tests_passed) filter (where tests_failed is not null), 0)::bigint
            as tests_passed,
        percentile_cont(0.5) within group (order by duration_ms)
        filter (where not is_open) as duration_median_ms,
        percentile_cont(0.95) within group (order by duration_ms)
        filter (where not is_open) as duration_p95_ms
    from runs
    where business_date is not null
    group by system, collection_or_project_id, business_date

)

select
    system,
    collection_or_project_id,
    business_date,
    runs_total,
    runs_open,
    runs_finished,
    runs_passed,
    runs_failed,
    runs_passed / nullif(runs_passed + runs_failed, 0)::double precision as success_rate,
    tests_decided,
    tests_passed,
    tests_passed / nullif(tests_decided, 0)::double precision as pass_rate,
    duration_median_ms,
    duration_p95_ms
from daily
