with source as (

    select * from {{ source('reports', 'attempts') }}

),

renamed as (

    select
        -- ids
        run_id,
        test_index,
        attempt,

        -- text
        status,
        message as failure_message,
        type as failure_type,

        -- numerics
        duration_ms
    from source

)

select * from renamed
