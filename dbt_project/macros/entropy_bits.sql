{#- Shannon entropy of passing and failing where `hits` of `trials` passed, in bits: 0 for a test
    that always does the same, 1 for a coin; null without trials. -#}
{% macro entropy_bits(hits, trials) -%}
    case
        when {{ hits }} in (0, {{ trials }}) then 0 * nullif({{ trials }}, 0)
        else -(
            {{ hits }} * ln({{ hits }}::double precision / {{ trials }})
            + ({{ trials }} - {{ hits }})
            * ln(({{ trials }} - {{ hits }})::double precision / {{ trials }})
        ) / ({{ trials }} * ln(2::double precision))
    end
{%- endmacro %}
