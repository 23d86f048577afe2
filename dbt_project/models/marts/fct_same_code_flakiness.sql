{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[
            {'columns': ['test_environment_key'], 'unique': true},
            {'columns': ['test_key']},
        ],
        pre_hook="{{ delete_changed_rows('true') }}",
        post_hook="{{ forget_test_changes(ref('int_test_changes')) }}",
    )
}}

-- depends_on: {{ ref('int_test_changes') }}

-- Of most installations no run names its code: there nothing below is read.
with scopes as materialized (

    select distinct
        system,
        collection_or_project_id,
        environment_id
    from {{ ref('int_test_run_statuses') }}
    where code_key is not null

),

tests as (

    {% if is_incremental() %}
        select changed.test_environment_key
        from ({{ changed_tests() }}) as changed
        where exists (select 1 from scopes)
    {% else %}
        select distinct test_environment_key
        from {{ ref('int_test_results') }}
        where code_key is not null
    {% endif %}

),

-- test by test and by index: the last of a test's decided results, as fct_test_flakiness reads them
known as (

    select
        tests.test_environment_key,
        latest.test_key,
        latest.system,
        latest.collection_or_project_id,
        latest.environment_id
    from tests
    cross join
        lateral (
            select results.*
            from {{ ref('int_test_results') }} as results
            where results.test_environment_key = tests.test_environment_key
            order by
                results.is_outcome desc, results.is_decided desc, results.business_date desc
            limit 1
        ) as latest
    inner join scopes
        on
            latest.system = scopes.system
            and latest.collection_or_project_id
            is not distinct from scopes.collection_or_project_id
            and latest.environment_id is not distinct from scopes.environment_id

),

decided as (

    select
        known.test_environment_key,
        results.test_run_key,
        results.code_key,
        results.run_started_at,
        coalesce(results.attempts_passed, (not results.is_failed)::integer) as passed,
        coalesce(results.attempts_failed, results.is_failed::integer) as failed
    from known
    cross join
        lateral (
            select last_ones.*
            from {{ ref('int_test_results') }} as last_ones
            where
                last_ones.test_environment_key = known.test_environment_key
                and last_ones.is_outcome
                and last_ones.is_decided
                and last_ones.run_started_at is not null
            order by
                last_ones.business_date desc,
                last_ones.run_started_at desc,
                last_ones.run_sort_key desc
            limit {{ var('flaky_window') }}
        ) as results
    where results.code_key is not null

),

outages as materialized (

    select
        failures.test_environment_key,
        failures.test_run_key
    from {{ ref('int_outage_failures') }} as failures
    inner join known
        on failures.test_environment_key = known.test_environment_key

),

-- what failed in an outage is no fault of the test, whatever its code
counted as (

    select
        decided.test_environment_key,
        decided.code_key,
        decided.run_started_at,
        decided.passed,
        case when outages.test_run_key is null then decided.failed else 0 end as failed,
        case when outages.test_run_key is null then 0 else decided.failed end as in_outages
    from decided
    left join outages
        on
            decided.test_environment_key = outages.test_environment_key
            and decided.test_run_key = outages.test_run_key

),

code_groups as (

    select
        test_environment_key,
        code_key,
        sum(passed) as passed,
        sum(failed) as failed,
        sum(in_outages) as in_outages,
        sum(passed + failed) >= 2 as is_group,
        sum(passed) > 0 and sum(failed) > 0 as is_mixed,
        max(run_started_at) as last_run_at
    from counted
    group by test_environment_key, code_key

),

figures as (

    select
        test_environment_key,
        count(*)::integer as code_identities,
        count(*) filter (where is_group)::integer as same_code_groups,
        count(*) filter (where is_mixed)::integer as mixed_groups,
        coalesce(sum(passed + failed) filter (where is_group), 0)::bigint as results_decided,
        coalesce(sum(failed) filter (where is_group), 0)::bigint as results_failed,
        sum(in_outages)::bigint as results_in_outages,
        max(last_run_at) filter (where is_mixed) as last_mixed_at
    from code_groups
    group by test_environment_key

)

select
    known.test_environment_key,
    known.test_key,
    known.system,
    known.collection_or_project_id,
    known.environment_id,
    figures.code_identities,
    figures.same_code_groups,
    figures.mixed_groups,
    figures.results_decided,
    figures.results_failed,
    figures.results_in_outages,
    figures.mixed_groups / nullif(figures.same_code_groups, 0)::double precision as mixed_rate,
    {{ wilson_bound('figures.mixed_groups', 'figures.same_code_groups', '-') }} as mixed_rate_low,
    {{ wilson_bound('figures.mixed_groups', 'figures.same_code_groups', '+') }} as mixed_rate_high,
    case
        when
            figures.same_code_groups >= {{ var('same_code_min_groups') }}
            and figures.results_decided >= {{ var('same_code_min_results') }}
            then figures.mixed_groups >= {{ var('same_code_mixed_groups') }}
    end as is_flaky,
    figures.last_mixed_at
from figures
inner join known
    on figures.test_environment_key = known.test_environment_key
