"""Which assets of Dagster's UI are a stream's, for links to it; the keys are made in `orchestration/asset_keys.py`."""


def keys_of(stream: str) -> str:
    """Dagster's selection of a stream's assets, whatever their keys begin with.

    The prefix that another project gives by `definitions_for` is in its code alone, so that links name none.
    """
    return f'key:"{stream}/*" or key:"*/{stream}/*"'
