with health as (

    {{ run_health('milestone_id', 'testmo') }}

)

select
    milestone_id,
    milestones.milestone_name,
    health.first_seen_at,
    health.last_seen_at,
    coalesce(health.current_health, 'unknown') as current_health,
    coalesce(health.suites_red, 0) as suites_red,
    health.last_success_at,
    coalesce(health.runs_total, 0) as runs_total,
    coalesce(health.runs_open, 0) as runs_open,
    coalesce(health.recent_runs, 0) as recent_runs,
    health.recent_success_rate,
    health.recent_pass_rate
from (
    select
        *,
        health_key as milestone_id
    from health
) as health
full outer join {{ ref('stg_testmo__milestones') }} as milestones using (milestone_id)
