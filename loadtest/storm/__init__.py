"""Storms on real sockets: whether a blip of a dependency stays a blip, behind one proxy or another."""
