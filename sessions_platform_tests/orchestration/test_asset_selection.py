"""Links to a stream's assets select them whatever their keys begin with, and nobody else's."""

import dagster as dg

from sessions_platform.contracts.asset_selection import keys_of


def test_a_streams_assets_are_selected_whatever_their_keys_begin_with() -> None:
    own = ["shop/sessions", "shop/raw_events", "analytics/web/shop/sessions"]
    others = ["workshop/sessions", "shop_too/sessions", "shop", "analytics/shop"]
    graph = dg.Definitions(assets=[dg.AssetSpec(key.split("/")) for key in [*own, *others]]).resolve_asset_graph()
    selected = dg.AssetSelection.from_string(keys_of("shop")).resolve(graph)
    assert {key.to_user_string() for key in selected} == set(own)
