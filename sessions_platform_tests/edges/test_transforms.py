"""An edge case of transforms: two simultaneous events in reverse order."""

from sessions_platform.transforms.sessionize import sessionize
from sessions_platform.transforms.summarize import summarize
from sessions_platform_tests.streams import frame, stream, timeline

WEB = stream()


def test_simultaneous_events_in_reverse_order_make_the_same_session() -> None:
    rows = [{**row, "page_url": f"/{place}"} for place, row in enumerate(timeline("0 9 9"))]
    events = sessionize(frame(rows, WEB), WEB)
    reversed_ties = events[[0, 2, 1]]
    assert events["event_id"].to_list() == ["000", "001", "002"]
    assert summarize(reversed_ties, WEB).equals(summarize(events, WEB))
    assert summarize(events, WEB)["exit_page"].to_list() == ["/2"]
