"""How producers name the fields of events.

Here: the names by which fields are recognized, and how names are compared. Not here: what a field has to contain
besides (`roles`).
"""

import re
from collections.abc import Iterable, Sequence

from sessions_platform.operations.inference.fields import Field

# Names without case and separators, the likeliest first.
USERS = (
    "userid", "uid", "user", "usrid", "customerid", "customer", "memberid", "accountid", "account", "personid",
    "profileid", "subscriberid", "clientid", "visitorid", "visitor", "userpseudoid", "distinctid",
    "anonymousid", "anonid", "domainuserid", "networkuserid", "mcvisid", "postvisid", "guestid", "deviceid",
    "device", "cookieid", "cookie", "fullvisitorid", "login", "username", "csusername", "email", "useremail",
    "msisdn", "playerid", "player", "who", "actor", "actorid", "author", "patientid", "studentid", "learnerid",
)  # fmt: skip
ADDRESSES = ("clientip", "ip", "cip", "remoteaddr", "remotehost", "ipaddress", "host", "xforwardedfor", "clienthost")
TIMES = (
    "eventtimestamp", "eventtime", "timestamp", "ts", "time", "occurredat", "occurred", "eventdate", "datetime",
    "hittimegmt", "clienttimestamp", "derivedtstamp", "originaltimestamp", "devicetimestamp", "createdat",
    "created", "date", "at", "when", "loggedat", "t", "utctime", "localtime", "starttime", "realtimetimestamp",
    "sentat", "receivedat", "collectortstamp", "servertimestamp", "servertime", "dateandtime",
)  # fmt: skip
NO_EVENT_TIMES = ("update", "modif", "birth", "expire", "signup", "registered", "dob", "valid", "due")
TYPES = (
    "eventtype", "eventname", "event", "type", "action", "eventaction", "activity", "activityname", "verb",
    "kind", "name", "postpageevent", "pageevent", "hittype", "eventcategory", "category", "operation", "op",
    "method", "csmethod", "requestmethod", "msg", "message", "what",
)  # fmt: skip
IDS = (
    "eventid", "messageid", "insertid", "hitid", "eventuuid", "uuid", "guid", "id", "recordid", "requestid",
    "msgid", "rowid", "transactionid", "logid", "xedgerequestid", "key",
)  # fmt: skip
PAGES = (
    "pageurl", "url", "pagelocation", "page", "pagepath", "path", "uri", "requesturi", "request_uri",
    "csuristem", "location", "href", "postpageurl", "currenturl", "screen", "screenname", "pagename",
)  # fmt: skip

_OF_TIMES = re.compile(r"(?i)time|date|stamp|epoch|gmt|utc|when|millis|(?:^|_)ts(?:_|$)|_at$|At$|_on$")


def plain(name: str) -> str:
    """A name without case and separators, by which names are compared."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_named_like_a_time(name: str) -> bool:
    """Whether a field of numbers may have times, by its name."""
    return plain(name) in TIMES or bool(_OF_TIMES.search(name))


def ranked(fields: Iterable[Field], names: Sequence[str]) -> list[Field]:
    """The fields of these names, the likeliest first: by the last name of their path, or by its last two."""
    found: list[tuple[int, int, Field]] = []
    for number, each in enumerate(fields):
        whole = [plain(part) for part in each.path.lstrip("^").split(".")]
        spelled = [
            plain(each.name),
            "".join(whole[-2:]),
            *([whole[-2]] if len(whole) > 1 and whole[-1] == "id" else []),
        ]
        ranks = [names.index(name) for name in spelled if name in names]
        if ranks:
            found.append((min(ranks) + 3 * (len(whole) - 1), number, each))
    return [each for *_, each in sorted(found, key=lambda rank: rank[:2])]
