{{ scope_dimension('postman', 'collection_id', 'collection_name', 'collection_name') }}
