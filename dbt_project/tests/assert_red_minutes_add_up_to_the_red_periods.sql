-- Detects: scopes whose red minutes, over all days, are not as long as their red periods.
-- Usually means: a period was cut wrongly at midnight or at a change of clocks, or two periods of
-- one scope overlap.
-- Returns: a row a scope, with both numbers of minutes.
with daily as (

    select
        system,
        coalesce(collection_or_project_id, '') as scope,
        sum(red_minutes) as minutes_of_days
    from {{ ref('fct_daily_run_health') }}
    group by system, coalesce(collection_or_project_id, '')

),

periods as (

    select
        system,
        coalesce(collection_or_project_id, '') as scope,
        sum(extract(epoch from red_until - red_from) / 60) as minutes_of_periods
    from {{ ref('int_scope_red_periods') }}
    group by system, coalesce(collection_or_project_id, '')

)

select
    system,
    scope,
    daily.minutes_of_days,
    periods.minutes_of_periods
from daily
full outer join periods using (system, scope)
where
    abs(coalesce(daily.minutes_of_days, 0) - coalesce(periods.minutes_of_periods, 0)) > 0.01
