{{ config(materialized='table') }}

with decided as (

    select
        suite_key,
        system,
        collection_or_project_id,
        automation_source_id,
        case system when 'testmo' then run_source when 'reports' then run_name end
            as automation_source,
        environment,
        test_run_key,
        is_success,
        {{ run_ended_at() }} as ended_at
    from {{ ref('int_test_run_statuses') }}
    where
        is_success is not null
        and not is_open
        and is_future_dated is not true
        and {{ run_ended_at() }} is not null

),

-- each success begins a segment, to which the failures after it belong
segments as (

    select
        *,
        count(*) filter (where is_success) over (
            partition by suite_key order by ended_at, test_run_key
        ) as segment
    from decided

),

aggregated as (

    select
        suite_key,
        system,
        collection_or_project_id,
        automation_source_id,
        segment,
        max(automation_source) as automation_source,
        max(environment) as environment,
        min(ended_at) as begins_at,
        min(ended_at) filter (where not is_success) as red_from,
        max(ended_at) filter (where not is_success) as last_failed_at,
        (array_agg(test_run_key order by ended_at, test_run_key) filter (where not is_success))[1]
            as first_failed_run_key,
        count(*) filter (where not is_success) as failed_runs
    from segments
    group by suite_key, system, collection_or_project_id, automation_source_id, segment

),

periods as (

    select
        *,
        lead(begins_at) over (partition by suite_key order by segment) as next_success_at,
        last_failed_at + interval '{{ var("red_idle_days") }} days' as forgotten_at,
        {{ as_of(ref('int_test_run_statuses')) }} as as_of
    from aggregated

),

ended as (

    select
        *,
        -- a success counts as long as the failure is not forgotten and the build has seen it
        case when next_success_at <= least(forgotten_at, as_of) then next_success_at end
            as recovered_at
    from periods
    where red_from is not null

)

select
    suite_key,
    system,
    collection_or_project_id,
    automation_source,
    environment,
    red_from,
    recovered_at,
    greatest(red_from, least(recovered_at, forgotten_at, as_of)) as red_until,
    recovered_at is null and red_from <= as_of and as_of < forgotten_at as is_open,
    failed_runs,
    first_failed_run_key
from ended
