with source as (

    select * from {{ source('postman', 'collection_runs') }}

),

renamed as (

    select
        -- ids
        'postman:' || run_id as test_run_key,
        run_id,
        collection_id,
        environment_id,
        created_by,
        load_id,

        -- text
        status,
        source as run_source,
        -- newman's; the API itself names collections by ID alone
        nullif(extra ->> 'collectionName', '') as collection_name,
        nullif(extra ->> 'environmentName', '') as environment_name,

        -- numerics
        duration_ms,
        {{ plausible_count('requests_total') }} as requests_announced,
        {{ plausible_count('requests_failed') }} as requests_failed_announced,
        {{ plausible_count('assertions_total') }} as assertions_announced,
        {{ plausible_count('assertions_failed') }} as assertions_failed_announced,

        -- timestamps
        started_at,
        finished_at,
        first_loaded_at,
        loaded_at,
        deleted_at,

        -- leftovers
        extra
    from source

)

select * from renamed
