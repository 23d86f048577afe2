{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[
            {'columns': ['test_run_key', 'result_number'], 'unique': true},
            {
                'columns': [
                    'test_environment_key', 'is_decided', 'business_date', 'run_started_at'
                ]
            },
            {'columns': ['test_key', 'run_started_at desc nulls last']},
            {'columns': ['failure_key', 'run_started_at desc nulls last']},
        ],
        pre_hook=[
            "{{ delete_and_note_outdated_runs(
                changes=ref('int_test_changes'),
                all_runs=loose_index_scan(this, 'test_run_key'),
                current=ref('int_test_run_statuses'),
                version=['loaded_at', 'business_date']
            ) }}",
            "{{ note_entering_runs(
                changes=ref('int_test_changes'), runs=ref('int_test_run_statuses')
            ) }}",
        ],
    )
}}

-- depends_on: {{ ref('int_test_changes') }}

with runs as (

    select runs.*
    from {{ ref('int_test_run_statuses') }} as runs
    where {{ results_enter(changes=ref('int_test_changes'), runs='runs') }}

),

-- Looked up run by run, as in the other models of results: a night must not cost a scan of history.
postman as (

    select
        runs.test_run_key,
        runs.environment as environment_id,
        results.*
    from runs
    cross join
        lateral (
            select
                {{ surrogate_key([
                    "'postman'",
                    'runs.collection_or_project_id',
                    'executions.item_name',
                    'executions.item_occurrence',
                    'assertions.assertion_name',
                    'row_number() over same_assertion'
                ]) }} as test_key,
                executions.item_occurrence,
                row_number() over same_assertion as assertion_occurrence,
                assertions.execution_index,
                assertions.assertion_index,
                null::bigint as automation_test_id,
                row_number() over in_order as result_number,
                assertions.outcome,
                assertions.error_message
            from {{ ref('stg_postman__assertions') }} as assertions
            inner join {{ ref('int_request_executions') }} as executions
                on
                    assertions.run_id = executions.run_id
                    and assertions.execution_index = executions.execution_index
            where assertions.run_id = runs.run_id and not executions.is_repeat
            window
                same_assertion as (
                    partition by assertions.execution_index, assertions.assertion_name
                    order by assertions.assertion_index
                ),
                in_order as (order by assertions.execution_index, assertions.assertion_index)
        ) as results
    where runs.system = 'postman'

),

testmo_runs as (

    select
        runs.test_run_key,
        testmo.run_id,
        testmo.automation_source_id,
        testmo.config_id
    from runs
    inner join {{ ref('stg_testmo__automation_runs') }} as testmo
        on runs.test_run_key = testmo.test_run_key
    where runs.system = 'testmo'

),

testmo as (

    select
        runs.test_run_key,
        runs.config_id::text as environment_id,
        results.*
    from testmo_runs as runs
    cross join
        lateral (
            select
                case
                    when tests.automation_case_id is not null
                        then {{ surrogate_key(["'testmo'", 'tests.automation_case_id']) }}
                    else {{ surrogate_key([
                        "'testmo'",
                        'runs.automation_source_id',
                        'tests.test_folder',
                        'tests.test_name'
                    ]) }}
                end as test_key,
                null::integer as item_occurrence,
                null::bigint as assertion_occurrence,
                null::integer as execution_index,
                null::integer as assertion_index,
                tests.automation_test_id,
                row_number() over (order by tests.automation_test_id) as result_number,
                case tests.status
                    when 1 then 'neutral'
                    when 2 then 'passed'
                    when 3 then 'failed'
                    when 4 then 'running'
                    else 'unknown'
                end as outcome,
                null::text as error_message
            from {{ ref('stg_testmo__automation_run_tests') }} as tests
            where tests.run_id = runs.run_id
        ) as results

),

both_systems as (

    select * from postman
    union all
    select * from testmo

)

select
    results.test_run_key,
    results.result_number::integer as result_number,
    results.test_key,
    {{ surrogate_key(['results.test_key', 'results.environment_id']) }} as test_environment_key,
    runs.system,
    runs.collection_or_project_id,
    results.environment_id,
    results.item_occurrence,
    results.assertion_occurrence::integer as assertion_occurrence,
    results.execution_index,
    results.assertion_index,
    results.automation_test_id,
    results.outcome,
    results.outcome in ('passed', 'failed') as is_decided,
    case
        when results.outcome = 'failed'
            then md5({{ normalised_failure('results.error_message') }})
    end as failure_key,
    runs.started_at as run_started_at,
    -- the same order in any warehouse, and as numbers where they are
    case runs.system when 'testmo' then lpad(runs.run_id, 20, '0') else runs.run_id end
    collate "C" as run_sort_key,  -- noqa: RF02
    runs.business_date,
    runs.loaded_at
from both_systems as results
inner join runs
    on results.test_run_key = runs.test_run_key
