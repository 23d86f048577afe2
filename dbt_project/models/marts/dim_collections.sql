with health as (

    {{ run_health('collection_or_project_id', 'postman') }}

),

-- a collection may have been renamed, and not every client gives a name
names as (

    select distinct on (collection_or_project_id)
        collection_or_project_id,
        collection_name
    from {{ ref('fct_test_runs') }}
    where system = 'postman' and collection_name is not null
    order by collection_or_project_id asc, started_at desc nulls last, test_run_key desc

),

red_now as (

    select
        collection_or_project_id,
        red_from as red_since
    from {{ ref('int_scope_red_periods') }}
    where system = 'postman' and is_open

)

select
    health.health_key as collection_id,
    coalesce(ingest.name_of('postman', 'scope', health.health_key), names.collection_name)
        as collection_name,
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
left join names
    on health.health_key = names.collection_or_project_id
{{ join_owners(
    "'postman'",
    'health.health_key',
    "coalesce(ingest.name_of('postman', 'scope', health.health_key), names.collection_name)",
) }}
