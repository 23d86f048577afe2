with source as (

    select * from {{ source('testmo', 'users') }}

),

renamed as (

    select
        -- ids
        id as user_id,
        load_id,

        -- text
        name as user_name,

        -- timestamps
        first_loaded_at,
        loaded_at,

        -- leftovers
        extra
    from source

)

select * from renamed
