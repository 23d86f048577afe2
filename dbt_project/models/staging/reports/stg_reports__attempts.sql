with source as (

    {{ optional_source('reports', 'attempts', {
        'run_id': 'text',
        'test_index': 'integer',
        'attempt': 'integer',
        'status': 'text',
        'message': 'text',
        'type': 'text',
        'duration_ms': 'double precision',
    }) }}

),

renamed as (

    select
        -- ids
        run_id,
        test_index,
        attempt,

        -- text
        status,
        message as failure_message,
        type as failure_type,

        -- numerics
        duration_ms
    from source

)

select * from renamed
