with source as (

    select * from {{ source('testmo', 'automation_run_artifacts') }}

),

renamed as (

    select
        -- ids
        run_id,
        thread_id,
        position,

        -- text
        name as artifact_name,
        note as artifact_note,
        url as artifact_url,
        mime_type,

        -- numerics
        size_bytes,

        -- leftovers
        extra
    from source

)

select * from renamed
