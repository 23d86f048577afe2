with source as (

    select * from {{ source('testmo', 'automation_sources') }}

),

renamed as (

    select
        -- ids
        id as automation_source_id,
        load_id,

        -- text
        name as automation_source_name,

        -- timestamps
        first_loaded_at,
        loaded_at,

        -- leftovers
        extra
    from source

)

select * from renamed
