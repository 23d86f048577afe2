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

-- name: windows_read_again
-- Windows that backfills have read, each with its scopes; those not settled for a minute are left
-- for later, since Dagster marks its own ones within seconds.
select
    loads.source,
    loads.window_from as since,
    coalesce(loads.window_to, min(loads.started_at)) as until,
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

-- name: loaded_until
-- Until when the runs of all these scopes are loaded; null: one of them never was.
with loaded as (
    select
        scope,
        max(started_at) as started_at
    from ingest.loads
    where source = %(source)s and kind = 'incremental' and outcome = 'succeeded'
    group by scope
)

select case when count(*) = count(loaded.scope) then min(loaded.started_at) end as loaded_until
from unnest(%(scopes)s::text[]) as scopes (scope) -- noqa: RF02
left join loaded on scopes.scope = loaded.scope;

-- name: last_backfill
-- When the last backfill, or repeated parsing of rejected records, ended after a time (null: none
-- has), and whether another is under way; one that was killed is not waited for longer than a day.
select
    max(finished_at) filter (where finished_at > %(after)s::timestamptz) as finished_at,
    coalesce(
        bool_or(outcome = 'running' and started_at > now() - interval '1 day'), false
    ) as is_running
from ingest.loads
where kind <> 'incremental';

-- name: build_inputs
-- What the models are built of, beside the raw tables: the project, the day, the
-- reconciliations owners, names and addresses.
select
    concat_ws(
        ' ',
        %(project)s::text,
        (now() at time zone %(timezone)s)::date,
        (select concat(count(*), ' ', max(checked_at)) from ingest.reconciliations),
        (
            select md5(string_agg(rules::text, ' ' order by rules.line))
            from ingest.ownership as rules
        ),
        (select md5(string_agg(names::text, ' ' order by names.line)) from ingest.names),
        (select string_agg(api_url, ' ' order by system) from ingest.addresses)
    ) as inputs;

-- name: changing_tables
-- Raw tables that say when a row last changed. `loaded_at` of a run changes with anything that
-- belongs to it.
select
    table_schema,
    table_name
from information_schema.columns
where column_name = 'loaded_at' and starts_with(table_schema, 'raw_')
order by table_schema, table_name;

-- name: built_tables
-- The tables that stand. A view holds nothing, so that it may have been made anew, as by a build of
-- that model alone.
select
    md5(
        string_agg(
            case relkind when 'v' then '' else relfilenode::text end || relname,
            ' ' order by relname
        )
    ) as built_tables
from pg_class
where relnamespace in ('marts'::regnamespace, 'staging'::regnamespace);

-- name: standing_views
-- The views that stand, each with the transaction that made it what it is.
select
    md5(
        string_agg(
            concat_ws(' ', classes.relnamespace, classes.relname, rules.xmin),
            ' ' order by classes.relnamespace, classes.relname
        )
    ) as standing_views
from pg_class as classes
inner join pg_rewrite as rules on classes.oid = rules.ev_class
where
    classes.relkind = 'v'
    and classes.relnamespace::regnamespace::text in ('staging', 'marts', 'bi');

-- name: last_build
-- What the last complete build was built of.
select
    fingerprint,
    views,
    built_at
from ingest.builds
order by build_id desc
limit 1;

-- name: save_build
-- A complete build has ended.
insert into ingest.builds (fingerprint, views)
values (%(fingerprint)s, %(views)s);

-- name: owners
-- Each scope as messages name it, with its name and whom it belongs to, as far as that is known.
select
    system || ' ' || scope_id as place,
    case when scope not in (scope_id, 'project ' || scope_id) then scope end as scope_name,
    nullif(owner, 'no owner') as owner,
    channel
from bi.scopes;
