with source as (

    select * from {{ source('testmo', 'configs') }}

),

renamed as (

    select
        -- ids
        id as config_id,
        load_id,

        -- text
        name as config_name,

        -- timestamps
        first_loaded_at,
        loaded_at,

        -- leftovers
        extra
    from source

)

select * from renamed
