{{ scope_dimension('testmo', 'project_id', 'project_name') }}
