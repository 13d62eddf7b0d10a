"""Engines that cut events into sessions: who computes a window, behind one protocol."""
