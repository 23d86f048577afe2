-- The same rule, whatever the statistics say: where most runs hold one request, a run of 20,000 was
-- taken for one row, and its two halves were joined by comparing each row with each.
create or replace function ingest.repeated_executions(of_run_id text)
returns table (execution_index integer)
language sql
stable
parallel safe
as $$
    with surplus as materialized (
        select
            (
                select count(*)
                from raw_postman.assertions as counted
                where counted.run_id = held.run_id
            ) - held.assertions_total as assertions
        from raw_postman.collection_runs as held
        where held.run_id = of_run_id
    ),

    own as materialized (
        select
            listed.execution_index,
            count(*) as assertions,
            jsonb_agg(
                jsonb_build_array(listed.name, listed.passed, listed.error, listed.extra)
                order by listed.assertion_index
            ) as content
        from raw_postman.assertions as listed
        where
            listed.run_id = of_run_id
            and (select surplus.assertions from surplus) > 0
        group by listed.execution_index
    ),

    executions as (
        select
            sent.execution_index,
            sent.execution_id,
            jsonb_build_array(
                sent.execution_id,
                sent.request_method,
                sent.request_url,
                sent.response_status_code,
                sent.response_time_ms,
                sent.response_size_bytes,
                sent.extra -> 'request',
                sent.extra -> 'response',
                sent.extra -> 'iteration',
                sent.extra -> 'httpRequestId'
            ) as fields
        from raw_postman.executions as sent
        where
            sent.run_id = of_run_id
            and (select surplus.assertions from surplus) > 0
    ),

    compared as (
        select
            executions.execution_index,
            coalesce(own.assertions, 0) as assertions,
            executions.execution_id is not null
            and lag(executions.execution_index) over in_order = executions.execution_index - 1
            and lag(executions.fields) over in_order = executions.fields
            and lag(own.content) over in_order is not distinct from own.content as is_equal
        from executions
        -- Each execution has a row, its assertions or none: `full` for what Postgres joins by hash or
        -- merge alone.
        full join own on executions.execution_index = own.execution_index
        window in_order as (order by executions.execution_index)
    ),

    equal as (
        select
            compared.execution_index,
            compared.assertions,
            sum(compared.assertions) over (
                order by compared.execution_index
            ) as assertions_up_to_here
        from compared
        where compared.is_equal
    )

    -- At most as many as explain the surplus, the first ones first.
    select equal.execution_index
    from equal
    cross join surplus
    where
        equal.assertions_up_to_here - equal.assertions < surplus.assertions
        and equal.assertions_up_to_here <= surplus.assertions
$$;
