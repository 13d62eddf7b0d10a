"""A view of the lake files that contain current rows: the one place that says which these are."""

from alembic import op

revision = "0011"
down_revision = "0010"

# Sessionized events that are written and not loaded yet are current as well: the next load needs them. Readers don't.
_VIEW = """
create view sessions_platform.current_files as
select stream, 'raw_events' as asset, landing_partition as partition, path, sum(rows)::bigint as rows,
    max(bytes) as bytes, max(sequence) as version, true as is_loaded
from sessions_platform.landing_files where path is not null
group by stream, landing_partition, path
union all
select stream, 'events', landing_partition, events_path, accepted, null, version, true
from sessions_platform.landing_versions where is_current
union all
select stream, 'rejected_events', landing_partition, rejected_path, coalesce(rejected_stretches, rejected), null,
    version, true
from sessions_platform.landing_versions where is_current
union all
select stream, 'sessionized_events', session_partition, path, rows, bytes, version, is_current
from (
    select *, row_number() over (partition by stream, session_partition order by snapshot desc, version desc) as place
    from sessions_platform.session_versions
) as written where is_current or place = 1"""


def upgrade() -> None:
    """Make the view."""
    op.execute(_VIEW)
