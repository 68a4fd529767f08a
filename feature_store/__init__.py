"""Feeds Feast from topic `features`: the newest row of each entity online, every row offline."""
