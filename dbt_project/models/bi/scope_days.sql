select
    health.system,
    health.collection_or_project_id as scope_id,
    coalesce(scopes.scope, 'no scope') as scope,
    coalesce(scopes.owner, 'no owner') as owner,
    health.business_date as day,
    dates.week_start as week,
    dates.month_start as month,
    dates.days_ago,
    health.runs_total as runs,
    health.runs_open,
    health.runs_passed,
    health.runs_failed,
    health.runs_passed + health.runs_failed as runs_decided,
    health.runs_truncated,
    health.runs_suspect,
    health.success_rate,
    health.tests_decided,
    health.tests_passed,
    health.tests_undecided,
    health.pass_rate,
    health.duration_median_ms / 60000 as median_minutes,
    health.duration_p95_ms / 60000 as p95_minutes,
    health.red_minutes,
    health.recoveries,
    health.recovery_minutes,
    health.failures_total as failures,
    health.failures_in_outages,
    health.failures_flaky,
    health.flaky_failure_share,
    health.runs_failed_flaky_only,
    health.wasted_minutes
from {{ ref('fct_daily_run_health') }} as health
inner join {{ ref('dim_dates') }} as dates
    on health.business_date = dates.date_day
left join {{ ref('scopes') }} as scopes
    on health.system = scopes.system and health.collection_or_project_id = scopes.scope_id
