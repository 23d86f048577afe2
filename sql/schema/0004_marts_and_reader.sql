-- The schemas that dbt fills, and a read-only role for BI. Where this login may not create roles,
-- an administrator runs `create role testruns_reader` once; what it may read (sql/reader.sql) is
-- granted at the next start of any command.

create schema if not exists staging;
create schema if not exists marts;

do $$
begin
    if not exists (select from pg_roles where rolname = 'testruns_reader') then
        create role testruns_reader nologin;
    end if;
exception
    when insufficient_privilege then
        raise warning 'role testruns_reader is missing and this login may not create it';
end
$$;
