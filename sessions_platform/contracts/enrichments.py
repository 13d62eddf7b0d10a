"""The table of enrichments: which there are, and which columns they add to the events of a stream that names them.

An enrichment computes further columns of an accepted event from its own columns, such as the browser of a user
agent. To add one, write the model of its keys (a subclass of `enrichment.EnrichmentConfig`), add it to `ENRICHMENTS`,
and write its implementation (one file in `transforms.enrich`, see the protocol in `transforms.enrich.base`). When
enrichments are applied is in `pipeline.enrich`. Nothing here imports an implementation: a model names it by an import
string, which `transforms.enrich.registry` resolves.

Enriched columns are stored with the event and may be used by the session rule and the sessions table. They never
decide whether two events conflict: only the contract's columns do.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.data_files import UnusableFileError
from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.contracts.issues import Issue, KeyPath, Raw, mapping
from sessions_platform.contracts.model_table import ModelTable
from sessions_platform.contracts.values import INVALID, invalid, shown

# In an order in which each can read what those before it add.
_IN = "sessions_platform.contracts"
ENRICHMENTS: ModelTable[EnrichmentConfig] = ModelTable(
    {
        "user_agent": f"{_IN}.web_enrichments:UserAgent",
        "referrer": f"{_IN}.web_enrichments:Referrer",
        "campaign": f"{_IN}.web_enrichments:Campaign",
        "channel": f"{_IN}.web_enrichments:Channel",
        "geo": f"{_IN}.geo:Geo",
        "lookup": f"{_IN}.lookups:Lookup",
        "python": f"{_IN}.own_function:OwnFunction",
    }
)

_NONE_LISTED = invalid("it lists none, and so adds nothing", "list one or more, or remove it")


def _stated(enrich: Mapping[str, Any]) -> Iterator[tuple[str, KeyPath, Any]]:
    """Name, place below `enrich` and keys of each enrichment: those of a list are named lookup, lookup_2 and so on.

    A place is the kind, and the number, from 1, where there is a list.
    """
    for kind, keys in enrich.items():
        if _is_list(kind, keys):
            for number, each in enumerate(keys, 1):
                yield f"{kind}_{number}" if number > 1 else kind, (kind, str(number)), each
        else:
            yield kind, (kind,), keys


def _is_list(kind: str, keys: Any) -> bool:
    return isinstance(keys, list) and kind in ENRICHMENTS and ENRICHMENTS[kind].repeats


def _validated(raw: Any, info: ValidationInfo) -> dict[str, EnrichmentConfig]:
    keys = TypeAdapter(dict[str, Any]).validate_python(raw)
    problems: list[InitErrorDetails] = []
    configs: dict[str, EnrichmentConfig] = {}
    for kind in (kind for kind, value in keys.items() if _is_list(kind, value) and not value):
        problems.append(InitErrorDetails(type=_NONE_LISTED, loc=(kind,), input=[]))
    for name, place, value in _stated(keys):
        kind = place[0]
        if isinstance(value, EnrichmentConfig):
            configs[name] = value
        elif kind not in ENRICHMENTS:
            reason = invalid(f"there is no enrichment {shown(kind)}", f"name one of {', '.join(ENRICHMENTS)}")
            problems.append(InitErrorDetails(type=reason, loc=(kind,), input=value))
        else:
            try:
                configs[name] = ENRICHMENTS[kind].model_validate(value, context=info.context)
            except ValidationError as error:
                problems += _located(error, place)
    if problems:
        raise ValidationError.from_exception_data("enrich", problems)
    return configs


def _located(error: ValidationError, place: KeyPath) -> Iterator[InitErrorDetails]:
    """The details of an error, as those of a value at a place below `enrich`."""
    for each in error.errors():
        context = each.get("ctx", {})
        kind = invalid(context["reason"], context["fix"]) if each["type"] == INVALID else each["type"]
        yield InitErrorDetails(type=kind, loc=(*place, *each["loc"]), input=each["input"], ctx=context)


class _ByName:
    """A mapping of the models in `ENRICHMENTS`, as the table is when a stream is read."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _validated, serialization=core_schema.plain_serializer_function_ser_schema(enrichment_versions)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        fields = {}
        for name, model in ENRICHMENTS.items():
            model.model_rebuild()
            one = handler(model.__pydantic_core_schema__)
            fields[name] = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]} if model.repeats else one
        return {"type": "object", "properties": fields, "additionalProperties": False}


Enrichments = Annotated[dict[str, EnrichmentConfig], _ByName]


def enriched_columns(enrich: Mapping[str, EnrichmentConfig]) -> dict[str, ColumnType]:
    """The columns that these enrichments add, in their order."""
    return {column: kind for config in enrich.values() for column, kind in config.added.items()}


def enrichment_versions(enrich: Mapping[str, EnrichmentConfig]) -> dict[str, Any]:
    """What decides the values of each of these enrichments; part of the stream's contract version."""
    return {name: config.version for name, config in enrich.items()}


def added_by(enrich: Any) -> dict[str, ColumnType]:
    """The columns that the enrichments of a stream's file add, whatever else is wrong with them."""
    return {column: type_ for place, keys in _known(enrich) for column, type_ in _added(place[0], keys).items()}


def _known(enrich: Any) -> list[tuple[KeyPath, Any]]:
    """Place and keys of each enrichment that there is."""
    stated = _stated(enrich) if isinstance(enrich, dict) else ()
    return [(place, keys) for _, place, keys in stated if place[0] in ENRICHMENTS]


def _config(kind: str, keys: Any, context: Mapping[str, Path] | None = None) -> EnrichmentConfig | None:
    """None where the keys are not valid, which is reported by itself."""
    try:
        return ENRICHMENTS[kind].model_validate(keys, context=context)
    except ValidationError:
        return None


def _added(kind: str, keys: Any) -> Mapping[str, ColumnType]:
    config = _config(kind, keys)
    return config.added if config else ENRICHMENTS[kind].adds


def enrichment_issues(raw: Raw) -> Iterator[Issue]:
    """Issues between enrichments and the columns that they read and add.

    Args:
        raw: the stream's file as YAML has read it.
    """
    kinds = _kinds_of(mapping(raw, "columns"))
    for place, keys in _known(raw.get("enrich")):
        kind = place[0]
        config = _config(kind, keys)
        if config is None:
            continue
        for column in config.added:
            if column in kinds:
                reason = f"{kind} adds the column {column}, which there is already"
                yield Issue(("enrich", *place), reason, "rename the column, or remove the enrichment")
        yield from _reading_issues(place, config, kinds)
        yield from config.issues(raw)
        kinds |= {column: type_.value for column, type_ in config.added.items()}


def file_issues(raw: Raw, folder: Path, home: Path) -> Iterator[Issue]:
    """Issues of the files that enrichments name.

    Args:
        raw: the stream's file as YAML has read it.
        folder: that relative paths start from.
        home: what ${SESSIONS_HOME} means.
    """
    kinds = _kinds_of(mapping(raw, "columns"))
    for place, keys in _known(raw.get("enrich")):
        config = _config(place[0], keys, {"folder": folder, "home": home})
        try:
            if config:
                config.check_files(kinds)
        except UnusableFileError as unusable:
            yield Issue(("enrich", *place), unusable.reason, unusable.fix)


def _kinds_of(columns: Raw) -> dict[str, Any]:
    """The type of each column that an enrichment may read, as the stream's file states it."""
    kinds = {name: mapping(columns, name).get("type", "string") for name in columns}
    return kinds | {"event_id": "string", "event_timestamp": "timestamp", "landing_partition": "string"}


def _reading_issues(place: KeyPath, config: EnrichmentConfig, kinds: Mapping[str, Any]) -> Iterator[Issue]:
    name, key_path = place[0], ("enrich", *place)
    missing = [column for column in config.reads if column not in kinds]
    makers = [maker for maker, model in ENRICHMENTS.items() if set(missing) & set(model.adds)]
    if makers:
        named = " and ".join(makers)
        yield Issue(key_path, f"it reads what {named} would add", f"write {named} before it")
    elif missing:
        reason = f"there is no column {missing[0]!r} to read from"
        yield Issue(key_path, reason, f"add it to columns, or write {name}: {{from: COLUMN}}")
    readable = [kind.value for kind in config.reads_types]
    of_text = readable == [ColumnType.string.value]
    fix = "name a column of text" if of_text else f"name one of type {' or '.join(readable)}"
    for column in (column for column in config.reads if kinds.get(column, "string") not in readable):
        no = "no text, but" if of_text else "not usable, for it is"
        yield Issue(key_path, f"{column} is {no} of type {kinds[column]}", fix)
