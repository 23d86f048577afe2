{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[
            {
                'columns': ['first_failed_run_key', 'first_failed_result_number'],
                'unique': true
            },
            {'columns': ['test_environment_key', 'recovered_date']},
            {'columns': ['first_failed_date']},
        ],
        pre_hook="{{ delete_changed_rows(
            'held.recovered_date is null or held.recovered_date >= changed.changed_from'
        ) }}",
        post_hook="{{ forget_test_changes(ref('int_test_changes')) }}",
    )
}}

{%- set of_first_failure = ['suite_key', 'request_key', 'component', 'response_status_code'] %}
{%- set names = {
    'test_run_key': 'first_failed_run_key',
    'result_number': 'first_failed_result_number',
    'run_sort_key': 'first_failed_sort_key',
} %}

-- depends_on: {{ ref('int_test_changes') }}

with
{% if is_incremental() %}
    changed as materialized (

        {{ changed_tests() }}

    ),

    -- The last pass before what changed ends all streaks before it: read from there on.
    read_from as (

        select
            changed.test_environment_key,
            coalesce(last_pass.business_date, '-infinity') as business_date
        from changed
        left join
            lateral (
                select earlier.business_date
                from {{ ref('int_test_results') }} as earlier
                where
                    earlier.test_environment_key = changed.test_environment_key
                    and earlier.is_outcome
                    and earlier.is_decided
                    and earlier.business_date < changed.changed_from
                    and earlier.run_started_at is not null
                    and not earlier.is_failed
                order by earlier.business_date desc
                limit 1
            ) as last_pass
            on true

    ),

    results as (

        select results.*
        from read_from
        cross join
            lateral (
                select later.*
                from {{ ref('int_test_results') }} as later
                where
                    later.test_environment_key = read_from.test_environment_key
                    and later.is_outcome
                    and later.is_decided
                    and later.business_date >= read_from.business_date
                    and later.run_started_at is not null
                order by later.business_date
            ) as results

    ),
{% else %}
    results as (

        select *
        from {{ ref('int_test_results') }}
        where is_outcome and is_decided and run_started_at is not null

    ),
{% endif %}

ordered as (

    select
        *,
        count(*) filter (where not is_failed) over in_order as passes_before,
        lag(is_failed) over in_order as previous_is_failed,
        lag(run_started_at) over in_order as previous_started_at,
        lead(is_failed) over in_order as next_is_failed,
        lead(run_started_at) over in_order as next_started_at,
        lead(business_date) over in_order as next_date,
        lead(test_run_key) over in_order as next_run_key,
        lead(run_sort_key) over in_order as next_sort_key
    from results
    window
        in_order as (
            partition by test_environment_key
            order by run_started_at, run_sort_key, result_number
        )

),

streaks as (

    select
        test_environment_key,
        passes_before,
        min(test_key) as test_key,
        min(system) as system,
        min(collection_or_project_id) as collection_or_project_id,
        min(environment_id) as environment_id,
        count(*)::integer as failures,
        min(run_started_at) as first_failed_at,
        max(run_started_at) as last_failed_at,
        min(business_date) as first_failed_date,
        max(business_date) as last_failed_date,
        {% for column in ['test_run_key', 'result_number', 'run_sort_key'] + of_first_failure %}
            max({{ column }}) filter (where previous_is_failed is not true)
                as {{ names.get(column, column) }},
        {% endfor %}
        max(previous_started_at) filter (where not previous_is_failed) as last_passed_at,
        max(next_started_at) filter (where not next_is_failed) as recovered_at,
        max(next_date) filter (where not next_is_failed) as recovered_date,
        max(next_run_key) filter (where not next_is_failed) as recovered_run_key,
        max(next_sort_key) filter (where not next_is_failed) as recovered_sort_key
    from ordered
    where is_failed
    group by test_environment_key, passes_before

),

followed as (

    select
        *,
        lag(recovered_at) over (
            partition by test_environment_key order by passes_before
        ) as previous_recovered_at
    from streaks

),

{% if is_incremental() %}
    -- Streaks that had recovered before what changed are held already; the last of them is what
    -- the first one here comes after.
    entering as (

        select
            followed.*,
            coalesce(followed.previous_recovered_at, held.recovered_at) as recovery_before
        from followed
        inner join changed
            on followed.test_environment_key = changed.test_environment_key
        cross join
            lateral (
                select max(kept.recovered_at) as recovered_at
                from {{ this }} as kept
                where
                    kept.test_environment_key = followed.test_environment_key
                    and followed.previous_recovered_at is null
            ) as held
        where followed.recovered_date is null or followed.recovered_date >= changed.changed_from

    )
{% else %}
    entering as (

        select
            *,
            previous_recovered_at as recovery_before
        from followed

    )
{% endif %}

select
    test_environment_key,
    test_key,
    system,
    collection_or_project_id,
    environment_id,
    suite_key,
    request_key,
    component,
    response_status_code,
    first_failed_run_key,
    first_failed_result_number,
    first_failed_sort_key,
    recovered_at is null as is_open,
    failures,
    last_passed_at,
    first_failed_at,
    last_failed_at,
    recovered_at,
    first_failed_date,
    last_failed_date,
    recovered_date,
    recovered_run_key,
    recovered_sort_key,
    extract(epoch from recovered_at - first_failed_at)::double precision as duration_seconds,
    extract(epoch from first_failed_at - recovery_before)::double precision
        as seconds_since_recovery
from entering
