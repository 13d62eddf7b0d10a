"""A Dagster project with a dbt project downstream of a stream's sessions; prints what each model depends on.

It runs in the environment that has dagster-dbt: `python project_with_dbt.py STREAMS MANIFEST`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import (  # pyright: ignore[reportMissingImports] - it is in that environment alone
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliResource,
    dbt_assets,
)

import sessions_platform

# Two models read two tables that one asset makes.
TRANSLATOR = DagsterDbtTranslator(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))


@dbt_assets(manifest=Path(sys.argv[2]), dagster_dbt_translator=TRANSLATOR)
def models(context: dg.AssetExecutionContext, dbt: DbtCliResource) -> Any:
    yield from dbt.cli(["build"], context=context).stream()


folder = Path(sys.argv[2]).parents[1]
dbt_itself = DbtCliResource(project_dir=str(folder), profiles_dir=str(folder.parent))
definitions = dg.Definitions.merge(
    sessions_platform.definitions_for(sys.argv[1], key_prefix="lake"),
    dg.Definitions(assets=[models], resources={"dbt": dbt_itself}),  # pyright: ignore[reportArgumentType]
)
graph = definitions.resolve_asset_graph()
upstream = {
    key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
    for key in graph.get_all_asset_keys()
}
made = sorted(key.to_user_string() for key in graph.materializable_asset_keys)
print(json.dumps({"upstream": upstream, "made": made}))  # noqa: T201
