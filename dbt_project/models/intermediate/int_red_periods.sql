{{ config(materialized='table') }}

with decided as (

    select
        system,
        collection_or_project_id,
        test_run_key,
        is_success,
        {{ run_ended_at() }} as ended_at
    from {{ ref('int_test_run_statuses') }}
    where
        is_success is not null
        and not is_open
        and {{ run_ended_at() }} is not null

),

-- each success begins a segment, to which the failures after it belong
segments as (

    select
        *,
        count(*) filter (where is_success) over (
            partition by system, collection_or_project_id
            order by ended_at, test_run_key
        ) as segment
    from decided

),

aggregated as (

    select
        system,
        collection_or_project_id,
        segment,
        min(ended_at) as begins_at,
        min(ended_at) filter (where not is_success) as red_from,
        count(*) filter (where not is_success) as failed_runs
    from segments
    group by system, collection_or_project_id, segment

),

periods as (

    select
        *,
        lead(begins_at) over (
            partition by system, collection_or_project_id
            order by segment
        ) as recovered_at
    from aggregated

)

select
    system,
    collection_or_project_id,
    red_from,
    recovered_at,
    greatest(
        red_from,
        least(
            recovered_at,
            {{ as_of(ref('int_test_run_statuses')) }},
            red_from + interval '{{ var("red_days_max") }} days'
        )
    ) as red_until,
    failed_runs
from periods
where red_from is not null
