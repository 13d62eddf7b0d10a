"""The table of enrichments: which there are, and which columns they add to the events of a stream that names them.

An enrichment computes further columns of an accepted event from its own columns, such as the browser of a user
agent. To add one, write the model of its keys (a subclass of `enrichment.EnrichmentConfig`), add it to `ENRICHMENTS`,
and write its implementation (one file in `transforms.enrich`, see the protocol in `transforms.enrich.base`). When
enrichments are applied is in `pipeline.enrich`. Nothing here imports an implementation: a model names it by an import
string, which `transforms.enrich.registry` resolves.

Enriched columns are stored with the event and may be used by the session rule and the sessions table. They never
decide whether two events conflict: only the contract's columns do.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.contracts.issues import Issue, Raw, mapping
from sessions_platform.contracts.values import INVALID, invalid, shown
from sessions_platform.contracts.web_enrichments import Campaign, Channel, Referrer, UserAgent

# In an order in which each can read what those before it add.
ENRICHMENTS: dict[str, type[EnrichmentConfig]] = {
    "user_agent": UserAgent,
    "referrer": Referrer,
    "campaign": Campaign,
    "channel": Channel,
}


def _validated(raw: Any) -> dict[str, EnrichmentConfig]:
    keys = TypeAdapter(dict[str, Any]).validate_python(raw)
    problems: list[InitErrorDetails] = []
    configs: dict[str, EnrichmentConfig] = {}
    for name, value in keys.items():
        if name not in ENRICHMENTS:
            fix = f"name one of {', '.join(ENRICHMENTS)}" if ENRICHMENTS else "remove it"
            reason = invalid(f"there is no enrichment {shown(name)}", fix)
            problems.append(InitErrorDetails(type=reason, loc=(name,), input=value))
            continue
        try:
            configs[name] = value if isinstance(value, EnrichmentConfig) else ENRICHMENTS[name].model_validate(value)
        except ValidationError as error:
            problems += _located(error, name)
    if problems:
        raise ValidationError.from_exception_data("enrich", problems)
    return configs


def _located(error: ValidationError, name: str) -> Iterator[InitErrorDetails]:
    """The details of an error, as those of a value below `name`."""
    for each in error.errors():
        context = each.get("ctx", {})
        kind = invalid(context["reason"], context["fix"]) if each["type"] == INVALID else each["type"]
        yield InitErrorDetails(type=kind, loc=(name, *each["loc"]), input=each["input"], ctx=context)


class _ByName:
    """A mapping of the models in `ENRICHMENTS`, as the table is when a stream is read."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validated, serialization=core_schema.plain_serializer_function_ser_schema(enrichment_versions)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        fields = {}
        for name, model in ENRICHMENTS.items():
            model.model_rebuild()
            fields[name] = handler(model.__pydantic_core_schema__)
        return {"type": "object", "properties": fields, "additionalProperties": False}


Enrichments = Annotated[dict[str, EnrichmentConfig], _ByName]


def enriched_columns(enrich: Mapping[str, EnrichmentConfig]) -> dict[str, ColumnType]:
    """The columns that these enrichments add, in their order."""
    return {column: kind for config in enrich.values() for column, kind in config.adds.items()}


def enrichment_versions(enrich: Mapping[str, EnrichmentConfig]) -> dict[str, Any]:
    """What decides the values of each of these enrichments; part of the stream's contract version."""
    return {name: config.version for name, config in enrich.items()}


def added_by(enrich: Any) -> dict[str, ColumnType]:
    """The columns that the enrichments of a stream's file add, whatever else is wrong with them."""
    return {column: kind for name in _known(enrich) for column, kind in ENRICHMENTS[name].adds.items()}


def _known(enrich: Any) -> Iterable[str]:
    return [name for name in enrich if name in ENRICHMENTS] if isinstance(enrich, dict) else []


def enrichment_issues(enrich: Any, columns: Raw) -> Iterator[Issue]:
    """Issues between enrichments and the columns that they read and add.

    Args:
        enrich: the key `enrich`, as YAML has read it.
        columns: the stream's columns by name, each as YAML has read it.
    """
    kinds = {name: mapping(columns, name).get("type", "string") for name in columns}
    kinds |= {"event_id": "string", "event_timestamp": "timestamp"}
    for name in _known(enrich):
        for column in ENRICHMENTS[name].adds:
            if column in kinds:
                reason = f"{name} adds the column {column}, which there is already"
                yield Issue(("enrich", name), reason, "rename the column, or remove the enrichment")
        yield from _reading_issues(name, enrich[name], kinds)
        kinds |= {column: kind.value for column, kind in ENRICHMENTS[name].adds.items()}


def _reading_issues(name: str, keys: Any, kinds: Mapping[str, Any]) -> Iterator[Issue]:
    try:
        reads = ENRICHMENTS[name].model_validate(keys).reads
    except ValidationError:
        return  # which is reported by itself
    missing = [column for column in reads if column not in kinds]
    makers = [maker for maker, model in ENRICHMENTS.items() if set(missing) & set(model.adds)]
    if makers:
        named = " and ".join(makers)
        yield Issue(("enrich", name), f"it reads what {named} would add", f"write {named} before it")
    elif missing:
        reason = f"there is no column {missing[0]!r} to read from"
        yield Issue(("enrich", name), reason, f"add it to columns, or write {name}: {{from: COLUMN}}")
    for column in (column for column in reads if kinds.get(column, "string") != "string"):
        yield Issue(("enrich", name), f"{column} is no text, but of type {kinds[column]}", "name a column of text")
