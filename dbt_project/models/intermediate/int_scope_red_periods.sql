-- A scope is as red as its worst suite: periods of its suites that overlap or touch are one.
with followed as (

    select
        *,
        max(red_until) over (
            partition by system, collection_or_project_id
            order by red_from, suite_key
            rows between unbounded preceding and 1 preceding
        ) as red_until_before
    from {{ ref('int_red_periods') }}

),

numbered as (

    select
        *,
        count(*) filter (where red_until_before is null or red_from > red_until_before) over (
            partition by system, collection_or_project_id order by red_from, suite_key
        ) as period_number
    from followed

),

merged as (

    select
        system,
        collection_or_project_id,
        min(red_from) as red_from,
        max(red_until) as red_until,
        max(recovered_at) as last_recovered_at,
        bool_or(is_open) as is_open,
        count(distinct suite_key) filter (where is_open) as suites_red,
        sum(failed_runs)::bigint as failed_runs
    from numbered
    group by system, collection_or_project_id, period_number

)

select
    system,
    collection_or_project_id,
    red_from,
    -- of a period that ended because its last failure was forgotten nothing recovered
    case when not is_open and last_recovered_at = red_until then last_recovered_at end
        as recovered_at,
    red_until,
    is_open,
    suites_red,
    failed_runs
from merged
