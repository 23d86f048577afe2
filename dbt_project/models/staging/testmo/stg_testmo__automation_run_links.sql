with source as (

    select * from {{ source('testmo', 'automation_run_links') }}

),

renamed as (

    select
        -- ids
        run_id,
        thread_id,
        position,

        -- text
        name as link_name,
        note as link_note,
        url as link_url,

        -- leftovers
        extra
    from source

)

select * from renamed
