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
