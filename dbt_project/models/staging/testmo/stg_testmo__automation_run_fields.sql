with source as (

    select * from {{ source('testmo', 'automation_run_fields') }}

),

renamed as (

    select
        -- ids
        run_id,
        thread_id,
        position,

        -- text
        name as field_name,
        value as field_value,

        -- numerics
        type as field_type,

        -- leftovers
        meta as field_meta,
        extra
    from source

)

select * from renamed
