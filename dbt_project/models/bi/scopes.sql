{%- set dimensions = {
    'postman': ('dim_collections', 'collection_id', 'collection_name'),
    'testmo': ('dim_projects', 'project_id', "coalesce(project_name, 'project ' || project_id)"),
    'reports': ('dim_report_sources', 'report_source', 'report_source'),
} -%}
with all_systems as (

    {% for system, (dimension, id, name) in dimensions.items() %}
        select
            '{{ system }}' as system,
            {{ id }} as scope_id,
            {{ name }} as scope_name,
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
        from {{ ref(dimension) }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select
    all_systems.system,
    all_systems.scope_id,
    coalesce(all_systems.scope_name, all_systems.scope_id) as scope,
    coalesce(all_systems.owner, 'no owner') as owner,
    all_systems.channel,
    all_systems.current_health as health,
    all_systems.red_since,
    all_systems.suites_red,
    all_systems.last_success_at as last_green_at,
    all_systems.first_seen_at as first_run_at,
    all_systems.last_seen_at as last_run_at,
    all_systems.runs_total as runs,
    all_systems.runs_open as open_runs,
    all_systems.recent_runs,
    all_systems.recent_success_rate,
    all_systems.recent_pass_rate,
    case all_systems.system
        when 'postman' then 'https://go.postman.co/collection/' || all_systems.scope_id
        when
            'testmo'
            then {{ testmo_url('addresses.api_url', 'projects/view', 'all_systems.scope_id') }}
    end as scope_url
from all_systems
left join {{ source('ingest', 'addresses') }} as addresses
    on all_systems.system = addresses.system
