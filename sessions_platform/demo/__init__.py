"""What the demo needs: an example stream, and a week of events for it with the usual defects."""
