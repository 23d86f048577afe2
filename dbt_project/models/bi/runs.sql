select
    runs.test_run_key as run_key,
    runs.system,
    runs.collection_or_project_id as scope_id,
    coalesce(scopes.scope, 'no scope') as scope,
    coalesce(scopes.owner, 'no owner') as owner,
    coalesce(environments.environment_name, runs.environment, 'no environment') as environment,
    coalesce(runs.run_source, 'unknown') as triggered_by,
    milestones.milestone_name as milestone,
    runs.run_id,
    coalesce(
        runs.run_name,
        concat_ws(
            ' ',
            runs.run_source,
            to_char(runs.started_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
        )
    ) as run,
    runs.status,
    runs.is_open,
    latest.test_run_key is not null as is_latest,
    case
        when runs.is_open then 'not ended'
        when runs.status = 'failed' then 'red'
        when runs.status <> 'passed' then 'no verdict'
        when runs.is_truncated then 'green, but less than usual'
        when runs.is_suspect then 'green, but scripts failed'
        else 'green'
    end as verdict,
    runs.started_at,
    runs.finished_at,
    runs.business_date as day,
    runs.duration_ms / 60000 as minutes,
    runs.tests_total as tests,
    runs.tests_passed,
    runs.tests_failed,
    runs.tests_undecided,
    runs.pass_rate,
    runs.requests_total as requests,
    runs.requests_usual,
    runs.completeness,
    case runs.system
        when 'postman' then scopes.scope_url
        when
            'testmo'
            then {{ testmo_url('addresses.api_url', 'automation/runs/view', 'runs.run_id') }}
    end as run_url,
    coalesce(
        builds.link_url, case when runs.build_url ~ '^https?://' then runs.build_url end
    ) as build_url,
    runs.loaded_at
from {{ ref('fct_test_runs') }} as runs
left join {{ ref('int_latest_runs') }} as latest
    on runs.test_run_key = latest.test_run_key
left join {{ ref('scopes') }} as scopes
    on runs.system = scopes.system and runs.collection_or_project_id = scopes.scope_id
-- Testmo's configurations are named in the run itself
left join {{ ref('dim_environments') }} as environments
    on
        runs.system = environments.system
        and runs.environment = environments.environment_id
        and runs.system = 'postman'
left join {{ ref('dim_milestones') }} as milestones
    on runs.milestone_id = milestones.milestone_id
left join {{ source('ingest', 'addresses') }} as addresses
    on runs.system = addresses.system
left join
    lateral (
        select links.link_url
        from {{ ref('stg_testmo__automation_run_links') }} as links
        where
            runs.system = 'testmo'
            and links.run_id = (case when runs.system = 'testmo' then runs.run_id end)::bigint
            and links.link_url ~ '^https?://'
        order by (links.thread_id is not null) asc, links.position asc
        limit 1
    ) as builds
    on true
