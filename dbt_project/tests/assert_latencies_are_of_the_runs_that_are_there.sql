-- Detects: days of a collection and environment whose latencies were computed from other runs than
-- those that are there now, or that are missing altogether.
-- Usually means: fct_request_latency_daily was not built after int_test_run_statuses, or its
-- pre-hook missed a day (mend it with a full refresh, and look at macros/latency_days.sql).
-- Returns: a row a collection, environment and day, with both versions. A day of which no answer
-- has its time has no latencies, and is no fault.
with held as (

    select distinct
        collection_id,
        environment_id,
        business_date,
        days_version
    from {{ ref('fct_request_latency_daily') }}

),

days as (

    select * from {{ latency_days(ref('int_test_run_statuses')) }} as every_day

)

select
    held.collection_id,
    held.environment_id,
    held.business_date,
    held.days_version as version_held,
    days.days_version as version_of_the_runs
from held
left join days
    on
        held.business_date = days.business_date
        and held.collection_id is not distinct from days.collection_id
        and held.environment_id is not distinct from days.environment_id
where held.days_version is distinct from days.days_version
union all
select
    days.collection_id,
    days.environment_id,
    days.business_date,
    null as version_held,
    days.days_version as version_of_the_runs
from days
left join held
    on
        days.business_date = held.business_date
        and days.collection_id is not distinct from held.collection_id
        and days.environment_id is not distinct from held.environment_id
where
    held.business_date is null
    and exists (
        select 1
        from {{ ref('int_test_run_statuses') }} as runs
        inner join {{ ref('fct_request_executions') }} as executions
            on runs.test_run_key = executions.test_run_key
        where
            runs.system = 'postman'
            and runs.collection_or_project_id is not distinct from days.collection_id
            and runs.environment_id is not distinct from days.environment_id
            and runs.business_date = days.business_date
            and executions.latency_ms is not null
    )
