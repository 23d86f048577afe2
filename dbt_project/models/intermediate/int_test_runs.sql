-- All systems under one set of names; nothing here looks at the rows below a run.
with postman as (

    select
        test_run_key,
        'postman' as system,
        run_id,
        collection_id as collection_or_project_id,
        collection_name,
        null as run_name,
        run_source,
        environment_id as environment,
        environment_id,
        environment_name,
        null::bigint as automation_source_id,
        null::bigint as milestone_id,
        null as app_version,
        status as source_status,
        {{ run_state('status') }} as run_state,
        case {{ run_state('status') }}
            when 'queued' then true
            when 'running' then true
            when 'unknown' then finished_at is null
            else false
        end as is_open,
        started_at,
        finished_at,
        coalesce(
            duration_ms, extract(epoch from finished_at - started_at) * 1000
        )::double precision as duration_ms,
        requests_announced,
        requests_failed_announced,
        assertions_announced as tests_announced,
        null::bigint as tests_passed_announced,
        assertions_failed_announced as tests_failed_announced,
        null::bigint as tests_completed_announced,
        loaded_at,
        deleted_at
    from {{ ref('stg_postman__collection_runs') }}

),

testmo as (

    select
        runs.test_run_key,
        'testmo' as system,
        runs.run_id::text as run_id,
        runs.project_id::text as collection_or_project_id,
        null as collection_name,
        runs.run_name,
        coalesce(sources.automation_source_name, runs.automation_source_id::text) as run_source,
        coalesce(configs.config_name, runs.config_id::text) as environment,
        runs.config_id::text as environment_id,
        configs.config_name as environment_name,
        runs.automation_source_id,
        runs.milestone_id,
        null as app_version,
        runs.status::text as source_status,
        null as run_state,
        not coalesce(runs.is_completed, runs.completed_at is not null) as is_open,
        runs.created_at as started_at,
        runs.completed_at as finished_at,
        runs.elapsed_microseconds / 1000::double precision as duration_ms,
        null::bigint as requests_announced,
        null::bigint as requests_failed_announced,
        runs.total_count as tests_announced,
        runs.success_count as tests_passed_announced,
        runs.failure_count as tests_failed_announced,
        runs.completed_count as tests_completed_announced,
        runs.loaded_at,
        runs.deleted_at
    from {{ ref('stg_testmo__automation_runs') }} as runs
    left join {{ ref('stg_testmo__automation_sources') }} as sources
        on runs.automation_source_id = sources.automation_source_id
    left join {{ ref('stg_testmo__configs') }} as configs
        on runs.config_id = configs.config_id

),

-- newman's JUnit report of a run is left out where its JSON report, which says more, is there too
reports as (

    select
        test_run_key,
        'reports' as system,
        run_id,
        run_source as collection_or_project_id,
        null as collection_name,
        run_name,
        run_source,
        environment,
        environment as environment_id,
        environment as environment_name,
        null::bigint as automation_source_id,
        null::bigint as milestone_id,
        extra ->> 'appVersion' as app_version,
        null as source_status,
        null as run_state,
        false as is_open,
        started_at,
        finished_at,
        coalesce(
            duration_ms, extract(epoch from finished_at - started_at) * 1000
        )::double precision as duration_ms,
        null::bigint as requests_announced,
        null::bigint as requests_failed_announced,
        tests_announced,
        null::bigint as tests_passed_announced,
        tests_failed_announced,
        null::bigint as tests_completed_announced,
        loaded_at,
        deleted_at
    from {{ ref('stg_reports__runs') }}
    where superseded_by_test_run_key is null

),

all_systems as (

    select * from postman
    union all
    select * from testmo
    union all
    select * from reports

)

select
    runs.*,
    codes.commit_sha,
    codes.merge_sha,
    codes.branch,
    codes.pipeline_id,
    codes.pipeline_attempt,
    codes.build_url,
    codes.code_digest,
    case
        when num_nonnulls(codes.commit_sha, codes.code_digest) > 0
            then {{ surrogate_key([
                'codes.commit_sha', 'codes.code_digest', 'runs.app_version'
            ]) }}
    end as code_key,
    {{ business_date('coalesce(runs.started_at, runs.finished_at)') }} as business_date
from all_systems as runs
left join {{ ref('stg_ingest__code_identities') }} as codes
    on runs.test_run_key = codes.test_run_key
{% if not var('include_deleted_runs') %}
    where runs.deleted_at is null
{% endif %}
