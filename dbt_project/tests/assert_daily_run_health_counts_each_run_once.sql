-- Detects: days on which the daily mart counts more or fewer runs than there are.
-- Usually means: a join or a filter in fct_daily_run_health multiplies or loses runs.
-- Returns: a row a system and day, with both numbers.
with daily as (

    select
        system,
        business_date,
        sum(runs_total) as runs_counted
    from {{ ref('fct_daily_run_health') }}
    group by system, business_date

),

runs as (

    select
        system,
        business_date,
        count(*) as runs_held
    from {{ ref('fct_test_runs') }}
    where business_date is not null
    group by system, business_date

)

select
    system,
    business_date,
    daily.runs_counted,
    runs.runs_held
from daily
full outer join runs using (system, business_date)
where coalesce(daily.runs_counted, 0) != coalesce(runs.runs_held, 0)
