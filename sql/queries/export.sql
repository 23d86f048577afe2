-- What `testruns export` writes. One block a query, found by its name.

-- name: marts
-- Every mart with its columns in their order, and the columns of a unique index, or else all.
with marts as (
    select
        oid,
        relname::text as name
    from pg_class
    where relnamespace = 'marts'::regnamespace and relkind in ('r', 'v', 'm')
),

keys as (
    select distinct on (indexes.indrelid)
        indexes.indrelid,
        array_agg(attributes.attname::text order by places.place) as key
    from pg_index as indexes
    cross join lateral unnest(indexes.indkey) with ordinality as places (attnum, place)
    inner join pg_attribute as attributes
        on indexes.indrelid = attributes.attrelid and places.attnum = attributes.attnum
    where indexes.indisunique
    group by indexes.indrelid, indexes.indexrelid
    order by indexes.indrelid, indexes.indexrelid
)

select
    marts.name,
    array_agg(attributes.attname::text order by attributes.attnum) as columns,
    array_agg(
        format_type(attributes.atttypid, attributes.atttypmod) order by attributes.attnum
    ) as types,
    coalesce(
        keys.key, array_agg(attributes.attname::text order by attributes.attnum)
    ) as key
from marts
inner join pg_attribute as attributes
    on marts.oid = attributes.attrelid and attributes.attnum > 0 and not attributes.attisdropped
left join keys on marts.oid = keys.indrelid
group by marts.name, keys.key
order by marts.name;
