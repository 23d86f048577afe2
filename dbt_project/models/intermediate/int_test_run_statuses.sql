-- A table, not incremental: whether an environment or an item's ID is seen again is known from all
-- runs alone. What is dear to count is kept in int_test_run_counts.
{{ config(
    materialized='table', indexes=[{'columns': ['test_run_key'], 'unique': true}]
) }}

-- newman makes up an environment's ID for a file that has none: it names nothing
with runs as (

    select
        *,
        environment_name is not null
        or count(*) over (partition by system, environment_id) > 1 as is_environment
    from {{ ref('int_test_runs') }}

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
        case when runs.is_environment then runs.environment end as environment,
        case when runs.is_environment then runs.environment_id end as environment_id,
        runs.automation_source_id,
        runs.milestone_id,
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
                'counts.requests_failed, runs.requests_failed_announced)'
            )
        }} as status
    from runs
    left join {{ ref('int_test_run_counts') }} as counts
        on runs.test_run_key = counts.test_run_key

),

seen_items as (

    select
        counted.test_run_key,
        count(*) over (partition by counted.collection_or_project_id, items.item_id) as runs
    from counted
    cross join jsonb_array_elements_text(counted.item_ids) as items (item_id)

),

recurring as (

    select test_run_key
    from seen_items
    where runs > 1
    group by test_run_key

)

select
    counted.*,
    case counted.status when 'passed' then true when 'failed' then false end as is_success,
    recurring.test_run_key is not null as item_ids_recur,
    {{ surrogate_key([
        'counted.system',
        'counted.collection_or_project_id',
        'counted.automation_source_id',
        'counted.environment_id',
    ]) }} as suite_key
from counted
left join recurring
    on counted.test_run_key = recurring.test_run_key
