{#- Key of what `parts` (SQL expressions) name together: md5 of their JSON array, 32 hex digits.
    JSON quotes and escapes, so that no two lists of parts read the same, and it distinguishes null from
    the empty text. -#}
{% macro surrogate_key(parts) -%}
    md5(json_build_array({{ parts | join(', ') }})::text)
{%- endmacro %}
