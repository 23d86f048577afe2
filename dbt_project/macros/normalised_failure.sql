{#- What the messages of one kind of failure have in common: what changes from night to night is a
    token, stack lines are gone, white space is one blank. Empty where there is no message. Of long
    messages only the beginning is compared (vars failure_message_characters and, of what is left of
    it, failure_compared_characters): a message may quote a whole response.

    Each step works on what the one before it left, so their order matters: URLs hold UUIDs, times
    hold numbers, and quotes hold anything. (\u0027 is the single quote.) -#}
{% macro normalised_failure(message) -%}
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
        ('\\m[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\M', 'i', '<uuid>'),
        (time, 'i', '<time>'),
        ('(?<!\\w)("[^"\\n]*"|\\u0027[^\\u0027\\n]*\\u0027|`[^`\\n]*`)(?!\\w)', '', '<value>'),
        (
            '\\m0x[0-9a-f]+\\M|\\m(?=[a-f]*\\d)(?=\\d*[a-f])[0-9a-f]{7,}\\M',
            'i',
            '<hex>'
        ),
        ('\\d+([.,]\\d+)*', '', '<number>'),
        ('\\s+', '', ' '),
    ] -%}
    coalesce(left(btrim(
    {%- for _ in steps %} regexp_replace({% endfor -%}
    left({{ message }}, {{ var('failure_message_characters') }})
    {%- for pattern, flags, token in steps -%}
    , '{{ pattern }}', '{{ token }}', 'g{{ flags }}')
    {%- endfor -%}
    ), {{ var('failure_compared_characters') }}), '')
{%- endmacro %}
