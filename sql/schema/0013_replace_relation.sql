-- How dbt's models are replaced (dbt_project/macros/replace_relation.sql), so that what people
-- build on them stays: views, grants, policies and indexes, of whatever owner.

create function ingest.rights_of(relation regclass, like_relation regclass default null)
returns text
language sql
stable
set search_path = pg_catalog
as $$
    select
        format('alter table %s owner to %I;', relation, pg_get_userbyid(owned.relowner))
        -- what default privileges give to a relation that is made anew
        || coalesce((
            select string_agg(format('revoke all on %s from %s;', relation, names.grantee), '')
            from pg_default_acl as defaults
            cross join lateral aclexplode(defaults.defaclacl) as items
            cross join lateral (
                select case items.grantee when 0 then 'public' else items.grantee::regrole::text end
            ) as names (grantee)
            where defaults.defaclobjtype = 'r' and items.grantee <> owned.relowner
        ), '')
        || coalesce((
            select string_agg(
                format(
                    'grant %s%s on %s to %s%s;',
                    items.privilege_type,
                    ' (' || quote_ident(held.column_name) || ')',
                    relation,
                    case items.grantee when 0 then 'public' else items.grantee::regrole::text end,
                    case when items.is_grantable then ' with grant option' end
                ), ''
            )
            from (
                select owned.relacl as acl, null as column_name
                union all
                select attributes.attacl, attributes.attname
                from pg_attribute as attributes
                where
                    attributes.attrelid = relation
                    and (
                        like_relation is null
                        or exists (
                            select from pg_attribute as others
                            where
                                others.attrelid = like_relation
                                and others.attname = attributes.attname
                        )
                    )
            ) as held
            cross join lateral aclexplode(held.acl) as items
            where items.grantee <> owned.relowner
        ), '')
    from pg_class as owned
    where owned.oid = relation
$$;
comment on function ingest.rights_of(regclass, regclass) is
'Statements that give a relation of this name the owner and the grants of this one; grants on
columns as far as the other relation has them.';


create function ingest.views_on(relation regclass, columns smallint[] default null)
returns table (view_name text, owner text, drop_it text, make_it text, make_it_empty text)
language sql
stable
set search_path = pg_catalog
as $$
    with recursive dependents as (
        select
            rules.ev_class::regclass as view_id,
            1 as depth
        from pg_depend as uses
        inner join pg_rewrite as rules
            on uses.classid = 'pg_rewrite'::regclass and uses.objid = rules.oid
        where
            uses.refclassid = 'pg_class'::regclass
            and uses.refobjid = relation
            and rules.ev_class <> relation
            and (columns is null or uses.refobjsubid = any(columns))
        union
        select
            rules.ev_class,
            dependents.depth + 1
        from dependents
        inner join pg_depend as uses
            on uses.refclassid = 'pg_class'::regclass and uses.refobjid = dependents.view_id
        inner join pg_rewrite as rules
            on uses.classid = 'pg_rewrite'::regclass and uses.objid = rules.oid
        where rules.ev_class <> dependents.view_id
    ),

    views as (
        select
            dependents.view_id,
            max(dependents.depth) as depth,
            case relations.relkind when 'm' then 'materialized view' else 'view' end as kind,
            relations.relowner,
            relations.reloptions,
            relations.relkind = 'm' and not relations.relispopulated as is_unpopulated
        from dependents
        inner join pg_class as relations on dependents.view_id = relations.oid
        group by dependents.view_id, relations.oid
    )

    select
        views.view_id::text,
        pg_get_userbyid(views.relowner)::text,
        format('drop %s %s', views.kind, views.view_id),
        format(
            'create %s %s%s as %s%s;',
            views.kind,
            views.view_id,
            ' with (' || array_to_string(views.reloptions, ', ') || ')',
            rtrim(pg_get_viewdef(views.view_id), ';'),
            case when views.is_unpopulated then ' with no data' end
        )
        || ingest.rights_of(views.view_id)
        || coalesce((
            select string_agg(rtrim(parts.statement, ';') || ';', '')
            from (
                select pg_get_indexdef(indexrelid) from pg_index where indrelid = views.view_id
                union all
                select pg_get_triggerdef(oid) from pg_trigger
                where tgrelid = views.view_id and not tgisinternal
                union all
                select pg_get_ruledef(oid) from pg_rewrite
                where ev_class = views.view_id and rulename <> '_RETURN'
                union all
                select format('comment on %s %s is %L', views.kind, views.view_id, description)
                from pg_description
                where
                    classoid = 'pg_class'::regclass
                    and objoid = views.view_id
                    and objsubid = 0
                union all
                select
                    format(
                        'comment on column %s.%I is %L',
                        views.view_id,
                        attname,
                        col_description(attrelid, attnum)
                    )
                from pg_attribute
                where attrelid = views.view_id and col_description(attrelid, attnum) is not null
            ) as parts (statement)
        ), ''),
        format(
            'create view %s as select %s where false;',
            views.view_id,
            (
                select string_agg(
                    format('null::%s as %I', format_type(atttypid, atttypmod), attname), ', '
                    order by attnum
                )
                from pg_attribute
                where attrelid = views.view_id and attnum > 0
            )
        )
        || ingest.rights_of(views.view_id)
    from views
    order by views.depth, views.view_id
$$;
comment on function ingest.views_on(regclass, smallint[]) is
'Views on a relation, or on these columns of it, and the views on them, in the order in which they
can be made: statements that drop each, make it as it is now, and make it with its columns alone.';


create function ingest.replace_relation(
    built regclass, schema_name text, relation_name text, models text[]
)
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    target constant text := format('%I.%I', schema_name, relation_name);
    held constant regclass := to_regclass(target);
    -- of both, in this order: r table, v view, m materialized view
    kinds constant text := (
        select string_agg(relkind::text, '' order by oid = built) from pg_class
        where oid in (held, built)
    );
    built_columns constant text := (
        select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
        where attrelid = built and attnum > 0
    );
    held_columns text;
    added_columns text;
    -- columns of `held` that `built` does not have, or has with another type
    changed smallint[];
    stays_in_place boolean;
    views jsonb := '[]';
    rights text;
    statement text;
    view jsonb;
    problem text;
begin
    if held is null then
        execute format('alter table %s rename to %I', built, relation_name);
        return;
    end if;

    select
        string_agg(quote_ident(old.attname), ', ' order by old.attnum),
        array_agg(old.attnum) filter (
            where (old.atttypid, old.atttypmod) is distinct from (new.atttypid, new.atttypmod)
        )
    into held_columns, changed
    from pg_attribute as old
    left join pg_attribute as new on new.attrelid = built and old.attname = new.attname
    where old.attrelid = held and old.attnum > 0 and not old.attisdropped;
    stays_in_place := kinds = 'rr' or kinds = 'vv' and changed is null;

    if not stays_in_place or changed is not null then
        -- models that are replaced at the same time may have views in common
        perform pg_advisory_xact_lock(hashtext('testruns replace_relation'));
        views := (
            select coalesce(jsonb_agg(dependents), '[]')
            from ingest.views_on(held, case when stays_in_place then changed end) as dependents
        );
        for view in
            select item from jsonb_array_elements(views) with ordinality as items (item, place)
            order by place desc
        loop
            begin
                execute view ->> 'drop_it';
            exception when others then
                raise exception
                    'view % (owner %) stands on % and may not be made again for it: %',
                    view ->> 'view_name', view ->> 'owner', target, sqlerrm;
            end;
        end loop;
    end if;

    if kinds = 'rr' then
        execute format('truncate %s', held);
        for statement in
            -- dbt names its indexes by digests; others are people's own
            select format('drop index %s', indexes.oid::regclass)
            from pg_index
            inner join pg_class as indexes on pg_index.indexrelid = indexes.oid
            where pg_index.indrelid = held and indexes.relname ~ '^[0-9a-f]{32}$'
            union all
            select format('alter table %s drop column %I', held, attname)
            from pg_attribute
            where
                attrelid = held
                and attnum = any(changed)
                and attname not in (select attname from pg_attribute where attrelid = built)
            union all
            select
                format(
                    case
                        when old.attnum is null then 'alter table %s add column %I %s'
                        else 'alter table %s alter column %I type %s using null'
                    end,
                    held,
                    new.attname,
                    format_type(new.atttypid, new.atttypmod)
                )
            from pg_attribute as new
            left join pg_attribute as old on old.attrelid = held and new.attname = old.attname
            where
                new.attrelid = built
                and new.attnum > 0
                and (old.attnum is null or old.attnum = any(changed))
        loop
            execute statement;
        end loop;
        for statement in
            select
                format(
                    'alter table %s alter column %I %s not null',
                    held,
                    new.attname,
                    case when new.attnotnull then 'set' else 'drop' end
                )
            from pg_attribute as new
            inner join pg_attribute as old
                on
                    old.attrelid = held
                    and new.attname = old.attname
                    and new.attnotnull <> old.attnotnull
            where new.attrelid = built and new.attnum > 0
        loop
            execute statement;
        end loop;
        execute format(
            'insert into %s (%s) select %2$s from %3$s', held, built_columns, built
        );
        statement := (
            select
                string_agg(
                    replace(
                        pg_get_indexdef(indexrelid),
                        format(' ON %s ', built),
                        format(' ON %s ', held)
                    ),
                    ';'
                )
            from pg_index
            where indrelid = built
        );
        execute format('drop table %s', built);
        if statement is not null then
            execute statement;
        end if;
    elsif stays_in_place then
        select string_agg(', ' || quote_ident(new.attname), '' order by new.attnum)
        into added_columns
        from pg_attribute as new
        where
            new.attrelid = built
            and new.attnum > 0
            and new.attname not in (select attname from pg_attribute where attrelid = held);
        statement := rtrim(pg_get_viewdef(built), ';');
        execute format('drop view %s', built);
        if held_columns <> built_columns then
            statement := format(
                'select %s%s from (%s) as model', held_columns, added_columns, statement
            );
        end if;
        if statement <> rtrim(pg_get_viewdef(held), ';') then
            execute format(
                'create or replace view %s%s as %s',
                held,
                (
                    select ' with (' || array_to_string(reloptions, ', ') || ')' from pg_class
                    where oid = held
                ),
                statement
            );
        end if;
    else
        if exists (select from pg_policy where polrelid = held) then
            raise exception '% has row-level security, and a view in its place has none', target;
        end if;
        rights := ingest.rights_of(held, built);
        execute format(
            'drop %s %s',
            case left(kinds, 1)
                when 'r' then 'table'
                when 'v' then 'view'
                else 'materialized view'
            end,
            held
        );
        execute format('alter table %s rename to %I', built, relation_name);
        execute rights;
    end if;

    for view in
        select item from jsonb_array_elements(views) with ordinality as items (item, place)
        order by place
    loop
        begin
            execute view ->> 'make_it';
        exception when others then
            problem := sqlerrm;
            if view ->> 'view_name' = any(models) then
                -- dbt is about to build it anew
                execute view ->> 'make_it_empty';
            else
                raise exception
                    'view % (owner %) stands on % and cannot be made again for it: %',
                    view ->> 'view_name', view ->> 'owner', target, problem;
            end if;
        end;
    end loop;
end
$$;
comment on function ingest.replace_relation(regclass, text, text, text[]) is
'Gives a relation the content and columns of another, which is dropped; what stands on it stays.';
