-- Which executions of a Postman run repeat the one before them. Decided here alone: the marts,
-- their counts and ingest.reconciliations all read it.

-- A script that calls pm.sendRequest makes Postman report the item's execution once more. A loop
-- may report equal rows too, and those are real. What the run says of itself tells them apart: a
-- row is a repeat only while the run holds more assertions than it announces.
--
-- The body is a string, so that no column of a raw table depends on it.
create function ingest.repeated_executions(of_run_id text)
returns table (execution_index integer)
language sql
stable
parallel safe
as $$
    with surplus as (
        select
            held.run_id,
            (
                select count(*)
                from raw_postman.assertions as counted
                where counted.run_id = held.run_id
            ) - held.assertions_total as assertions
        from raw_postman.collection_runs as held
        where held.run_id = of_run_id
    ),

    compared as (
        select
            executions.run_id,
            executions.execution_index,
            surplus.assertions as surplus,
            executions.execution_id is not null
            and lag(executions.execution_index) over in_order = executions.execution_index - 1
            and lag(content.fields) over in_order = content.fields as is_equal
        from surplus
        inner join raw_postman.executions as executions on surplus.run_id = executions.run_id
        cross join
            lateral (
                select jsonb_build_array(
                    executions.execution_id,
                    executions.request_method,
                    executions.request_url,
                    executions.response_status_code,
                    executions.response_time_ms,
                    executions.response_size_bytes,
                    executions.extra -> 'request',
                    executions.extra -> 'response',
                    executions.extra -> 'iteration',
                    executions.extra -> 'httpRequestId'
                ) as fields
            ) as content
        where surplus.assertions > 0
        window in_order as (order by executions.execution_index)
    ),

    equal as (
        select
            compared.execution_index,
            compared.surplus,
            own.number as assertions,
            sum(own.number) over (order by compared.execution_index) as assertions_up_to_here
        from compared
        cross join
            lateral (
                select
                    count(*) filter (where listed.execution_index = compared.execution_index)
                        as number,
                    jsonb_agg(listed.content order by listed.assertion_index)
                    filter (where listed.execution_index = compared.execution_index) as content,
                    jsonb_agg(listed.content order by listed.assertion_index)
                    filter (where listed.execution_index = compared.execution_index - 1)
                        as content_before
                from (
                    select
                        both_rows.execution_index,
                        both_rows.assertion_index,
                        jsonb_build_array(
                            both_rows.name, both_rows.passed, both_rows.error, both_rows.extra
                        ) as content
                    from raw_postman.assertions as both_rows
                    where
                        both_rows.run_id = compared.run_id
                        and both_rows.execution_index
                        between compared.execution_index - 1 and compared.execution_index
                ) as listed
            ) as own
        where compared.is_equal and own.content is not distinct from own.content_before
    )

    -- At most as many as explain the surplus, the first ones first.
    select equal.execution_index
    from equal
    where
        equal.assertions_up_to_here - equal.assertions < equal.surplus
        and equal.assertions_up_to_here <= equal.surplus
$$;
comment on function ingest.repeated_executions(text) is
'Executions of a Postman run that repeat the one before them: equal item ID, request, response,
httpRequestId, iteration and assertions, while the run holds more assertions than it announces.';
comment on column ingest.reconciliations.repeated is
'Rows loaded that repeat the execution before them (ingest.repeated_executions).';
