with source as (

    select * from {{ source('postman', 'executions') }}

),

renamed as (

    select
        -- ids
        run_id,
        execution_index,
        execution_id,

        -- text
        item_name,
        request_method,
        request_url,

        -- numerics
        response_status_code,
        response_time_ms,
        response_size_bytes,

        -- booleans
        response_status_code is not null as is_answered,

        -- leftovers
        extra
    from source

)

select * from renamed
