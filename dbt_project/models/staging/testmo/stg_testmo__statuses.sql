with source as (

    select * from {{ source('testmo', 'statuses') }}

),

renamed as (

    select
        -- ids
        id as status_id,
        load_id,

        -- text
        name as status_name,
        system_name,
        color,
        aliases,

        -- booleans
        is_final,
        is_untested,
        is_passed,
        is_failed,

        -- timestamps
        first_loaded_at,
        loaded_at,

        -- leftovers
        extra
    from source

)

select * from renamed
