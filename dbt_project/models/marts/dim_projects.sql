with health as (

    {{ run_health('collection_or_project_id', 'testmo') }}

),

red_now as (

    select
        collection_or_project_id,
        red_from as red_since
    from {{ ref('int_scope_red_periods') }}
    where system = 'testmo' and is_open

)

select
    health.health_key as project_id,
    ingest.name_of('testmo', 'scope', health.health_key) as project_name,
    owners.owner,
    owners.channel,
    health.first_seen_at,
    health.last_seen_at,
    health.current_health,
    red_now.red_since,
    health.suites_red,
    health.last_success_at,
    health.runs_total,
    health.runs_open,
    health.recent_runs,
    health.recent_success_rate,
    health.recent_pass_rate
from health
left join red_now
    on health.health_key = red_now.collection_or_project_id
{{ join_owners(
    "'testmo'",
    'health.health_key',
    "ingest.name_of('testmo', 'scope', health.health_key)",
) }}
