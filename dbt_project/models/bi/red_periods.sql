select
    periods.red_period_key,
    runs.system,
    runs.scope_id,
    runs.scope,
    runs.owner,
    case
        when
            periods.system in ('testmo', 'reports')
            then concat_ws(' / ', periods.automation_source, runs.environment)
        else runs.environment
    end as suite,
    runs.environment,
    periods.red_from as red_since,
    dates.date_day as day,
    periods.recovered_at,
    periods.is_open,
    periods.red_minutes,
    periods.failed_runs,
    runs.run as first_failed_run,
    runs.run_url as first_failed_run_url,
    runs.build_url as first_failed_build_url
from {{ ref('fct_red_periods') }} as periods
inner join {{ ref('runs') }} as runs
    on periods.first_failed_run_key = runs.run_key
left join {{ ref('dim_dates') }} as dates
    on periods.red_from >= dates.starts_at and periods.red_from < dates.ends_at
