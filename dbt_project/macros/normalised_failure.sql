{#- What the messages of one kind of failure have in common: what changes from night to night is a
    token, stack lines are gone, white space is one blank. Empty where there is no message. Of long
    messages only the beginning is compared (vars failure_message_characters and, of what is left of
    it, failure_compared_characters): a message may quote a whole response.

    HTTP status codes stay: 500, 503 and 304 are three reasons. A number is a status code if it is a
    registered one and the message or the assertion's name is about an answer, or names nothing but
    codes; not where it is compared as a quantity (below, at most, ms).

    Each step works on what the one before it left, so their order matters: URLs hold UUIDs, times
    hold numbers, and quotes hold anything. (\u0027 is the single quote.) -#}
{% macro normalised_failure(message, name) -%}
    {%- set code = [
        '10[0-3]', '20[0-8]', '226', '30[0-8]', '40\\d', '41[0-8]', '42[1-689]', '431', '451', '499',
        '50[0-8]', '51[01]', '52[0-7]',
    ] | join('|') -%}
    {%- set number = '\\d+([.,]\\d+)*' -%}
    {%- set other_number
        = '(?<!\\d)(?<!\\d[.,])(?!(' ~ code ~ ')(?!\\d|[.,]\\d))' ~ number -%}
    {%- set about_answer = 'status|code|http|respon[sd]|gateway|server|service' -%}
    {%- set quantity
        = 'below|above|at (least|most)|(less|greater|more|fewer) than|within|\\d ?m?s\\M|seconds' -%}
    {#- terminals' colours, also as tools write the escape where they may not -#}
    {%- set compared = "regexp_replace(left(" ~ message ~ ", " ~ var('failure_message_characters')
        ~ "), '([\\u001b\\ufffd]|#x1b)\\[[0-9;]*[a-z]', '', 'gi')" -%}
    {%- set names_codes -%}
    {{ compared }} !~* '{{ quantity }}'
        and (
            concat_ws(' ', {{ compared }}, {{ name }}) ~* '{{ about_answer }}'
            or {{ compared }} !~ '{{ other_number }}'
        )
    {%- endset -%}
    {%- set month = '(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*' -%}
    {%- set clock = '\\d\\d?:\\d\\d(:\\d\\d([.,]\\d+)?)?' -%}
    {%- set zone = '(z|( ?(gmt|utc))?( ?[+-]\\d\\d:?\\d\\d)?)' -%}
    {%- set stack_line = [
        '[ \\t]+at .*',
        'at .*(\\.\\w+:\\d+(:\\d+)?\\)?|\\(native[^)]*\\))[ \\t\\r]*',
        '[ \\t]*file ".*", line \\d+.*',
        'traceback \\(most recent call last\\):',
        '[ \\t]*\\.\\.\\. \\d+ more[ \\t\\r]*',
    ] | join('|') -%}
    {%- set time = [
        '\\m\\d{4}-\\d\\d-\\d\\d([t ]' ~ clock ~ zone ~ ')?(?!\\w)',
        '(\\m(mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?\\m(\\d\\d? )?' ~ month
        ~ ' (\\d\\d?,? )?\\d{4}( ' ~ clock ~ zone ~ ')?(?!\\w)',
        '\\m' ~ clock ~ zone ~ '(?!\\w)',
    ] | join('|') -%}
    {%- set steps = [
        ('^(' ~ stack_line ~ ')$', 'in', ''),
        ('\\m[a-z][a-z0-9+.-]*://[^\\s\\u0027"`<>]+', 'i', '<url>'),
        ('\\m[a-z0-9][a-z0-9._%+-]*@([a-z0-9-]+\\.)+[a-z]{2,}\\M', 'i', '<e-mail>'),
        ('\\m[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\M', 'i', '<uuid>'),
        (time, 'i', '<time>'),
        ('["\\u0027`](' ~ code ~ ')["\\u0027`]', '', '\\1'),
        ('(?<!\\w)("[^"\\n]*"|\\u0027[^\\u0027\\n]*\\u0027|`[^`\\n]*`)(?!\\w)', '', '<value>'),
        (
            '\\m0x[0-9a-f]+\\M|\\m(?=[a-f]*\\d)(?=\\d*[a-f])[0-9a-f]{7,}\\M',
            'i',
            '<hex>'
        ),
        (none, '', '<number>'),
        ('\\s+', '', ' '),
    ] -%}
    coalesce(left(btrim(
    {%- for _ in steps %} regexp_replace({% endfor -%}
    {{ compared }}
    {%- for pattern, flags, token in steps -%}
    ,
    {% if pattern is none -%}
    case when {{ names_codes }} then '{{ other_number }}' else '{{ number }}' end
    {%- else -%}
    '{{ pattern }}'
    {%- endif %}, '{{ token }}', 'g{{ flags }}')
    {%- endfor -%}
    ), {{ var('failure_compared_characters') }}), '')
{%- endmacro %}


{#- Key of what a result failed of: its message and what was asserted. "expected false to be truthy"
    says something only together with the assertion. -#}
{% macro failure_key(message, name) -%}
    {{ surrogate_key([normalised_failure(message, name), normalised_name(name)]) }}
{%- endmacro %}
