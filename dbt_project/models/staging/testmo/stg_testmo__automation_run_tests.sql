with source as (

    select * from {{ source('testmo', 'automation_run_tests') }}

),

renamed as (

    select
        -- ids
        run_id,
        automation_test_id,
        automation_case_id,
        repository_case_id,
        thread_id,

        -- text
        key as test_key,
        name as test_name,
        folder as test_folder,

        -- numerics
        status,
        elapsed as elapsed_microseconds,

        -- timestamps
        created_at,

        -- leftovers
        extra
    from source

)

select * from renamed
