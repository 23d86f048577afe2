with source as (

    select * from {{ source('reports', 'runs') }}

),

renamed as (

    select
        -- ids
        'reports:' || run_id as test_run_key,
        run_id,
        load_id,
        -- the newman JSON report of the same run, which says more
        'postman:' || (extra ->> 'supersededBy') as superseded_by_test_run_key,

        -- text
        source as run_source,
        format as report_format,
        name as run_name,
        environment,

        -- numerics
        duration_ms,
        {{ plausible_count('tests_total') }} as tests_announced,
        {{ plausible_count('tests_failed') }} as tests_failed_announced,
        {{ plausible_count('tests_skipped') }} as tests_skipped_announced,

        -- booleans
        coalesce(extra ? 'timeGuessed', false) as is_time_guessed,

        -- timestamps
        started_at,
        finished_at,
        first_loaded_at,
        loaded_at,
        deleted_at,

        -- leftovers
        extra
    from source

)

select * from renamed
