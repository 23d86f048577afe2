{#- What a name of a test has in common from run to run: e-mail addresses, UUIDs, hexadecimal
    IDs, times and numbers are tokens. `Order 4711 is paid` is one test, whatever the order. Null stays null. -#}
{% macro normalised_name(name) -%}
    {%- set month = '(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*' -%}
    {%- set clock = '\\d\\d?:\\d\\d(:\\d\\d([.,]\\d+)?)?' -%}
    {%- set zone = '(z|( ?(gmt|utc))?( ?[+-]\\d\\d:?\\d\\d)?)' -%}
    {%- set time = [
        '\\m\\d{4}-\\d\\d-\\d\\d([t ]' ~ clock ~ zone ~ ')?(?!\\w)',
        '(\\m(mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?\\m(\\d\\d? )?' ~ month
        ~ ' (\\d\\d?,? )?\\d{4}( ' ~ clock ~ zone ~ ')?(?!\\w)',
        '\\m' ~ clock ~ zone ~ '(?!\\w)',
    ] | join('|') -%}
    {%- set steps = [
        ('\\m[a-z0-9][a-z0-9._%+-]*@([a-z0-9-]+\\.)+[a-z]{2,}\\M', '<e-mail>'),
        ('\\m[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\M', '<uuid>'),
        (time, '<time>'),
        ('\\m0x[0-9a-f]+\\M|\\m(?=[a-f]*\\d)(?=\\d*[a-f])[0-9a-f]{7,}\\M', '<hex>'),
        ('\\d+([.,]\\d+)*', '<number>'),
    ] -%}
    {%- for _ in steps %}regexp_replace({% endfor -%}
    {{ name }}
    {%- for pattern, token in steps -%}
    , '{{ pattern }}', '{{ token }}', 'gi')
    {%- endfor -%}
{%- endmacro %}
