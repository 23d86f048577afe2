with source as (

    select * from {{ source('postman', 'assertions') }}

),

renamed as (

    select
        -- ids
        run_id,
        execution_index,
        assertion_index,

        -- text
        name as assertion_name,
        error as error_message,
        -- newman says of a skipped assertion that it passed
        case
            when extra ->> 'skipped' = 'true' then 'skipped'
            when passed then 'passed'
            when not passed then 'failed'
            else 'unknown'
        end as outcome,

        -- booleans
        passed as is_passed,

        -- leftovers
        extra
    from source

)

select * from renamed
