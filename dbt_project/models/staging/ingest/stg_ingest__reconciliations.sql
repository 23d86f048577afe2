with source as (

    select * from {{ source('ingest', 'reconciliations') }}

),

renamed as (

    select
        -- ids
        source || ':' || run_id as test_run_key,
        run_id,
        load_id,

        -- text
        source as system,
        scope as collection_or_project_id,
        total as total_name,
        reason,

        -- numerics
        announced as rows_announced,
        loaded as rows_loaded,
        repeated as rows_repeated,

        -- timestamps
        checked_at
    from source

)

select * from renamed
