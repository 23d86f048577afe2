with source as (

    select * from {{ source('ingest', 'code_identities') }}

),

renamed as (

    select
        -- ids
        source || ':' || run_id as test_run_key,
        run_id,
        pipeline_id,
        pipeline_attempt,

        -- text
        source as system,
        commit_sha,
        merge_sha,
        branch,
        build_url,
        code_digest,

        -- timestamps
        updated_at
    from source

)

select * from renamed
