with source as (

    select * from {{ source('testmo', 'milestones') }}

),

renamed as (

    select
        -- ids
        id as milestone_id,
        load_id,

        -- text
        name as milestone_name,

        -- timestamps
        first_loaded_at,
        loaded_at,

        -- leftovers
        extra
    from source

)

select * from renamed
