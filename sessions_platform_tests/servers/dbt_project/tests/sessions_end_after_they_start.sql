select session_id
from {{ source(var('source'), 'sessions') }}
where session_end < session_start
