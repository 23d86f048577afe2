-- Every day of every scope from its first run to the latest day on which anything ran: a day
-- without a run is a row, too.
with days as (

    select
        scopes.system,
        scopes.scope_id,
        scopes.scope,
        scopes.owner,
        dates.date_day,
        dates.week_start,
        dates.days_ago
    from {{ ref('scopes') }} as scopes
    inner join {{ ref('dim_dates') }} as dates
        on dates.days_ago >= 0 and scopes.first_run_at < dates.ends_at

),

not_whole as (

    select
        system,
        collection_or_project_id,
        business_date,
        count(distinct test_run_key) as runs
    from {{ ref('fct_reconciliation') }}
    where reason in ('missing', 'surplus')
    group by system, collection_or_project_id, business_date

)

select
    days.system,
    days.scope_id,
    days.scope,
    days.owner,
    days.date_day as day,
    days.week_start as week,
    days.days_ago,
    coalesce(health.runs_total, 0) as runs,
    coalesce(not_whole.runs, 0) as runs_not_whole,
    coalesce(health.runs_total, 0) > 0 as has_runs,
    case
        when coalesce(health.runs_total, 0) = 0 then 'no run'
        when not_whole.runs > 0 then 'not whole'
        else 'whole'
    end as state
from days
left join {{ ref('fct_daily_run_health') }} as health
    on
        days.system = health.system
        and days.scope_id = health.collection_or_project_id
        and days.date_day = health.business_date
left join not_whole
    on
        days.system = not_whole.system
        and days.scope_id = not_whole.collection_or_project_id
        and days.date_day = not_whole.business_date
