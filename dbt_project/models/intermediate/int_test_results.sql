{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[
            {'columns': ['test_run_key', 'result_number'], 'unique': true},
            {
                'columns': [
                    'test_environment_key',
                    'is_outcome',
                    'is_decided',
                    'business_date',
                    'run_started_at',
                ]
            },
            {'columns': ['test_key', 'run_started_at desc nulls last']},
            {'columns': ['failure_key', 'run_started_at desc nulls last']},
        ],
        pre_hook=[
            "{{ forget_former_readers(ref('int_test_changes')) }}",
            "{{ delete_and_note_outdated_runs(
                changes=ref('int_test_changes'),
                all_runs=loose_index_scan(this, 'test_run_key'),
                current=ref('int_test_run_statuses'),
                version=[
                    'loaded_at',
                    'business_date',
                    'environment_id',
                    'item_ids_recur',
                    'code_key',
                    'statuses_version',
                ]
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
        results.*
    from runs
    cross join
        lateral (
            select
                {{ surrogate_key([
                    "'postman'",
                    'executions.request_key',
                    normalised_name('assertions.assertion_name'),
                ]) }} as test_key,
                executions.request_key,
                executions.request_host as component,
                executions.response_status_code,
                assertions.execution_index,
                assertions.assertion_index,
                null::bigint as automation_test_id,
                null::integer as test_index,
                row_number() over in_order as result_number,
                assertions.outcome,
                null::integer as attempts_passed,
                null::integer as attempts_failed,
                assertions.assertion_name as test_name,
                assertions.error_message
            from {{ ref('stg_postman__assertions') }} as assertions
            inner join {{ ref('int_request_executions') }} as executions
                on
                    runs.test_run_key = executions.test_run_key
                    and assertions.execution_index = executions.execution_index
            where assertions.run_id = runs.run_id and not executions.is_repeat
            window in_order as (order by assertions.execution_index, assertions.assertion_index)
        ) as results
    where runs.system = 'postman'

),

testmo as (

    select
        runs.test_run_key,
        results.*
    from runs
    cross join
        lateral (
            select
                case
                    when tests.automation_case_id is not null
                        then {{ surrogate_key([
                            "'testmo'",
                            'runs.collection_or_project_id',
                            'tests.automation_case_id',
                        ]) }}
                    else {{ surrogate_key([
                        "'testmo'",
                        'runs.collection_or_project_id',
                        'runs.automation_source_id',
                        'tests.test_folder',
                        normalised_name('tests.test_name'),
                    ]) }}
                end as test_key,
                null::text as request_key,
                tests.test_folder as component,
                null::integer as response_status_code,
                null::integer as execution_index,
                null::integer as assertion_index,
                tests.automation_test_id,
                null::integer as test_index,
                row_number() over (order by tests.automation_test_id) as result_number,
                -- as the instance defines its statuses, else as they are documented
                coalesce(
                    meanings.outcome,
                    case tests.status
                        when 1 then 'neutral'
                        when 2 then 'passed'
                        when 3 then 'failed'
                        when 4 then 'running'
                        else 'unknown'
                    end
                ) as outcome,
                null::integer as attempts_passed,
                null::integer as attempts_failed,
                tests.test_name,
                null::text as error_message
            from {{ ref('stg_testmo__automation_run_tests') }} as tests
            left join {{ ref('stg_testmo__statuses') }} as meanings
                on tests.status = meanings.status_id
            where tests.run_id = case when runs.system = 'testmo' then runs.run_id::bigint end
        ) as results
    where runs.system = 'testmo'

),

-- An exhausted retry has failed, and one that passed in the end has passed: what it did before is
-- kept in the numbers of its attempts. Of a retry that is given without them each happened once.
reports as (

    select
        runs.test_run_key,
        results.*
    from runs
    cross join
        lateral (
            select
                {{ surrogate_key([
                    "'reports'",
                    'runs.collection_or_project_id',
                    normalised_name('tests.suite_path::text'),
                    normalised_name('tests.class_name'),
                    normalised_name('tests.test_name'),
                ]) }} as test_key,
                null::text as request_key,
                coalesce(nullif(tests.class_name, ''), tests.test_folder) as component,
                null::integer as response_status_code,
                null::integer as execution_index,
                null::integer as assertion_index,
                null::bigint as automation_test_id,
                tests.test_index,
                row_number() over (order by tests.test_index) as result_number,
                tests.outcome,
                greatest(tried.passed, case when tests.is_flaky_in_run then 1 end)
                    as attempts_passed,
                greatest(tried.failed, case when tests.is_flaky_in_run then 1 end)
                    as attempts_failed,
                tests.test_name,
                tests.failure_message as error_message
            from {{ ref('stg_reports__tests') }} as tests
            left join
                lateral (
                    select
                        count(*) filter (where attempts.status = 'passed')::integer as passed,
                        count(*) filter (where attempts.status in ('failed', 'errored'))::integer
                            as failed
                    from {{ ref('stg_reports__attempts') }} as attempts
                    where
                        attempts.run_id = runs.run_id
                        and attempts.test_index = tests.test_index
                    having count(*) > 0
                ) as tried
                on true
            where tests.run_id = runs.run_id
        ) as results
    where runs.system = 'reports'

),

all_systems as (

    select * from postman
    union all
    select * from testmo
    union all
    select * from reports

),

judged as (

    select
        *,
        outcome in ('failed', 'errored') as is_failed,
        outcome = 'passed' and coalesce(attempts_failed > 0, false) as is_flaky_in_run
    from all_systems

),

-- A test has one outcome in a run, however often it was sent: the worst of its results.
ranked as (

    select
        *,
        row_number() over (
            partition by test_run_key, test_key
            order by
                is_failed desc,
                is_flaky_in_run desc,
                outcome = 'passed' desc,
                result_number
        ) = 1 as is_outcome
    from judged

)

select
    results.test_run_key,
    results.result_number::integer as result_number,
    results.test_key,
    {{ surrogate_key(['results.test_key', 'runs.environment_id']) }} as test_environment_key,
    runs.system,
    runs.collection_or_project_id,
    runs.environment_id,
    runs.suite_key,
    results.request_key,
    results.component,
    results.response_status_code,
    results.execution_index,
    results.assertion_index,
    results.automation_test_id,
    results.test_index,
    results.outcome,
    results.is_failed or results.outcome = 'passed' as is_decided,
    results.is_failed,
    results.is_outcome,
    results.is_flaky_in_run,
    results.attempts_passed,
    results.attempts_failed,
    case
        when results.is_failed
            then {{ failure_key('results.error_message', 'results.test_name') }}
    end as failure_key,
    -- a run that is dated after its load has no place in an order
    case when runs.is_future_dated then null else runs.started_at end as run_started_at,
    runs.run_sort_key,
    runs.business_date,
    runs.item_ids_recur,
    runs.code_key,
    runs.statuses_version,
    runs.loaded_at
from ranked as results
inner join runs
    on results.test_run_key = runs.test_run_key
