-- A table, not incremental: whether an environment or an item's ID is seen again is known from all
-- runs alone. What is dear to count is kept in int_test_run_counts.
{{ config(
    materialized='table',
    indexes=[
        {'columns': ['test_run_key'], 'unique': true},
        {'columns': ['suite_key', 'suite_run_number']},
    ]
) }}

with all_runs as (

    select * from {{ ref('int_test_runs') }}

),

-- newman makes up an environment's ID for a file that has none, a new one for each run: it names
-- nothing, and the environment is known by its name alone
environments as (

    select
        system,
        environment_id,
        count(*) > 1 as is_seen_again
    from all_runs
    where environment_id is not null
    group by system, environment_id

),

runs as (

    select
        all_runs.*,
        case
            when environments.is_seen_again then all_runs.environment
            else all_runs.environment_name
        end as known_environment,
        case
            when environments.is_seen_again then all_runs.environment_id
            when all_runs.system = 'postman' then all_runs.environment_name
            -- their IDs are their own
            when all_runs.environment_name is not null then all_runs.environment_id
        end as known_environment_id
    from all_runs
    left join environments
        on
            all_runs.system = environments.system
            and all_runs.environment_id = environments.environment_id

),

-- a status may come to mean something else: every result of Testmo's is then another
meanings as (

    select
        md5(string_agg(concat(status_id, ' ', outcome), ',' order by status_id))
            as statuses_version
    from {{ ref('stg_testmo__statuses') }}
    where outcome is not null

),

-- Testmo counts its tests itself: what it announces is all that there is.
counted as (

    select
        runs.test_run_key,
        runs.system,
        runs.run_id,
        runs.collection_or_project_id,
        runs.collection_name,
        runs.run_name,
        runs.run_source,
        runs.known_environment as environment,
        runs.known_environment_id as environment_id,
        runs.automation_source_id,
        runs.milestone_id,
        runs.commit_sha,
        runs.merge_sha,
        runs.branch,
        runs.pipeline_id,
        runs.pipeline_attempt,
        runs.build_url,
        runs.code_digest,
        runs.app_version,
        runs.code_key,
        case runs.system when 'testmo' then meanings.statuses_version end as statuses_version,
        runs.source_status,
        runs.is_open,
        coalesce(runs.run_state = 'cut_short', false) as is_cut_short,
        runs.started_at,
        runs.finished_at,
        runs.business_date,
        -- no mistaken time zone is a day off: such a date says nothing of when the run was
        coalesce(
            greatest(runs.started_at, runs.finished_at) > runs.loaded_at + interval '1 day', false
        ) as is_future_dated,
        runs.duration_ms,
        runs.requests_announced,
        runs.requests_failed_announced,
        runs.tests_announced,
        runs.tests_passed_announced,
        runs.tests_failed_announced,
        runs.tests_completed_announced,
        runs.loaded_at,
        runs.deleted_at,
        counts.requests_total,
        counts.requests_repeated,
        counts.requests_failed,
        counts.script_errors,
        counts.repeated_executions,
        counts.item_ids,
        counts.tests_repeated,
        coalesce(counts.tests_total, runs.tests_announced) as tests_total,
        coalesce(counts.tests_passed, runs.tests_passed_announced) as tests_passed,
        coalesce(counts.tests_failed, runs.tests_failed_announced) as tests_failed,
        coalesce(
            counts.tests_skipped,
            runs.tests_completed_announced
            - runs.tests_passed_announced
            - runs.tests_failed_announced
        ) as tests_skipped,
        coalesce(
            counts.tests_untested, runs.tests_announced - runs.tests_completed_announced
        ) as tests_untested,
        {{
            test_run_status(
                'runs.system',
                'runs.source_status',
                'runs.run_state',
                'greatest('
                'counts.tests_failed, runs.tests_failed_announced, '
                'counts.requests_failed, runs.requests_failed_announced)',
                'counts'
            )
        }} as status
    from runs
    cross join meanings
    left join {{ ref('int_test_run_counts') }} as counts
        on runs.test_run_key = counts.test_run_key

),

-- Most runs of a collection have the same items: sets are compared, and not runs.
item_sets as (

    select
        collection_or_project_id,
        item_ids,
        count(*) as runs
    from counted
    where item_ids != '[]'
    group by collection_or_project_id, item_ids

),

shared as (

    select
        item_sets.collection_or_project_id,
        item_sets.item_ids,
        item_sets.runs > 1
        or count(*) over (
            partition by item_sets.collection_or_project_id, items.item_id
        ) > 1 as is_shared
    from item_sets
    cross join jsonb_array_elements_text(item_sets.item_ids) as items (item_id)

),

recurring as (

    select
        collection_or_project_id,
        item_ids
    from shared
    where is_shared
    group by collection_or_project_id, item_ids

),

suites as (

    select
        counted.*,
        case counted.status when 'passed' then true when 'failed' then false end as is_success,
        recurring.item_ids is not null as item_ids_recur,
        case
            when counted.system = 'reports'
                then {{ surrogate_key([
                    'counted.system',
                    'counted.collection_or_project_id',
                    normalised_name('counted.run_name'),
                    'counted.environment_id',
                ]) }}
            else {{ surrogate_key([
                'counted.system',
                'counted.collection_or_project_id',
                'counted.automation_source_id',
                'counted.environment_id',
            ]) }}
        end as suite_key,
        {{ run_sort_key('counted') }} as run_sort_key,
        -- a run that was killed at once is no run in which anything was not seen, and one that is
        -- dated after its load has no place in an order
        counted.started_at is not null
        and not counted.is_future_dated
        and (counted.tests_total = 0 and coalesce(counted.requests_total, 0) = 0) is not true
            as is_numbered
    from counted
    left join recurring
        on
            counted.collection_or_project_id
            is not distinct from recurring.collection_or_project_id
            and counted.item_ids = recurring.item_ids

),

-- narrow rows are sorted, wide ones are joined
numbered as (

    select
        test_run_key,
        row_number() over (partition by suite_key order by started_at, run_sort_key)
            as suite_run_number,
        count(*) over (partition by suite_key) as suite_runs
    from suites
    where is_numbered

)

select
    suites.*,
    numbered.suite_run_number,
    numbered.suite_runs - numbered.suite_run_number as suite_runs_after
from suites
left join numbered
    on suites.test_run_key = numbered.test_run_key
