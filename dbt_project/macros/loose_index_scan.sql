{#- Relation: every value of `column` in `relation`, once. It hops from key to key in an index that
    begins with the column, and so costs by keys and not by rows. Null is no key. -#}
{% macro loose_index_scan(relation, column) -%}
    (
        with recursive hops as (
            (
                select first_row.{{ column }}
                from {{ relation }} as first_row
                where first_row.{{ column }} is not null
                order by first_row.{{ column }}
                limit 1
            )
            union all
            select next_key.{{ column }}
            from hops
            cross join lateral (
                select next_row.{{ column }}
                from {{ relation }} as next_row
                where next_row.{{ column }} > hops.{{ column }}
                order by next_row.{{ column }}
                limit 1
            ) as next_key
        )

        select hops.{{ column }}
        from hops
    )
{%- endmacro %}
