with source as (

    {{ optional_source('ingest', 'code_identities', {
        'source': 'text',
        'run_id': 'text',
        'commit_sha': 'text',
        'merge_sha': 'text',
        'branch': 'text',
        'pipeline_id': 'text',
        'pipeline_attempt': 'text',
        'build_url': 'text',
        'code_digest': 'text',
        'updated_at': 'timestamptz',
    }) }}

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
