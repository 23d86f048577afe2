with source as (

    select * from {{ source('testmo', 'automation_run_tags') }}

),

renamed as (

    select
        run_id,
        tag
    from source

)

select * from renamed
