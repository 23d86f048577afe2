with source as (

    select * from {{ source('reports', 'tests') }}

),

renamed as (

    select
        -- ids
        run_id,
        test_index,

        -- text
        to_jsonb(suite_path) as suite_path,
        array_to_string(suite_path, ' > ') as test_folder,
        class_name,
        name as test_name,
        status,
        case status when 'other' then 'neutral' else status end as outcome,
        message as failure_message,
        type as failure_type,
        file as test_file,

        -- numerics
        duration_ms,
        -- of tests that stand in a run more than once under the same names
        case
            when extra ->> 'occurrence' ~ '^[0-9]{1,9}$' then (extra ->> 'occurrence')::integer
            else 1
        end as occurrence,

        -- booleans
        coalesce(extra ->> 'flaky' = 'true', false) as is_flaky_in_run,

        -- leftovers
        extra
    from source

)

select * from renamed
