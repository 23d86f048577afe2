-- What the pages of Dagster's assets show. One block a query, found by its name.

-- name: columns
-- Columns of these tables in their order, with type, nullability and comment.
select
    namespaces.nspname || '.' || classes.relname as table_name,
    attributes.attname as column_name,
    format_type(attributes.atttypid, attributes.atttypmod) as type_name,
    not attributes.attnotnull as is_nullable,
    col_description(classes.oid, attributes.attnum) as comment
from pg_attribute as attributes
inner join pg_class as classes on attributes.attrelid = classes.oid
inner join pg_namespace as namespaces on classes.relnamespace = namespaces.oid
where
    namespaces.nspname || '.' || classes.relname = any(%(tables)s)
    and attributes.attnum > 0
    and not attributes.attisdropped
order by classes.oid, attributes.attnum;

-- name: last_written
-- The last load that wrote to each table of a source.
select
    written.table_name,
    max(loads.load_id) as load_id
from ingest.loads as loads
cross join lateral jsonb_each_text(loads.rows_written) as written (table_name, rows_written)
where loads.source = %(source)s and written.rows_written <> '0' -- noqa: RF02
group by written.table_name;

-- name: runs_by_day
-- Runs of each of the last 30 days (UTC) by when they were opened.
with opened as (
    select
        opened_at::date as day,
        count(*) as runs
    from ingest.run_states
    where source = %(source)s and opened_at >= current_date - 29
    group by opened_at::date
)

select
    days.day::date as day,
    coalesce(opened.runs, 0) as runs
from generate_series(current_date - 29, current_date, interval '1 day') as days (day)
left join opened on days.day::date = opened.day
order by days.day;

-- name: windows_read_again
-- Windows that backfills have read, each with its scopes; those not settled for a minute are left
-- for later, since Dagster tells of its own ones within seconds.
select
    loads.source,
    loads.window_from,
    coalesce(loads.window_to, min(loads.started_at)) as window_until,
    array_agg(distinct loads.scope) as scopes,
    max(loads.finished_at) as read_at
from ingest.loads as loads
where
    loads.kind = 'backfill'
    and loads.outcome = 'succeeded'
    and loads.finished_at < now() - interval '1 minute'
group by loads.source, loads.window_from, loads.window_to
having max(loads.finished_at) > %(after)s::timestamptz
order by read_at;

-- name: build_fingerprint
-- What the models are built of, and the tables that stand: the same again, and a build would change
-- nothing. `loaded_at` of a run changes with anything that belongs to it. A view holds nothing, so
-- that it may have been made anew, as by a build of that model alone.
select
    concat_ws(
        ' ',
        %(project)s::text,
        (now() at time zone %(timezone)s)::date,
        (select max(loaded_at) from raw_postman.collection_runs),
        (select max(loaded_at) from raw_testmo.automation_runs),
        (select max(loaded_at) from raw_testmo.automation_sources),
        (select max(loaded_at) from raw_testmo.configs),
        (select max(loaded_at) from raw_testmo.milestones),
        (select max(loaded_at) from raw_testmo.statuses),
        (select max(loaded_at) from raw_testmo.users),
        (select concat(count(*), ' ', max(checked_at)) from ingest.reconciliations),
        (
            select
                md5(
                    string_agg(
                        case when relkind = 'v' then '' else oid::text end || relname,
                        ' ' order by relname
                    )
                )
            from pg_class
            where relnamespace in ('marts'::regnamespace, 'staging'::regnamespace)
        )
    ) as fingerprint;

-- name: last_build
-- What the last complete build was built of.
select
    fingerprint,
    built_at
from ingest.builds
order by build_id desc
limit 1;

-- name: save_build
-- A complete build has ended.
insert into ingest.builds (fingerprint)
values (%(fingerprint)s);
