{{ scope_dimension('reports', 'report_source') }}
