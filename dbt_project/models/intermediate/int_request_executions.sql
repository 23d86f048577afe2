-- Which request of its collection each execution is, and whether it repeats the one before it. All
-- is worked out run by run, so that a look at one run costs one run.
select
    runs.test_run_key,
    executions.*,
    case
        when runs.item_ids_recur and executions.execution_id is not null
            then {{ surrogate_key([
                "'item ID'", 'runs.collection_or_project_id', 'executions.execution_id'
            ]) }}
        else {{ surrogate_key([
            "'item name'",
            'runs.collection_or_project_id',
            'executions.item_name',
            'executions.item_occurrence',
        ]) }}
    end as request_key
from {{ ref('int_test_run_statuses') }} as runs
cross join
    lateral (  -- noqa: ST05
        with listed as (
            select
                sent.execution_index,
                sent.execution_id,
                sent.iteration,
                sent.item_name,
                runs.repeated_executions @> to_jsonb(sent.execution_index) as is_repeat,
                sent.is_answered,
                sent.request_method,
                sent.request_url,
                sent.request_host,
                sent.response_status_code,
                sent.response_time_ms,
                sent.response_size_bytes,
                sent.script_errors,
                min(sent.execution_index) over (
                    partition by sent.item_name, sent.execution_id
                ) as first_of_item
            from {{ ref('stg_postman__executions') }} as sent
            where sent.run_id = runs.run_id
        )

        select
            listed.*,
            dense_rank() over (
                partition by listed.item_name order by listed.first_of_item
            )::integer as item_occurrence
        from listed
    ) as executions
where runs.system = 'postman'
