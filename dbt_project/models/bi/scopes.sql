with both_systems as (

    select
        'postman' as system,
        collection_id as scope_id,
        collection_name as scope_name,
        owner,
        channel,
        current_health,
        red_since,
        suites_red,
        last_success_at,
        first_seen_at,
        last_seen_at,
        runs_total,
        runs_open,
        recent_runs,
        recent_success_rate,
        recent_pass_rate
    from {{ ref('dim_collections') }}
    union all
    select
        'testmo' as system,
        project_id as scope_id,
        coalesce(project_name, 'project ' || project_id) as scope_name,
        owner,
        channel,
        current_health,
        red_since,
        suites_red,
        last_success_at,
        first_seen_at,
        last_seen_at,
        runs_total,
        runs_open,
        recent_runs,
        recent_success_rate,
        recent_pass_rate
    from {{ ref('dim_projects') }}

)

select
    both_systems.system,
    both_systems.scope_id,
    coalesce(both_systems.scope_name, both_systems.scope_id) as scope,
    coalesce(both_systems.owner, 'no owner') as owner,
    both_systems.channel,
    both_systems.current_health as health,
    both_systems.red_since,
    both_systems.suites_red,
    both_systems.last_success_at as last_green_at,
    both_systems.first_seen_at as first_run_at,
    both_systems.last_seen_at as last_run_at,
    both_systems.runs_total as runs,
    both_systems.runs_open as open_runs,
    both_systems.recent_runs,
    both_systems.recent_success_rate,
    both_systems.recent_pass_rate,
    case both_systems.system
        when 'postman' then 'https://go.postman.co/collection/' || both_systems.scope_id
        when
            'testmo'
            then {{ testmo_url('addresses.api_url', 'projects/view', 'both_systems.scope_id') }}
    end as scope_url
from both_systems
left join {{ source('ingest', 'addresses') }} as addresses
    on both_systems.system = addresses.system
