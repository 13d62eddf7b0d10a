"""What the demo needs: an example stream, and a week of events for it that is as untidy as a real one."""
